import { anyIpv4 } from '../../wire/ip/address.js';
import { type SortedArguments, sortArguments } from './arguments.js';
import { parseAuthentication } from './authentication.js';
import type { HostText, IpsecpolCommand, IpsecpolRequest, StaticCommand, StoreSpec } from './command.js';
import { checkCombination, checkFlags } from './conflicts.js';
import { parseFilterSpec, parseHost } from './filter-spec.js';
import type { FlagName } from './flags.js';
import type { Piece } from './piece.js';
import { parseMainModeMethod, parseMainModeRekey, parseNegotiation } from './security-method.js';

/** Poll intervals are kept in seconds, 32 bits wide, by the Windows stores. */
const maximumPollMinutes = Math.floor(0xffff_ffff / 60);

/**
 * Parses an `ipsecpol` command line (without the program's name), in both modes. Nothing is resolved, read or looked
 * up. Throws `IpseckitError`: USAGE for what cannot be read, with argument and column, CONFLICT for flags that
 * exclude or need one another, UNSUPPORTED.
 */
export function parseIpsecpol(argv: readonly string[]): IpsecpolRequest {
  if (argv.length === 0) return { kind: 'help', detail: 'short' };
  const sorted = sortArguments(argv);
  if (sorted.values.has('-?')) return { kind: 'help', detail: 'extended' };
  checkFlags(new Set(sorted.values.keys()));
  const [script] = sorted.values.get('-file') ?? [];
  if (script !== undefined) {
    if (script.length === 0) script.expected('the name of a file');
    return { kind: 'file', path: script.text, ...(sorted.host === undefined ? {} : { host: sorted.host }) };
  }
  const command = parseCommand(sorted);
  checkCombination(command);
  return command;
}

function parseCommand({ host, values }: SortedArguments): IpsecpolCommand {
  const has = (name: FlagName) => values.has(name);
  const all = (name: FlagName) => values.get(name) ?? [];
  const first = <T>(name: FlagName, parse: (piece: Piece) => T) => all(name).map(parse)[0];
  const tunnel = first('-t', parseTunnel);
  const rekey = first('-1k', parseMainModeRekey);
  const softSaSeconds = first('-1e', piece => piece.number(1, 0xffff_ffff, 'seconds,'));
  const parts = {
    ...(host === undefined ? {} : { host }),
    filters: all('-f').map(parseFilterSpec),
    negotiation: all('-n').map(parseNegotiation),
    ...(tunnel === undefined ? {} : { tunnel }),
    authentication: all('-a').map(parseAuthentication),
    deleteDynamic: has('-u'),
    soft: has('-soft'),
    ...(has('-dialup') ? { connectionType: 'dialup' as const } : {}),
    ...(has('-lan') ? { connectionType: 'lan' as const } : {}),
    mainModeMethods: all('-1s').map(parseMainModeMethod),
    ...(rekey === undefined ? {} : { mainModeRekey: rekey }),
    masterKeyPfs: has('-1p'),
    ...(softSaSeconds === undefined ? {} : { softSaSeconds }),
  };
  const store = first('-w', parseStore);
  const policy = first('-p', parsePolicyName);
  if (store === undefined || policy === undefined)
    return { kind: 'dynamic', ...parts, confirm: has('-confirm') };
  return {
    kind: 'static',
    ...parts,
    store,
    ...policy,
    ruleNames: all('-r').map(parseName),
    assign: has('-x'),
    unassign: has('-y'),
    delete: has('-o'),
  };
}

function parseTunnel(piece: Piece): HostText {
  const host = parseHost(piece);
  return host.kind === 'host' && host.address === anyIpv4 ? piece.fail('0.0.0.0 is no host') : host;
}

function parseStore(piece: Piece): StoreSpec {
  const colon = piece.text.indexOf(':');
  const type = piece.part(0, colon < 0 ? piece.length : colon);
  const domain = colon < 0 ? undefined : piece.part(colon + 1);
  const word = type.text.toUpperCase();
  if (word !== 'DS') {
    domain?.fail(`${word} takes no domain`);
    if (word === 'REG') return { kind: 'local' };
    return word === 'PERS' ? { kind: 'persistent' } : type.expected('REG, DS or DS:domain');
  }
  if (domain === undefined) return { kind: 'directory' };
  if (!/^[a-z\d]([a-z\d.-]*[a-z\d])?$/i.test(domain.text)) domain.expected('a domain name');
  return { kind: 'directory', domain: domain.text };
}

function parsePolicyName(piece: Piece): Pick<StaticCommand, 'policyName' | 'pollIntervalMinutes'> {
  const colon = piece.text.indexOf(':');
  if (colon < 0) return { policyName: parseName(piece) };
  const pollIntervalMinutes = piece
    .part(colon + 1)
    .number(0, maximumPollMinutes, 'a poll interval in minutes,');
  return { policyName: parseName(piece.part(0, colon)), pollIntervalMinutes };
}

function parseName(piece: Piece): string {
  if (piece.text.trim() === '') piece.expected('a name');
  const control = /\p{Cc}/u.exec(piece.text);
  if (control !== null) piece.part(control.index).fail('a control character in a name');
  if (piece.length > 255) piece.part(255).fail('a name has 255 characters at most');
  return piece.text;
}
