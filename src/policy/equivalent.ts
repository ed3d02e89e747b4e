/** The `ipsecpol` command lines that do what another command did, checked by doing it. */
import type { Secret } from '../crypto/secret.js';
import { type BuildContext, PolicyEdit } from './build.js';
import { describeFilter, describeHost } from './describe.js';
import { derivedGuid } from './guid.js';
import { printAuthentication } from './ipsecpol/authentication.js';
import type { AuthenticationSpec, StaticCommand } from './ipsecpol/command.js';
import { emptyCommand, policyCommands, ruleCommand } from './ipsecpol/lines.js';
import { describeMethod, printMainModeMethod } from './ipsecpol/security-method.js';
import { type KeyExchangeSettings, type Policy, policyDefaults, type Rule } from './model.js';
import { NoteBook, type PolicyNote } from './note.js';

export interface Equivalent {
  /** In order. */
  readonly commands: readonly StaticCommand[];
  /** What they cannot do; empty when they come to the very same. */
  readonly notes: readonly PolicyNote[];
}

export interface EquivalentOptions {
  /** Whether the policy is assigned, before and after. */
  readonly assignedBefore: boolean;
  readonly assignedAfter: boolean;
  /** The file a preshared key came from, which the commands name instead of the key. */
  readonly keyFile?: (key: Secret<string>) => string | undefined;
}

/**
 * The commands that lead from `before` (`undefined`: no such policy) to `after`. What `ipsecpol` cannot change, such as
 * removing a rule, it does by deleting the policy and building it anew.
 */
export function equivalentCommands(
  before: Policy | undefined,
  after: Policy,
  { assignedBefore, assignedAfter, keyFile = () => undefined }: EquivalentOptions,
): Equivalent {
  const { commands, notes } =
    changing(before, after, assignedAfter && !assignedBefore) ?? anew(before, after, assignedAfter);
  return { commands: commands.map(command => withKeyFiles(command, keyFile)), notes };
}

function anew(before: Policy | undefined, after: Policy, assign: boolean): Equivalent {
  const book = new NoteBook();
  const commands = policyCommands(after, { assign, notes: book });
  const deleting: StaticCommand[] =
    before === undefined ? [] : [{ ...emptyCommand(before.name), unassign: true, delete: true }];
  return { commands: [...deleting, ...commands], notes: book.notes };
}

/** Commands for the rules and settings that differ; `undefined` when they do not come to the same. */
function changing(before: Policy | undefined, after: Policy, assign: boolean): Equivalent | undefined {
  if (before === undefined || before.name !== after.name) return undefined;
  const book = new NoteBook();
  if (before.description !== after.description) book.add('dropped', "the policy's description");
  const rulesBefore = new Map(before.rules.map(rule => [rule.id, rule]));
  const commands: StaticCommand[] = [];
  for (const [i, rule] of after.rules.entries()) {
    const old = rulesBefore.get(rule.id);
    if (old !== undefined && (old === rule || meaningOfRule(old) === meaningOfRule(rule))) continue;
    const command = ruleCommand(after.name, rule, i, book);
    // Nothing that ipsecpol could say would make this rule.
    if (command === undefined) return { commands: [], notes: book.notes };
    commands.push(command);
  }
  if (meaningOfSettings(before) !== meaningOfSettings(after)) {
    const [first = emptyCommand(after.name), ...others] = commands;
    commands.splice(0, commands.length, { ...first, ...allSettings(before, after) }, ...others);
  }
  if (!comesTo(before, after, commands)) return undefined;
  if (!assign) return { commands, notes: book.notes };
  const last = commands.pop() ?? emptyCommand(after.name);
  return { commands: [...commands, { ...last, assign }], notes: book.notes };
}

/**
 * Settings that are those of a new policy are said as well: the one there is may have others. Not so `-1e`, which Windows
 * 2000 does not know, where nothing changes.
 */
