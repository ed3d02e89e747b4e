/**
 * Applies an `ipsecpol` command to a policy (`-w`), or makes the policy of one dynamic execution. Pure: GUIDs,
 * resolved names and keys come in.
 */
import type { Secret } from '../crypto/secret.js';
import { IpseckitError } from '../report/errors.js';
import type { IpAddress } from '../wire/ip/address.js';
import { subnetRange } from '../wire/ip/selector.js';
import {
  type AddressText,
  type AuthenticationSpec,
  changesPolicy,
  type DynamicCommand,
  type HostText,
  type IpsecpolCommand,
  type NegotiationSpec,
  type StaticCommand,
  type TrafficSpec,
} from './ipsecpol/command.js';
import {
  type AddressSpec,
  type AuthenticationMethod,
  type Filter,
  type FilterAction,
  type Guid,
  type HostSpec,
  type KeyExchangeSettings,
  type MainModeMethod,
  type Policy,
  policyDefaults,
  type Rule,
  type SecurityMethod,
} from './model.js';

/** A filter whose names are not resolved yet. */
export interface FilterText extends Omit<TrafficSpec, 'kind' | 'action' | 'source' | 'destination'> {
  readonly source: FilterAddressText;
  readonly destination: FilterAddressText;
}

/** An address of a filter: what `ipsecpol` knows, and the servers this computer learns. */
export type FilterAddressText = AddressText | Extract<AddressSpec, { kind: 'special' }>;

/** What the edge looked up before. */
export interface BuildContext {
  newGuid(): Guid;
  /** The addresses of a name of `namesIn(command)`; at least one. */
  addressesOf(name: string): readonly IpAddress[];
  /** The key in a file of `keyFilesIn(command)`. */
  presharedKey(path: string): Secret<string>;
}

/** Policy name of the rules of one dynamic execution. */
export const dynamicPolicyName = '(dynamic)';

/** Main-mode offers when none are given (`ipsecpol.md` 4.8). */
const defaultMainModeMethods: readonly MainModeMethod[] = [
  { encryption: '3des', hash: 'sha1', group: 2 },
  { encryption: '3des', hash: 'md5', group: 2 },
  { encryption: 'des', hash: 'sha1', group: 1 },
  { encryption: 'des', hash: 'md5', group: 1 },
];

/** Quick-mode offers when none are given (`ipsecpol.md` 4.2). */
export const defaultMethods: readonly SecurityMethod[] = [
  { esp: { encryption: '3des', hash: 'sha1' } },
  { esp: { encryption: '3des', hash: 'md5' } },
  { esp: { encryption: 'des', hash: 'sha1' } },
  { esp: { encryption: 'des', hash: 'md5' } },
];

/** Offers of the default response rule (`policy-semantics.md` 2.2). */
export const defaultResponseMethods: readonly SecurityMethod[] = [
  ...defaultMethods,
  { ah: { hash: 'sha1' } },
  { ah: { hash: 'md5' } },
];

/** Key exchange settings of a policy that says nothing about them. */
export const defaultKeyExchange: KeyExchangeSettings = {
  masterKeyPfs: false,
  lifetimeSeconds: policyDefaults.mainModeLifetimeSeconds,
  quickModeLimit: 0,
  methods: defaultMainModeMethods,
};

/** Host names the command needs resolved, each once. */
export function namesIn(command: IpsecpolCommand): string[] {
  const hosts = command.filters.flatMap(filter =>
    filter.kind === 'traffic' ? [filter.source, filter.destination] : [],
  );
  const named = [...hosts, ...(command.tunnel === undefined ? [] : [command.tunnel])];
  return [...new Set(named.flatMap(host => (host.kind === 'name' ? [host.name] : [])))];
}

/** Files the command reads preshared keys from, each once. */
export function keyFilesIn(command: IpsecpolCommand): string[] {
  return [
    ...new Set(
      command.authentication.flatMap(method => (method.kind === 'presharedFile' ? [method.path] : [])),
    ),
  ];
}

