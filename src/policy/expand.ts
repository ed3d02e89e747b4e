/**
 * From filters as written to the specific, one-directional filters the driver matches: keywords and names replaced
 * by addresses, mirrors multiplied out, most specific first. Pure.
 */
import type { DriverFilter, FilterId } from '../driver/api.js';
import { addressFamily, type IpAddress, ipAddress } from '../wire/ip/address.js';
import { isLinkLocal } from '../wire/ip/ip.js';
import {
  type AddressRange,
  hostRange,
  mirrorSelector,
  printRange,
  rangeContains,
  type Selector,
  subnetRange,
} from '../wire/ip/selector.js';
import { derivedGuid } from './guid.js';
import type { AddressSpec, Filter, Policy, Rule } from './model.js';
import { filterWeight } from './weight.js';

/** An address of this computer. Leave loopback out; IPv6 addresses make `*` and `0` cover IPv6 too. */
export interface LocalAddress {
  readonly address: IpAddress;
  /** What its adapter counts as for `-lan` and `-dialup`; LAN when absent. */
  readonly connectionType?: 'lan' | 'dialup';
}

export interface ExpandContext {
  readonly localAddresses: readonly LocalAddress[];
  /** What the special addresses stand for. */
  readonly servers?: Readonly<Partial<Record<'dns' | 'wins' | 'dhcp' | 'gateway', readonly IpAddress[]>>>;
  /** Addresses that host names have now; a name that is missing keeps those in the policy. */
  readonly names?: ReadonlyMap<string, readonly IpAddress[]>;
}

/** A specific filter, and the rule and source it came from. */
export interface ExpandedFilter<Source extends { readonly policy: Policy }> {
  readonly filter: DriverFilter;
  readonly rule: Rule;
  /** The filter as written. */
  readonly origin: Filter;
  readonly source: Source;
  /** Larger is matched earlier. */
  readonly weight: number;
}

/** A filter that is not enforced as written, and why. */
export interface ExpansionNote {
  readonly rule: Rule;
  readonly filter: Filter;
  /** A sentence. */
  readonly text: string;
  /** What another filter decides in its place; absent when the filter stands for no traffic at all. */
  readonly covered?: {
    readonly traffic: Pick<DriverFilter, 'direction' | 'selector'>;
    readonly by: ExpandedFilter<{ readonly policy: Policy }>;
  };
}

export interface Expansion<Source extends { readonly policy: Policy }> {
  /** In matching order: the first match decides. */
  readonly filters: readonly ExpandedFilter<Source>[];
  readonly notes: readonly ExpansionNote[];
}

/**
 * Expands the active rules of every source. Filters of equal weight keep the order of sources, rules and filters; of
 * several on the very same traffic and direction only the first remains. A filter's id depends on what it says and
 * on the filter it came from, so it survives expanding again.
 */
export function expandPolicies<Source extends { readonly policy: Policy }>(
  sources: readonly Source[],
  context: ExpandContext,
): Expansion<Source> {
  const notes: ExpansionNote[] = [];
  const expanded: Candidate<Source>[] = [];
  for (const source of sources)
    for (const rule of source.policy.rules) {
      if (!rule.active || rule.filterList === undefined) continue;
      const scope = scopeOf(rule, context);
      for (const origin of rule.filterList.filters) {
        const before = expanded.length;
        expandFilter({ source, rule, origin }, scope, expanded);
        if (expanded.length === before)
          notes.push({
            rule,
            filter: origin,
            text:
              rule.tunnelEndpoint !== undefined && scope.tunnelEndpoint === undefined
                ? 'the tunnel endpoint has no address yet, nothing is enforced'
                : 'no address of this computer is in it, nothing is enforced',
          });
      }
    }
  expanded.sort((a, b) => b.result.weight - a.result.weight);
  const filters: ExpandedFilter<Source>[] = [];
  const seen: Record<Rule['connectionType'], Map<string, ExpandedFilter<Source>>> = {
    all: new Map(),
    lan: new Map(),
    dialup: new Map(),
  };
  for (const { traffic, result } of expanded) {
    const { connectionType = 'all' } = result.filter;
    const winner = seen.all.get(traffic) ?? seen[connectionType].get(traffic);
    if (winner === undefined) {
      seen[connectionType].set(traffic, result);
      filters.push(result);
    } else if (winner.rule !== result.rule)
      notes.push({
        rule: result.rule,
        filter: result.origin,
        text: `${ruleName(winner.rule)} covers the same traffic and decides`,
        covered: { traffic: result.filter, by: winner },
      });
  }
  return { filters, notes };
}

/** What all filters of a rule are expanded with. */
interface Scope {
  /** Addresses of the adapters that the rule is for. */
  readonly local: readonly IpAddress[];
  readonly families: readonly (4 | 6)[];
  readonly tunnelEndpoint: IpAddress | undefined;
  readonly endpointIsLocal: boolean;
  readonly servers: ExpandContext['servers'];
  readonly names: ExpandContext['names'];
}

interface Candidate<Source extends { readonly policy: Policy }> {
  /** Direction and selector as comparable text. */
  readonly traffic: string;
  readonly result: ExpandedFilter<Source>;
}

function scopeOf(rule: Rule, { localAddresses, servers, names }: ExpandContext): Scope {
  const local = localAddresses
    .filter(
      ({ connectionType = 'lan' }) => rule.connectionType === 'all' || connectionType === rule.connectionType,
    )
    .map(({ address }) => address);
  const tunnelEndpoint = endpointOf(rule, names);
  return {
    local,
    families: local.some(address => addressFamily(address) === 6) ? [4, 6] : [4],
    tunnelEndpoint,
    endpointIsLocal:
      tunnelEndpoint !== undefined && localAddresses.some(({ address }) => address === tunnelEndpoint),
    servers,
    names,
  };
}

