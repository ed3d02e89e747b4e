/**
 * From filters as written to the specific, one-directional filters the driver matches: keywords and names replaced
 * by addresses, mirrors multiplied out, most specific first. Pure.
 */
import type { DriverFilter, FilterId } from '../driver/api.js';
import { addressFamily, type IpAddress, ipAddress } from '../wire/ip/address.js';
import {
  type AddressRange,
  hostRange,
  mirrorSelector,
  printRange,
  printSelector,
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
}

/** A specific filter, and the rule and source it came from. */
export interface ExpandedFilter<Source extends { readonly policy: Policy }> {
  readonly filter: DriverFilter;
  readonly rule: Rule;
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
  const expanded = sources.flatMap(source =>
    source.policy.rules
      .filter(rule => rule.active)
      .flatMap(rule =>
        (rule.filterList?.filters ?? []).flatMap(filter => {
          const specific = expandFilter(rule, filter, context);
          if (specific.length === 0)
            notes.push({ rule, filter, text: 'no address of this computer is in it, nothing is enforced' });
          return specific.map(each => ({ ...each, rule, source, origin: filter }));
        }),
      ),
  );
  expanded.sort((a, b) => b.weight - a.weight);
  const seen = new Map<string, Rule>();
  const filters = expanded.flatMap(({ origin, ...each }) => {
    const traffic = `${each.filter.direction} ${printSelector(each.filter.selector)}`;
    const winner = seen.get(traffic);
    if (winner === undefined) {
      seen.set(traffic, each.rule);
      return [each];
    }
    if (winner !== each.rule)
      notes.push({
        rule: each.rule,
        filter: origin,
        text: `${ruleName(winner)} covers the same traffic and decides`,
      });
    return [];
  });
  return { filters, notes };
}

interface Specific {
  readonly filter: DriverFilter;
  readonly weight: number;
}

function expandFilter(rule: Rule, filter: Filter, context: ExpandContext): Specific[] {
  const local = context.localAddresses
    .filter(
      ({ connectionType = 'lan' }) => rule.connectionType === 'all' || connectionType === rule.connectionType,
    )
    .map(({ address }) => address);
  const tunnelEndpoint = endpointOf(rule);
  const endpointIsLocal =
    tunnelEndpoint !== undefined && context.localAddresses.some(({ address }) => address === tunnelEndpoint);
  return selectorsOf(filter, rule, local, context).flatMap(selector => {
    const directions =
      tunnelEndpoint === undefined
        ? transportDirections(selector, rule, local)
        : [endpointIsLocal ? ('inbound' as const) : ('outbound' as const)];
    return directions.map(direction => {
      const { action } = rule;
      const negotiate = action.kind === 'negotiate';
      return {
        filter: {
          id: filterId(filter, direction, selector),
          policyId: action.id,
          ...(filter.name === undefined ? {} : { name: filter.name }),
          direction,
          selector,
          action: negotiate ? ('secure' as const) : action.kind,
          acceptUnsecured: negotiate && action.acceptUnsecured,
          allowFallback: negotiate && action.allowFallback,
          ...(tunnelEndpoint === undefined ? {} : { tunnelEndpoint }),
        },
        weight: filterWeight(selector, action.kind, tunnelEndpoint !== undefined),
      };
    });
  });
}

function endpointOf({ tunnelEndpoint }: Rule): IpAddress | undefined {
  return tunnelEndpoint?.kind === 'dns' ? tunnelEndpoint.addresses[0] : tunnelEndpoint?.address;
}

/** What a filter covers, address by address and direction by direction. A tunnel's filters are never mirrored. */
function selectorsOf(
  filter: Filter,
  rule: Rule,
  local: readonly IpAddress[],
  context: ExpandContext,
): Selector[] {
  const families: (4 | 6)[] = local.some(address => addressFamily(address) === 6) ? [4, 6] : [4];
  const { protocol, sourcePort, destinationPort } = filter;
  const written = families.flatMap(family =>
    rangesOf(filter.source, family, local, context).flatMap(source =>
      rangesOf(filter.destination, family, local, context).map(destination => ({
        source,
        destination,
        protocol,
        sourcePort,
        destinationPort,
      })),
    ),
  );
  return filter.mirrored && rule.tunnelEndpoint === undefined
    ? [...written, ...written.map(mirrorSelector)]
    : written;
}

function rangesOf(
  spec: AddressSpec,
  family: 4 | 6,
  local: readonly IpAddress[],
  context: ExpandContext,
): AddressRange[] {
  const hosts = (addresses: readonly IpAddress[]) =>
    addresses.filter(address => addressFamily(address) === family).map(hostRange);
  switch (spec.kind) {
    case 'me':
      return hosts(local);
    case 'any':
      return [subnetRange(ipAddress(family === 4 ? '0.0.0.0' : '::'), 0)];
    case 'subnet':
      return addressFamily(spec.address) === family ? [subnetRange(spec.address, spec.prefixLength)] : [];
    case 'special':
      return hosts(context.servers?.[spec.group] ?? []);
    case 'host':
      return hosts([spec.address]);
    case 'dns':
      return hosts(spec.addresses);
  }
}

/**
 * A side that is exactly one of our addresses says the direction; else a side that contains one does. Traffic that
 * only passes through can be blocked or permitted, but transport mode cannot secure it.
 */
function transportDirections(
  { source, destination }: Selector,
  rule: Rule,
  local: readonly IpAddress[],
): ('outbound' | 'inbound')[] {
  const contains = (range: AddressRange) => local.some(address => rangeContains(range, address));
  const isOwn = (range: AddressRange) => range.first === range.last && contains(range);
  const test = isOwn(source) || isOwn(destination) ? isOwn : contains;
  const directions: ('outbound' | 'inbound')[] = [];
  if (test(source)) directions.push('outbound');
  if (test(destination)) directions.push('inbound');
  if (directions.length > 0 || rule.action.kind === 'negotiate') return directions;
  return ['outbound', 'inbound'];
}

function filterId(filter: Filter, direction: DriverFilter['direction'], selector: Selector): FilterId {
  const { source, destination } = selector;
  return derivedGuid(
    filter.id,
    `${direction} ${printRange(source)} ${printRange(destination)}`,
  ) as string as FilterId;
}

function ruleName(rule: Rule): string {
  return rule.name === undefined ? 'another rule' : `rule '${rule.name}'`;
}