/**
 * The policy after a static command: a new one, or `current` with a rule added, or with the given parts of the rule
 * of that name replaced. Throws `IpseckitError`: STORE when the command only assigns a policy that is not there,
 * CONFLICT when a new rule has no filters.
 */
export function applyToPolicy(
  current: Policy | undefined,
  command: StaticCommand,
  context: BuildContext,
): Policy {
  const edit = new PolicyEdit(current);
  edit.apply(command, context);
  return edit.policy;
}

/**
 * A policy under one static command after another: the same as `applyToPolicy` on each result, at a cost for each
 * command that does not grow with the number of rules.
 */
export class PolicyEdit {
  /** Everything but the rules; `undefined` before there is a policy. */
  #frame: Omit<Policy, 'rules'> | undefined;
  readonly #rules: Rule[];
  /** Place of the first rule of each name, in lower case. */
  readonly #places = new Map<string, number>();
  #defaultPlace: number | undefined;

  constructor(current: Policy | undefined) {
    this.#frame = current;
    this.#rules = [];
    for (const rule of current?.rules ?? []) this.#add(rule);
  }

  /** The policy as it is now. Throws `RangeError` before the first command that makes one. */
  get policy(): Policy {
    if (this.#frame === undefined) throw new RangeError('no command has made a policy yet');
    return { ...this.#frame, rules: [...this.#rules] };
  }

  /**
   * Applies a command whole, or throws and leaves everything as it was: see `applyToPolicy`. Returns the rule it made
   * or changed.
   */
  apply(command: StaticCommand, context: BuildContext): Rule | undefined {
    if (!changesPolicy(command)) {
      if (this.#frame === undefined) throw policyNotFound(command.policyName);
      return undefined;
    }
    const frame = this.#frame ?? newPolicy(command.policyName, context.newGuid());
    const rule = this.#changeRules(command, context);
    this.#frame = {
      ...frame,
      pollIntervalMinutes: command.pollIntervalMinutes ?? frame.pollIntervalMinutes,
      keyExchange: changeKeyExchange(frame.keyExchange, command),
    };
    return rule;
  }

  #changeRules(command: StaticCommand, context: BuildContext): Rule | undefined {
    const [name] = command.ruleNames;
    const isDefault = command.filters.some(({ kind }) => kind === 'default');
    const place = isDefault
      ? this.#defaultPlace
      : name === undefined
        ? undefined
        : this.#places.get(name.toLowerCase());
    const existing = place === undefined ? undefined : this.#rules[place];
    if (place !== undefined && existing !== undefined) {
      const rule = changeRule(existing, command, context);
      this.#rules[place] = rule;
      return rule;
    }
    const traffic = command.filters.filter(filter => filter.kind === 'traffic');
    if (isDefault) return this.#add(newRule({ traffic: undefined, command, context, name }));
    if (traffic.length > 0) return this.#add(newRule({ traffic, command, context, name }));
    if (name !== undefined)
      throw new IpseckitError(
        'CONFLICT',
        `rule '${name}' is new in policy '${command.policyName}' and needs -f`,
        {
          next: 'say which traffic it covers, or check the name: "ipseckit policy show" lists the rules',
        },
      );
    return undefined;
  }

  #add(rule: Rule): Rule {
    const place = this.#rules.push(rule) - 1;
    if (rule.filterList === undefined) this.#defaultPlace ??= place;
    else if (rule.name !== undefined && !this.#places.has(rule.name.toLowerCase()))
      this.#places.set(rule.name.toLowerCase(), place);
    return rule;
  }
}

/** A policy without rules, and with the default settings. */
export function newPolicy(name: string, id: Guid): Policy {
  return {
    id,
    name,
    pollIntervalMinutes: policyDefaults.pollIntervalMinutes,
    keyExchange: defaultKeyExchange,
    rules: [],
  };
}

/** What one dynamic execution puts in force: a policy of its own with one rule for each action. */
export function buildDynamicPolicy(command: DynamicCommand, context: BuildContext): Policy {
  const traffic = command.filters.filter(filter => filter.kind === 'traffic');
  const groups = [...new Set(traffic.map(filter => filter.action))].map(action =>
    newRule({ traffic: traffic.filter(filter => filter.action === action), command, context, dynamic: true }),
  );
  const fallback = command.filters.some(({ kind }) => kind === 'default')
    ? [newRule({ traffic: undefined, command, context, dynamic: true })]
    : [];
  return {
    id: context.newGuid(),
    name: dynamicPolicyName,
    pollIntervalMinutes: policyDefaults.pollIntervalMinutes,
    keyExchange: changeKeyExchange(defaultKeyExchange, command),
    rules: [...groups, ...fallback],
  };
}

/** The error of a policy name that is in no store. */
export function policyNotFound(name: string): IpseckitError {
  return new IpseckitError('STORE', `policy '${name}' not found`, {
    next: '"ipseckit policy list" shows the policies there are',
  });
}

function changeKeyExchange(settings: KeyExchangeSettings, command: IpsecpolCommand): KeyExchangeSettings {
  const { mainModeMethods, mainModeRekey, softSaSeconds } = command;
  const masterKeyPfs = settings.masterKeyPfs || command.masterKeyPfs;
  return {
    ...settings,
    masterKeyPfs,
    lifetimeSeconds: mainModeRekey?.seconds ?? settings.lifetimeSeconds,
    quickModeLimit: masterKeyPfs ? 1 : (mainModeRekey?.quickModes ?? settings.quickModeLimit),
    methods: mainModeMethods.length > 0 ? mainModeMethods : settings.methods,
    ...(softSaSeconds === undefined ? {} : { softSaSeconds }),
  };
}

/** Policy and rule names are the same in any case. */
export function sameName(a: string | undefined, b: string): boolean {
  return a?.toLowerCase() === b.toLowerCase();
}

interface NewRule {
  /** `undefined` makes the default response rule. */
  readonly traffic: readonly TrafficSpec[] | undefined;
  readonly command: IpsecpolCommand;
  readonly context: BuildContext;
  readonly name?: string | undefined;
  /** A name stands for its first address only. */
  readonly dynamic?: boolean;
}

function newRule({ traffic, command, context, name, dynamic = false }: NewRule): Rule {
  const { authentication, tunnel } = command;
  const methods = traffic === undefined ? defaultResponseMethods : defaultMethods;
  return {
    id: context.newGuid(),
    ...(name === undefined ? {} : { name }),
    active: true,
    ...(traffic === undefined
      ? {}
      : { filterList: { id: context.newGuid(), filters: buildFilters(traffic, [], context, dynamic) } }),
    action: buildAction(context.newGuid(), traffic?.[0]?.action, command.negotiation, command.soft, methods),
    authentication:
      authentication.length === 0
        ? [{ kind: 'kerberos' }]
        : authentication.map(method => buildAuthentication(method, context)),
    ...(tunnel === undefined ? {} : { tunnelEndpoint: buildHost(tunnel, context, dynamic) }),
    connectionType: command.connectionType ?? 'all',
  };
}

/** Replaces what the command gives, keeps the rest, and every id that still names the same thing. */
function changeRule(rule: Rule, command: StaticCommand, context: BuildContext): Rule {
  const traffic = command.filters.filter(filter => filter.kind === 'traffic');
  const { authentication, tunnel, negotiation, soft } = command;
  const bracket = traffic[0]?.action;
  const isDefault = rule.filterList === undefined;
  let { action } = rule;
  if (bracket !== undefined || negotiation.length > 0)
    action = buildAction(
      action.id,
      bracket,
      negotiation,
      soft,
      isDefault ? defaultResponseMethods : defaultMethods,
    );
  else if (soft && action.kind === 'negotiate') action = { ...action, allowFallback: true };
  return {
    ...rule,
    active: isDefault ? true : rule.active,
    ...(rule.filterList !== undefined && traffic.length > 0
      ? {
          filterList: {
            ...rule.filterList,
            filters: buildFilters(traffic, rule.filterList.filters, context, false),
          },
        }
      : {}),
    action,
    authentication:
      authentication.length === 0
        ? rule.authentication
        : authentication.map(method => buildAuthentication(method, context)),
    ...(tunnel === undefined ? {} : { tunnelEndpoint: buildHost(tunnel, context, false) }),
    connectionType: command.connectionType ?? rule.connectionType,
  };
}

function buildAction(
  id: Guid,
  bracket: TrafficSpec['action'],
  negotiation: readonly NegotiationSpec[],
  soft: boolean,
  defaults: readonly SecurityMethod[],
): FilterAction {
  if (bracket !== undefined) return { id, kind: bracket };
  if (negotiation.some(({ kind }) => kind === 'block')) return { id, kind: 'block' };
  if (negotiation.some(({ kind }) => kind === 'pass')) return { id, kind: 'permit' };
  const methods = negotiation.flatMap(spec => (spec.kind === 'method' ? [spec.method] : []));
  return {
    id,
    kind: 'negotiate',
    methods: methods.length > 0 ? methods : defaults,
    acceptUnsecured: negotiation.some(({ kind }) => kind === 'inpass'),
    allowFallback: soft,
  };
}

/** `before` lends its ids to filters that say the same, so that what was negotiated for them stays. */
export function buildFilters(
  traffic: readonly FilterText[],
  before: readonly Filter[],
  context: BuildContext,
  firstAddressOnly: boolean,
): Filter[] {
  const meaning = ({ id: _, name: __, ...rest }: Filter) => JSON.stringify(rest);
  const idsBefore = new Map(before.map(filter => [meaning(filter), filter.id]));
  return traffic.flatMap(spec =>
    buildAddresses(spec.source, context, firstAddressOnly).flatMap(source =>
      buildAddresses(spec.destination, context, firstAddressOnly).map(destination => {
        const filter: Filter = {
          id: '' as Guid,
          source,
          destination,
          protocol: spec.protocol,
          sourcePort: spec.sourcePort,
          destinationPort: spec.destinationPort,
          mirrored: spec.mirrored,
        };
        return { ...filter, id: idsBefore.get(meaning(filter)) ?? context.newGuid() };
      }),
    ),
  );
}

/** One address, but for a name with a mask: that is the subnet of each of its addresses. */
function buildAddresses(
  text: FilterAddressText,
  context: BuildContext,
  firstAddressOnly: boolean,
): AddressSpec[] {
  if (text.kind !== 'name') return [text];
  const { prefixLength } = text;
  const host = buildHost({ kind: 'name', name: text.name }, context, firstAddressOnly);
  if (prefixLength === undefined || host.kind !== 'dns') return [host];
  const networks = new Set(host.addresses.map(address => subnetRange(address, prefixLength).first));
  return [...networks].map(address => ({ kind: 'subnet', address, prefixLength }));
}

/** A host with the addresses its name has now. */
export function buildHost(text: HostText, context: BuildContext, firstAddressOnly: boolean): HostSpec {
  if (text.kind === 'host') return text;
  const addresses = context.addressesOf(text.name);
  return { kind: 'dns', name: text.name, addresses: firstAddressOnly ? addresses.slice(0, 1) : addresses };
}

/** An authentication method with its key. */
export function buildAuthentication(method: AuthenticationSpec, context: BuildContext): AuthenticationMethod {
  return method.kind === 'presharedFile'
    ? { kind: 'preshared', key: context.presharedKey(method.path) }
    : method;
}