function expandFilter<Source extends { readonly policy: Policy }>(
  from: Pick<ExpandedFilter<Source>, 'source' | 'rule' | 'origin'>,
  scope: Scope,
  into: Candidate<Source>[],
): void {
  const { rule, origin } = from;
  const { action } = rule;
  const { tunnelEndpoint } = scope;
  const negotiate = action.kind === 'negotiate';
  // Its packets must not be taken for those of a transport filter.
  if (rule.tunnelEndpoint !== undefined && tunnelEndpoint === undefined) return;
  for (const selector of selectorsOf(origin, rule, scope)) {
    // "any" reads the same in both families.
    const family = addressFamily(selector.source.first) === 6 ? 'IPv6 ' : '';
    const addresses = `${family}${printRange(selector.source)} ${printRange(selector.destination)}`;
    const weight = filterWeight(selector, action.kind, tunnelEndpoint !== undefined);
    for (const direction of directionsOf(selector, rule, scope))
      into.push({
        traffic: `${direction} ${addresses} ${selector.protocol} ${selector.sourcePort} ${selector.destinationPort}`,
        result: {
          filter: {
            id: derivedGuid(origin.id, `${direction} ${addresses}`) as string as FilterId,
            policyId: action.id,
            ...(origin.name === undefined ? {} : { name: origin.name }),
            direction,
            selector,
            action: negotiate ? 'secure' : action.kind,
            acceptUnsecured: negotiate && action.acceptUnsecured,
            allowFallback: negotiate && action.allowFallback,
            ...(rule.connectionType === 'all' ? {} : { connectionType: rule.connectionType }),
            ...(tunnelEndpoint === undefined ? {} : { tunnelEndpoint }),
          },
          rule,
          origin,
          source: from.source,
          weight,
        },
      });
  }
}

/** Of several addresses of a name, the one in the policy while the name still has it. */
function endpointOf({ tunnelEndpoint }: Rule, names: ExpandContext['names']): IpAddress | undefined {
  if (tunnelEndpoint?.kind !== 'dns') return tunnelEndpoint?.address;
  const [written] = tunnelEndpoint.addresses;
  const now = names?.get(tunnelEndpoint.name);
  return now === undefined || (written !== undefined && now.includes(written)) ? written : now[0];
}

/**
 * What a filter covers, address by address and direction by direction. A tunnel's filters are never mirrored. Nothing is
 * negotiated between link-local addresses: there, a rule that negotiates does not mean them by "me".
 */
function selectorsOf(filter: Filter, rule: Rule, scope: Scope): Selector[] {
  const { protocol, sourcePort, destinationPort } = filter;
  const local =
    rule.action.kind === 'negotiate' ? scope.local.filter(address => !isLinkLocal(address)) : scope.local;
  const selectors: Selector[] = [];
  for (const family of scope.families)
    for (const source of rangesOf(filter.source, family, { ...scope, local }))
      for (const destination of rangesOf(filter.destination, family, { ...scope, local }))
        selectors.push({ source, destination, protocol, sourcePort, destinationPort });
  return filter.mirrored && rule.tunnelEndpoint === undefined
    ? [...selectors, ...selectors.map(mirrorSelector)]
    : selectors;
}

const everyAddress = {
  4: subnetRange(ipAddress('0.0.0.0'), 0),
  6: subnetRange(ipAddress('::'), 0),
} as const;

function rangesOf(spec: AddressSpec, family: 4 | 6, scope: Scope): AddressRange[] {
  const hosts = (addresses: readonly IpAddress[]) =>
    addresses.filter(address => addressFamily(address) === family).map(hostRange);
  switch (spec.kind) {
    case 'me':
      return hosts(scope.local);
    case 'any':
      return [everyAddress[family]];
    case 'subnet':
      return addressFamily(spec.address) === family ? [subnetRange(spec.address, spec.prefixLength)] : [];
    case 'special':
      return hosts(scope.servers?.[spec.group] ?? []);
    case 'host':
      return hosts([spec.address]);
    case 'dns':
      return hosts(scope.names?.get(spec.name) ?? spec.addresses);
  }
}

/**
 * A side that is exactly one of our addresses says the direction; else a side that contains one does. Traffic that
 * only passes through can be blocked or permitted, but transport mode cannot secure it. A tunnel endpoint of our own
 * says that the packets travel towards us.
 */
function directionsOf(selector: Selector, rule: Rule, scope: Scope): readonly ('outbound' | 'inbound')[] {
  if (scope.tunnelEndpoint !== undefined) return scope.endpointIsLocal ? ['inbound'] : ['outbound'];
  const { source, destination } = selector;
  const contains = (range: AddressRange) => scope.local.some(address => rangeContains(range, address));
  const isOwn = (range: AddressRange) =>
    range.first === range.last && scope.local.some(address => address === range.first);
  const test = isOwn(source) || isOwn(destination) ? isOwn : contains;
  const directions: ('outbound' | 'inbound')[] = [];
  if (test(source)) directions.push('outbound');
  if (test(destination)) directions.push('inbound');
  if (directions.length > 0 || rule.action.kind === 'negotiate') return directions;
  return ['outbound', 'inbound'];
}

function ruleName(rule: Rule): string {
  return rule.name === undefined ? 'another rule' : `rule '${rule.name}'`;
}
