/**
 * Filters, pairs and soft SAs as policies of the kernel. Of all policies that match a packet the one with the lowest
 * priority decides, so filter number i has the priorities from `first + 7 i` on: what passes through and leaves in clear, what
 * passes through on its way into a tunnel, what pairs carry, what passes in clear, exceptions, the filter itself. A policy
 * says what is to be done with packets that leave (`out`), and what must have been done with those that arrive (`in`) or
 * pass through (`fwd`).
 */
import { addressFamily, type IpAddress } from '../../wire/ip/address.js';
import {
  mirrorSelector,
  printSelector,
  rangeCovers,
  rangesOverlap,
  type Selector,
  selectorCovers,
} from '../../wire/ip/selector.js';
import type { XfrmDirection, XfrmPolicy, XfrmTemplate } from '../../wire/netlink/xfrm-policy.js';
import { anyAddress, type XfrmSelector } from '../../wire/netlink/xfrm-selector.js';
import type { DriverFilter, SoftSa } from '../api.js';
import { connectionTypeOf } from '../connection-type.js';
import { carriedSelector } from '../pair-places.js';
import { groupRanges, linkLocal, type XfrmHost } from './exemptions.js';
import { filterRequestId, policyUser, type Role, roles } from './marks.js';
import { betweenHosts, commonRange, commonSelector, xfrmSelectors } from './selectors.js';
import { type KernelPair, modeOf, protocolNumbers } from './states.js';

/** A filter in its place. */
export interface PlacedFilter {
  readonly filter: DriverFilter;
  readonly number: number;
  /** Place in matching order, from 0. */
  readonly place: number;
}

/** Priorities below are those of exemptions. */
const firstPriority = 16;

/** For what no filter of ours decides: before all of them. */
export const noFilter = -1;

/** The priority of a policy for the filter at a place. */
export function priorityAt(place: number, role: Role): number {
  return firstPriority + (place + 1) * roles.length + roles.indexOf(role);
}

/** Where the kernel looks at packets of a filter's direction. */
export function directionsOf(direction: DriverFilter['direction']): readonly XfrmDirection[] {
  return direction === 'outbound' ? ['out'] : ['in', 'fwd'];
}

/** What filters say of tunnels besides one's own. */
export interface Tunnels {
  /** Our own end, where the filter for the way back names it. */
  readonly local?: IpAddress;
  /** What goes into tunnels, by all filters. */
  readonly secured: readonly TunnelTraffic[];
}

/** What an outbound filter takes into a tunnel. */
export interface TunnelTraffic {
  readonly selector: Selector;
  /** Parts of it that a filter before that one lets out in clear. */
  readonly permitted: readonly Selector[];
}

/** What filters take into tunnels; `filters` are in matching order. */
export function tunnelTraffic(filters: readonly DriverFilter[]): TunnelTraffic[] {
  const permits: Selector[] = [];
  const traffic: TunnelTraffic[] = [];
  for (const { direction, action, tunnelEndpoint, selector, connectionType } of filters) {
    if (direction !== 'outbound') continue;
    // What is to be forwarded counts as a LAN's until its way is chosen.
    if (action === 'permit' && connectionType !== 'dialup') {
      if (!traffic.some(earlier => selectorCovers(earlier.selector, selector))) permits.push(selector);
    } else if (action === 'secure' && tunnelEndpoint !== undefined)
      traffic.push({
        selector,
        permitted: permits.flatMap(permit => commonSelector(permit, selector) ?? []),
      });
  }
  return traffic;
}

/**
 * What an inbound filter sees on its way through that is not on its way into a tunnel after all, because a permit before
 * the tunnel lets it out in clear: it must have come protected like any other.
 */
export function permittedThrough({ filter }: PlacedFilter, secured: readonly TunnelTraffic[]): Selector[] {
  const needsNone = filter.direction === 'outbound' || filter.action !== 'secure' || filter.acceptUnsecured;
  if (needsNone) return [];
  const found = secured.flatMap(({ permitted }) =>
    permitted.flatMap(one => commonSelector(filter.selector, one) ?? []),
  );
  return [...new Map(found.map(one => [printSelector(one), one])).values()];
}

