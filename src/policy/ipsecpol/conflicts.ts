/** Which flags exclude or need one another (`ipsecpol.md` 2 to 4, exit class CONFLICT). */
import { IpseckitError } from '../../report/errors.js';
import { changesPolicy, type IpsecpolCommand } from './command.js';
import type { FlagName } from './flags.js';

/** What -o may not stand with: it deletes the whole policy. */
const ruleFlags: readonly FlagName[] = ['-f', '-n', '-t', '-a', '-soft', '-dialup', '-lan'];
const mainModeFlags: readonly FlagName[] = ['-1s', '-1k', '-1p', '-1e'];

const exclusive: readonly (readonly [FlagName, FlagName])[] = [
  ['-confirm', '-w'],
  ['-x', '-y'],
  ['-x', '-o'],
  ['-lan', '-dialup'],
  ...[...ruleFlags, ...mainModeFlags].map(name => [name, '-o'] as const),
];

/** Checks what can be told from which flags there are. Throws `IpseckitError` (CONFLICT). */
export function checkFlags(present: ReadonlySet<FlagName>): void {
  if (present.has('-file')) {
    if (present.size === 1) return;
    throw conflict('-file excludes all other flags', 'write them on the lines of the script');
  }
  for (const [one, other] of exclusive)
    if (present.has(one) && present.has(other))
      throw conflict(`${one} and ${other} exclude each other`, `leave one of them out`);
  for (const name of ['-p', '-r', '-x', '-y', '-o'] as const)
    if (present.has(name) && !present.has('-w'))
      throw conflict(`${name} needs -w`, 'add -w REG for a policy stored on this computer');
  if (present.has('-w') && !present.has('-p'))
    throw conflict('-w needs -p', 'name the policy with -p PolicyName');
  if (present.has('-f') || present.has('-r') || present.has('-o')) return;
  const rulePart = ruleFlags.find(name => present.has(name));
  if (rulePart !== undefined)
    throw conflict(
      `${rulePart} needs -f`,
      'say which traffic it is for, or in a stored policy which rule (-r)',
    );
  if (present.has('-w') || present.has('-u')) return;
  throw conflict(
    'nothing to do: -f is missing',
    'say which traffic the rule covers, for example -f 0+192.0.2.20',
  );
}

/** Checks what depends on values. Throws `IpseckitError` (CONFLICT). */
export function checkCombination(command: IpsecpolCommand): void {
  if (command.kind === 'static') {
    if (command.ruleNames.length > 1 && !command.delete)
      throw conflict('-r stands more than once', 'one execution creates or changes one rule');
    if (
      !command.delete &&
      !command.assign &&
      !command.unassign &&
      !command.deleteDynamic &&
      !changesPolicy(command)
    )
      throw conflict(
        'nothing to do: -f is missing',
        'say which traffic the rule covers, for example -f 0+192.0.2.20',
      );
    const actions = new Set(command.filters.map(filter => filter.kind === 'traffic' && filter.action));
    if (actions.size > 1)
      throw conflict(
        'one -f mixes plain, (permit) and [block] filter specs for one stored rule',
        'run ipsecpol once for each kind, with rules of their own',
      );
  }
  const keywords = new Set(command.negotiation.map(({ kind }) => kind));
  if (keywords.has('block') && keywords.has('pass'))
    throw conflict('BLOCK and PASS exclude each other', 'leave one of them out');
  const open = keywords.has('block') || keywords.has('pass');
  if (command.filters.some(({ kind }) => kind === 'default')) {
    if (command.filters.length > 1)
      throw conflict(
        'DEFAULT stands beside other filter specs',
        'give the default response rule an execution of its own',
      );
    if (open || command.tunnel !== undefined)
      throw conflict(
        'the default response rule has no tunnel, and neither blocks nor permits',
        'leave -t, BLOCK and PASS out',
      );
  }
  if (command.tunnel === undefined) return;
  for (const filter of command.filters) {
    if (filter.kind !== 'traffic') continue;
    if (filter.mirrored)
      throw conflict(
        "a tunnel's filters have one direction: '+' and -t exclude each other",
        "write '=', and a second rule for the other direction with this computer's address behind -t",
      );
    if (filter.action !== undefined)
      throw conflict('(permit) and [block] filter specs have no tunnel', 'leave -t out');
  }
  if (open) throw conflict('BLOCK and PASS have no tunnel', 'leave -t out');
}

function conflict(message: string, next: string): IpseckitError {
  return new IpseckitError('CONFLICT', message, { next });
}
