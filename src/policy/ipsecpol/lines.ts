/** From a policy back to the `ipsecpol` commands that build it. What those cannot say is noted, never left out in silence. */
import { addressFamily } from '../../wire/ip/address.js';
import { defaultKeyExchange } from '../build.js';
import { describeFilter, describeRule } from '../describe.js';
import {
  type AddressSpec,
  type AuthenticationMethod,
  type Filter,
  type HostSpec,
  type KeyExchangeSettings,
  type Policy,
  policyDefaults,
  type Rule,
} from '../model.js';
import { NoteBook } from '../note.js';
import type {
  AddressText,
  AuthenticationSpec,
  FilterSpec,
  HostText,
  NegotiationSpec,
  StaticCommand,
} from './command.js';
import { parseFilterSpec } from './filter-spec.js';
import { parseIpsecpol } from './parse.js';
import { ArgumentError, Piece } from './piece.js';
import { printIpsecpol } from './print.js';

export interface LineOptions {
  /** Whether the last command assigns the policy. */
  readonly assign?: boolean;
  /** Gets a note for everything that is missing or different in the commands. */
  readonly notes?: NoteBook;
}

/** The commands that build a policy where there is none of its name. Keys stand in them in clear. */
export function policyCommands(
  policy: Policy,
  { assign = false, notes: book = new NoteBook() }: LineOptions = {},
): StaticCommand[] {
  const notes = book.in(`policy '${policy.name}'`);
  if (policy.description !== undefined) notes.add('dropped', 'its description');
  const rules = policy.rules.flatMap((rule, i) => {
    const command = ruleCommand(policy.name, rule, i, notes);
    return command === undefined ? [] : [command];
  });
  const settings = settingsCommand(policy, rules.length === 0, notes);
  const [first, ...others] = rules;
  const commands = first === undefined ? [settings] : [{ ...first, ...settingsOf(settings) }, ...others];
  return commands.map((command, i) => ({ ...command, assign: assign && i === commands.length - 1 }));
}

/**
 * The command that makes a rule or, where the policy has one of its name, changes all its parts that `ipsecpol` can
 * change. `undefined` when it cannot say the rule at all.
 */
export function ruleCommand(
  policyName: string,
  rule: Rule,
  index: number,
  book = new NoteBook(),
): StaticCommand | undefined {
  const notes = book.in(describeRule(rule, index));
  const filters = filterSpecs(rule, notes);
  if (filters.length === 0) {
    notes.add('dropped', 'the whole rule: none of its filters can be written for ipsecpol');
    return undefined;
  }
  noteLosses(rule, notes);
  const { action, tunnelEndpoint, connectionType } = rule;
  const negotiates = action.kind === 'negotiate';
  const command: StaticCommand = {
    ...emptyCommand(policyName),
    ruleNames: rule.name === undefined ? [] : [rule.name],
    filters,
    negotiation: negotiationOf(rule),
    authentication: negotiates ? rule.authentication.map(specOf) : [],
    soft: negotiates && action.allowFallback,
    ...(tunnelEndpoint === undefined ? {} : { tunnel: hostText(tunnelEndpoint) }),
    ...(connectionType === 'all' ? {} : { connectionType }),
  };
  const problem = problemOf(command);
  if (problem === undefined) return command;
  notes.add('dropped', `the whole rule: ${problem}`);
  return undefined;
}

/** The command that gives a policy its poll interval and main mode settings, those of a new policy left out. */
function settingsCommand(policy: Policy, always: boolean, notes: NoteBook): StaticCommand {
  const { keyExchange, pollIntervalMinutes } = policy;
  const { masterKeyPfs, lifetimeSeconds, quickModeLimit, methods, softSaSeconds } = keyExchange;
  noteKeyExchange(keyExchange, notes);
  const plain = keyExchange.methods.map(({ encryption, hash, group }) => ({ encryption, hash, group }));
  const sameMethods = JSON.stringify(methods) === JSON.stringify(defaultKeyExchange.methods);
  const rekey = {
    ...(quickModeLimit === defaultKeyExchange.quickModeLimit || masterKeyPfs
      ? {}
      : { quickModes: quickModeLimit }),
    ...(lifetimeSeconds === defaultKeyExchange.lifetimeSeconds ? {} : { seconds: lifetimeSeconds }),
  };
  return {
    ...emptyCommand(policy.name),
    mainModeMethods: sameMethods ? [] : plain,
    ...(Object.keys(rekey).length === 0 ? {} : { mainModeRekey: rekey }),
    masterKeyPfs,
    ...(softSaSeconds === undefined || softSaSeconds === policyDefaults.softSaSeconds
      ? {}
      : { softSaSeconds }),
    ...(always || pollIntervalMinutes !== policyDefaults.pollIntervalMinutes ? { pollIntervalMinutes } : {}),
  };
}

/** The parts of a command that belong to the policy and not to a rule. */
function settingsOf({
  mainModeMethods,
  mainModeRekey,
  masterKeyPfs,
  softSaSeconds,
  pollIntervalMinutes,
}: StaticCommand) {
  return {
    mainModeMethods,
    masterKeyPfs,
    ...(mainModeRekey === undefined ? {} : { mainModeRekey }),
    ...(softSaSeconds === undefined ? {} : { softSaSeconds }),
    ...(pollIntervalMinutes === undefined ? {} : { pollIntervalMinutes }),
  };
}