/** The policies of one filter. */
export function filterPolicies(
  placed: PlacedFilter,
  host: XfrmHost,
  { local, secured }: Tunnels,
): XfrmPolicy[] {
  const { filter, number, place } = placed;
  const interfaces = interfacesOf(filter, host);
  if (interfaces === undefined) return [];
  const policies = (role: Role, selector: Selector, rest: Pick<XfrmPolicy, 'action' | 'templates'>) =>
    onPaths(filter.direction, xfrmSelectors(selector, policyUser(number, role), interfaces), {
      priority: priorityAt(place, role),
      ...rest,
    });
  const allow = { action: 'allow', templates: [] } as const;
  const block = { action: 'block', templates: [] } as const;
  if (filter.action === 'permit') return policies('filter', filter.selector, allow);
  const guards = fragmentGuards(placed, interfaces);
  if (filter.action === 'block') return [...guards, ...policies('filter', filter.selector, block)];
  // Nothing is negotiated for them: what is secured has none.
  if (isOfOneLink(filter)) return [...guards, ...policies('filter', filter.selector, block)];
  const clear = notNegotiable(filter, host).flatMap(selector => policies('guard', selector, allow));
  const own =
    filter.direction === 'inbound' && filter.acceptUnsecured
      ? allow
      : { action: 'allow' as const, templates: [wantedTemplate(placed, local)] };
  const permitted = permittedThrough(placed, secured).flatMap(selector =>
    onForwardPath(selector, policyUser(number, 'permitted'), {
      priority: priorityAt(place, 'permitted'),
      ...own,
    }),
  );
  return [
    ...permitted,
    ...passages(placed, secured),
    ...guards,
    ...clear,
    ...policies('filter', filter.selector, own),
  ];
}

/** Our ends of tunnels by the printed selector of the filter for the way out. */
export function tunnelLocals(filters: readonly DriverFilter[]): ReadonlyMap<string, IpAddress> {
  const ends = new Map<string, IpAddress>();
  for (const { direction, tunnelEndpoint, selector } of filters)
    if (direction === 'inbound' && tunnelEndpoint !== undefined)
      ends.set(printSelector(mirrorSelector(selector)), tunnelEndpoint);
  return ends;
}

/**
 * What a pair carries, in one direction, in the place of the filter that it serves there. `permitted` is what that filter
 * sees of `permittedThrough`.
 */
export function pairPolicies(
  kernelPair: KernelPair,
  direction: DriverFilter['direction'],
  placed: PlacedFilter | undefined,
  permitted: readonly Selector[] = [],
): XfrmPolicy[] {
  const { pair, requestId, peer } = kernelPair;
  const carried = carriedSelector(pair, peer.address);
  const outbound = direction === 'outbound';
  const [source, destination] = outbound ? [pair.local, peer.address] : [peer.address, pair.local];
  const templates = pair[direction].map((half, index) => ({
    protocol: protocolNumbers[half.protocol],
    mode: modeOf(pair, index),
    source,
    destination,
    // Older and newer pairs may both bring packets; that they carry their own is for their states to see to.
    requestId: outbound ? requestId : 0,
    optional: !outbound && placed?.filter.acceptUnsecured === true,
  }));
  const { number, place } = placed ?? { number: 0, place: noFilter };
  const selector = outbound ? carried : mirrorSelector(carried);
  // What came out of a tunnel must not be quoted in clear (RFC 4301 6.2).
  const quoting = outbound && pair.mode === 'tunnel' ? ({ icmpErrors: true } as const) : {};
  const allow = { action: 'allow', templates, ...quoting } as const;
  const through = permitted.flatMap(one => {
    const both = commonSelector(selector, one);
    if (both === undefined) return [];
    const priority = priorityAt(place, 'permittedPair');
    return onForwardPath(both, policyUser(number, 'permittedPair'), { priority, ...allow });
  });
  const selectors = xfrmSelectors(selector, policyUser(number, 'pair'));
  return [...through, ...onPaths(direction, selectors, { priority: priorityAt(place, 'pair'), ...allow })];
}

/**
 * What passes in clear under a soft SA: out, packets of its filter between the two hosts; in, those of every filter that
 * allows fallback. `filters` are all in force.
 */
export function softPolicies(soft: SoftSa, filters: readonly PlacedFilter[]): XfrmPolicy[] {
  return filters.flatMap(({ filter, number, place }) => {
    const { direction, selector } = filter;
    if (!filter.allowFallback || filter.tunnelEndpoint !== undefined) return [];
    if (direction === 'outbound' && filter.id !== soft.filterId) return [];
    const hosts =
      direction === 'outbound' ? ([soft.local, soft.peer] as const) : ([soft.peer, soft.local] as const);
    const between = betweenHosts(selector, ...hosts);
    if (between === undefined) return [];
    return onPaths(direction, xfrmSelectors(between, policyUser(number, 'soft')), {
      priority: priorityAt(place, 'soft'),
      action: 'allow',
      templates: [],
    });
  });
}