function allSettings(before: Policy, { keyExchange, pollIntervalMinutes }: Policy) {
  const { methods, lifetimeSeconds, quickModeLimit, masterKeyPfs } = keyExchange;
  const softSaSeconds = softSaSecondsOf(keyExchange);
  return {
    pollIntervalMinutes,
    mainModeMethods: methods.map(({ encryption, hash, group }) => ({ encryption, hash, group })),
    mainModeRekey: { ...(masterKeyPfs ? {} : { quickModes: quickModeLimit }), seconds: lifetimeSeconds },
    masterKeyPfs,
    ...(softSaSeconds === softSaSecondsOf(before.keyExchange) ? {} : { softSaSeconds }),
  };
}

function softSaSecondsOf({ softSaSeconds = policyDefaults.softSaSeconds }: KeyExchangeSettings): number {
  return softSaSeconds;
}

/** Whether the commands turn `before` into a policy that means what `after` means. */
function comesTo(before: Policy, after: Policy, commands: readonly StaticCommand[]): boolean {
  const edit = new PolicyEdit(before);
  const context = contextOf(after);
  try {
    for (const command of commands) edit.apply(command, context);
  } catch {
    return false;
  }
  return meaningOf(edit.policy) === meaningOf(after);
}

/** A context in which names have the addresses the policy has for them. */
function contextOf(policy: Policy): BuildContext {
  const hosts = policy.rules.flatMap(({ filterList, tunnelEndpoint }) => [
    ...(filterList?.filters ?? []).flatMap(({ source, destination }) => [source, destination]),
    ...(tunnelEndpoint === undefined ? [] : [tunnelEndpoint]),
  ]);
  const addresses = new Map(
    hosts.flatMap(host => (host.kind === 'dns' ? [[host.name, host.addresses] as const] : [])),
  );
  let count = 0;
  return {
    newGuid: () => derivedGuid(policy.id, String(++count)),
    addressesOf: name => addresses.get(name) ?? [],
    presharedKey: path => {
      throw new Error(`no key comes from ${path} here`);
    },
  };
}

/** What a policy does, as text to compare: no ids, and no names that are only shown. */
export function meaningOf(policy: Policy): string {
  return [meaningOfSettings(policy), ...policy.rules.map(meaningOfRule)].join('\n');
}

function meaningOfSettings({ name, pollIntervalMinutes, keyExchange }: Policy): string {
  const { methods, lifetimeSeconds, quickModeLimit, masterKeyPfs, aggressive = false } = keyExchange;
  return JSON.stringify([
    name,
    pollIntervalMinutes,
    methods.map(printMainModeMethod),
    lifetimeSeconds,
    quickModeLimit,
    masterKeyPfs,
    aggressive,
    softSaSecondsOf(keyExchange),
  ]);
}

function meaningOfRule({ name, active, filterList, action, ...rule }: Rule): string {
  const { authentication, tunnelEndpoint, connectionType } = rule;
  const negotiates = action.kind === 'negotiate';
  return JSON.stringify([
    name,
    active,
    filterList?.filters.map(filter => [describeFilter(filter), filter.source.kind, filter.destination.kind]),
    negotiates
      ? [action.methods.map(describeMethod), action.acceptUnsecured, action.allowFallback]
      : action.kind,
    negotiates ? authentication.map(method => printAuthentication(method, 'shown')) : [],
    tunnelEndpoint === undefined ? undefined : describeHost(tunnelEndpoint),
    connectionType,
  ]);
}

function withKeyFiles(
  command: StaticCommand,
  keyFile: NonNullable<EquivalentOptions['keyFile']>,
): StaticCommand {
  const authentication = command.authentication.map((method): AuthenticationSpec => {
    const path = method.kind === 'preshared' ? keyFile(method.key) : undefined;
    return path === undefined ? method : { kind: 'presharedFile', path };
  });
  return { ...command, authentication };
}