/** A command on a stored policy of this computer that says nothing yet. */
export function emptyCommand(policyName: string): StaticCommand {
  return {
    kind: 'static',
    store: { kind: 'local' },
    policyName,
    ruleNames: [],
    filters: [],
    negotiation: [],
    authentication: [],
    deleteDynamic: false,
    soft: false,
    mainModeMethods: [],
    masterKeyPfs: false,
    assign: false,
    unassign: false,
    delete: false,
  };
}

/** Why a command cannot be written as a command line; `undefined` when it can. */
function problemOf(command: StaticCommand): string | undefined {
  try {
    parseIpsecpol(printIpsecpol(command, { secrets: 'shown' }));
    return undefined;
  } catch (error) {
    if (error instanceof ArgumentError) return error.bareMessage;
    return error instanceof Error ? error.message : String(error);
  }
}

function filterSpecs(rule: Rule, notes: NoteBook): FilterSpec[] {
  if (rule.filterList === undefined) return [{ kind: 'default' }];
  return rule.filterList.filters.flatMap(filter => {
    const spec = filterSpec(filter);
    if (typeof spec !== 'string') return [spec];
    notes.add('dropped', `filter '${describeFilter(filter)}': ${spec}`);
    return [];
  });
}

/** The spec of a filter, or why there is none. */
function filterSpec({ source, destination, ...filter }: Filter): FilterSpec | string {
  if ([source, destination].some(({ kind }) => kind === 'special'))
    return 'ipsecpol has no word for servers this computer learns';
  const { protocol, sourcePort, destinationPort, mirrored } = filter;
  const spec: FilterSpec = {
    kind: 'traffic',
    source: addressText(source),
    destination: addressText(destination),
    protocol,
    sourcePort,
    destinationPort,
    mirrored,
  };
  const text = describeFilter({ ...filter, source, destination });
  try {
    parseFilterSpec(new Piece('filter spec', text, 1));
    return spec;
  } catch (error) {
    return error instanceof ArgumentError ? error.bareMessage : String(error);
  }
}

function addressText(spec: AddressSpec): AddressText {
  if (spec.kind === 'dns') return { kind: 'name', name: spec.name };
  if (spec.kind === 'special') return { kind: 'any' };
  if (spec.kind !== 'subnet') return spec;
  if (addressFamily(spec.address) === 6)
    return spec.prefixLength === 128 ? { kind: 'host', address: spec.address } : spec;
  if (spec.prefixLength === 0) return { kind: 'any' };
  return spec.prefixLength === 32 ? { kind: 'host', address: spec.address } : spec;
}

function hostText(host: HostSpec): HostText {
  return host.kind === 'dns' ? { kind: 'name', name: host.name } : host;
}

function negotiationOf({ action }: Rule): NegotiationSpec[] {
  if (action.kind === 'block') return [{ kind: 'block' }];
  if (action.kind === 'permit') return [{ kind: 'pass' }];
  return [
    ...action.methods.map(({ extendedSequence: _, ...method }) => ({ kind: 'method' as const, method })),
    ...(action.acceptUnsecured ? [{ kind: 'inpass' as const }] : []),
  ];
}

function specOf(method: AuthenticationMethod): AuthenticationSpec {
  return method.kind === 'certificate' ? { kind: 'certificate', authority: method.authority } : method;
}

function noteLosses(
  { active, filterList, action, description, authentication }: Rule,
  notes: NoteBook,
): void {
  if (!active) notes.add('changed', 'it is not active; ipsecpol makes active rules only');
  if (description !== undefined) notes.add('dropped', 'its description');
  if (filterList?.name !== undefined || filterList?.filters.some(({ name }) => name !== undefined))
    notes.add('dropped', 'the names of its filter list and filters');
  if (action.name !== undefined) notes.add('dropped', 'the name of its filter action');
  if (action.kind === 'negotiate' && action.methods.some(({ extendedSequence }) => extendedSequence))
    notes.add('dropped', 'extended sequence numbers: ipsecpol has no word for them');
  if (
    authentication.some(
      method => method.kind === 'certificate' && (method.certificateToAccount || method.excludeCaName),
    )
  )
    notes.add('dropped', 'the options of its certificate authorities');
}

function noteKeyExchange(
  { masterKeyPfs, quickModeLimit, methods, ...rest }: KeyExchangeSettings,
  notes: NoteBook,
): void {
  if (masterKeyPfs && quickModeLimit !== 1)
    notes.add('changed', 'main mode PFS allows one quick mode for ipsecpol');
  if (methods.length === 0)
    notes.add('changed', 'it has no main mode methods; ipsecpol gives it the default ones');
  if (methods.some(method => method.lifetimeSeconds !== undefined || method.quickModeLimit !== undefined))
    notes.add('dropped', 'limits of single main mode methods');
  if (rest.aggressive) notes.add('dropped', 'aggressive mode');
  if (rest.certificateToAccount || rest.excludeCaNames) notes.add('dropped', 'its certificate options');
}