/** Refuses the packets between the hosts of one that waits for a filter's SA. */
export function refusalPolicy({ number, place }: PlacedFilter, packet: XfrmSelector): XfrmPolicy {
  const { source, destination } = packet;
  return {
    selector: { source, destination, protocol: 0, user: policyUser(number, 'guard') },
    direction: 'out',
    action: 'block',
    priority: priorityAt(place, 'guard'),
    templates: [],
  };
}

function onPaths(
  direction: DriverFilter['direction'],
  selectors: readonly XfrmSelector[],
  rest: Omit<XfrmPolicy, 'selector' | 'direction'>,
): XfrmPolicy[] {
  return directionsOf(direction).flatMap(path =>
    selectors.map(selector => ({ selector, direction: path, ...rest })),
  );
}

function onForwardPath(
  selector: Selector,
  user: number,
  rest: Omit<XfrmPolicy, 'selector' | 'direction'>,
): XfrmPolicy[] {
  return xfrmSelectors(selector, user).map(one => ({ selector: one, direction: 'fwd', ...rest }));
}

/** No state has this request id: a packet out asks for one, a packet in is refused. */
function wantedTemplate({ filter, number }: PlacedFilter, tunnelLocal: IpAddress | undefined): XfrmTemplate {
  const any = anyAddress(addressFamily(filter.tunnelEndpoint ?? filter.selector.source.first));
  const outbound = filter.direction === 'outbound';
  return {
    protocol: protocolNumbers.esp,
    mode: filter.tunnelEndpoint === undefined ? 'transport' : 'tunnel',
    source: outbound ? (tunnelLocal ?? any) : any,
    destination: filter.tunnelEndpoint ?? any,
    requestId: filterRequestId(number),
    optional: false,
  };
}

/** On a gateway, packets on their way into a tunnel arrive in clear from the inside, those out of one have come by it. */
function passages({ filter, number, place }: PlacedFilter, secured: readonly TunnelTraffic[]): XfrmPolicy[] {
  if (filter.direction === 'outbound') return [];
  const user = policyUser(number, 'passage');
  const any = anyAddress(addressFamily(filter.selector.source.first));
  const template = { mode: 'tunnel', source: any, destination: any, requestId: 0, optional: true } as const;
  const templates = [protocolNumbers.esp, protocolNumbers.ah].map(protocol => ({ protocol, ...template }));
  return secured.flatMap(into => {
    const both = commonSelector(filter.selector, into.selector);
    if (both === undefined) return [];
    return onForwardPath(both, user, { action: 'allow', priority: priorityAt(place, 'passage'), templates });
  });
}

/**
 * Nothing is negotiated for broadcast and multicast, nor for the traffic of one link, whose addresses mean nothing without
 * an adapter: they pass a filter that wants to secure them.
 */
function notNegotiable({ selector }: DriverFilter, host: XfrmHost): Selector[] {
  const { source, destination } = selector;
  return [
    ...[...groupRanges(host), linkLocal]
      .filter(range => rangesOverlap(range, destination))
      .map(range => ({ ...selector, destination: commonRange(range, destination) })),
    ...(rangesOverlap(linkLocal, source) ? [{ ...selector, source: commonRange(linkLocal, source) }] : []),
  ];
}

/** A filter on link-local addresses alone: its traffic cannot be secured, so it does not pass. */
function isOfOneLink({ selector: { source, destination } }: DriverFilter): boolean {
  return rangeCovers(linkLocal, source) || rangeCovers(linkLocal, destination);
}

/** Fragments have no ports; on a gateway they come one by one, and must not slip past a filter with ports. */
function fragmentGuards(
  { filter, number, place }: PlacedFilter,
  interfaces: readonly number[],
): XfrmPolicy[] {
  const { selector, direction } = filter;
  if (selector.sourcePort === 0 && selector.destinationPort === 0) return [];
  const portless = { ...selector, sourcePort: 0, destinationPort: 0 };
  const user = policyUser(number, 'guard');
  const selectors = xfrmSelectors(portless, user, interfaces).map(one => ({
    ...one,
    sourcePort: 0,
    destinationPort: 0,
  }));
  return (direction === 'outbound' ? (['out'] as const) : (['fwd'] as const)).flatMap(path =>
    selectors.map(one => ({
      selector: one,
      direction: path,
      priority: priorityAt(place, 'guard'),
      action: 'block' as const,
      templates: [],
    })),
  );
}

/** Interfaces that a filter is for: an empty list is all, `undefined` none there is. */
function interfacesOf({ connectionType }: DriverFilter, host: XfrmHost): readonly number[] | undefined {
  if (connectionType === undefined) return [];
  const indexes = host.interfaces
    .filter(({ name }) => connectionTypeOf(name) === connectionType)
    .map(({ index }) => index);
  return indexes.length === 0 ? undefined : indexes;
}
