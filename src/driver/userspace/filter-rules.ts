import type { IpAddress } from '../../wire/ip/address.js';
import { addressOf, type PacketAddress, packetAddress } from '../../wire/ip/ip.js';
import { mirrorSelector, printSelector, rangeContains } from '../../wire/ip/selector.js';
import type { DriverFilter, FilterId } from '../api.js';
import type { ConnectionType } from '../connection-type.js';
import { FilterTable } from '../filter-table.js';
import type { InstalledPair } from '../installed-pair.js';
import { Ipv6FilterTable } from '../ipv6-filter-table.js';
import { type Flow, packetSelector } from '../packet-selector.js';
import { PairPlaces } from '../pair-places.js';

/** A filter in force, how many packets met it, and how many of them it dropped. */
export interface FilterRule {
  readonly filter: DriverFilter;
  /** In matching order, of all filters. */
  readonly place: number;
  packets: number;
  drops: number;
}

/** An outbound filter; with a tunnel, its far end and, where policy says, our own. */
export interface OutboundRule extends FilterRule {
  readonly tunnelPeer: PacketAddress | undefined;
  readonly tunnelLocal: IpAddress | undefined;
}

/** All filters in force, by direction. */
export class FilterRules {
  readonly #outbound: readonly OutboundRule[];
  readonly #inbound: readonly FilterRule[];
  readonly #outboundTables: Tables;
  readonly #inboundTables: Readonly<Record<ConnectionType, Tables>>;
  readonly #pairPlaces: PairPlaces;
  readonly #served = new WeakMap<InstalledPair, { readonly place: number | undefined }>();

  /** `filters` in matching order. Those of the same id go on counting where they were `before`. */
  constructor(filters: readonly DriverFilter[], before?: FilterRules) {
    const packets = before?.packets();
    const drops = before?.drops();
    const rules = filters.map((filter, place) => ({
      filter,
      place,
      packets: packets?.get(filter.id) ?? 0,
      drops: drops?.get(filter.id) ?? 0,
    }));
    this.#inbound = rules.filter(({ filter }) => filter.direction === 'inbound');
    const outbound = rules.filter(({ filter }) => filter.direction === 'outbound' && mayDecide(filter));
    const ownEndpoints = new Map(
      this.#inbound.map(({ filter }) => [printSelector(filter.selector), filter.tunnelEndpoint] as const),
    );
    this.#outbound = outbound.map(({ filter, ...rest }) => ({
      filter,
      ...rest,
      tunnelPeer: filter.tunnelEndpoint === undefined ? undefined : packetAddress(filter.tunnelEndpoint),
      // The rule for the way back names the gateway towards which its packets travel: this host.
      tunnelLocal: ownEndpoints.get(printSelector(mirrorSelector(filter.selector))),
    }));
    this.#outboundTables = new Tables(outbound);
    const ofAll = this.#inbound.every(({ filter }) => filter.connectionType === undefined);
    const lan = new Tables(this.#inbound, 'lan');
    this.#inboundTables = { lan, dialup: ofAll ? lan : new Tables(this.#inbound, 'dialup') };
    this.#pairPlaces = new PairPlaces(filters);
  }

  /** The filter that decides about a packet that leaves; `undefined` when none matches. */
  outbound(flow: Flow): OutboundRule | undefined {
    return this.#outbound[this.#outboundTables.match(flow)];
  }

  /** The filter that decides about a packet that arrives by such an adapter; `undefined` when none matches. */
  inbound(flow: Flow, connectionType: ConnectionType = 'lan'): FilterRule | undefined {
    return this.#inbound[this.#inboundTables[connectionType].match(flow)];
  }

  /** The place of the inbound filter that a pair serves; `undefined` when none has all of its traffic. */
  servedBy(pair: InstalledPair): number | undefined {
    const known = this.#served.get(pair);
    if (known !== undefined) return known.place;
    const place = this.#pairPlaces.placeOf(pair.pair, 'inbound');
    this.#served.set(pair, { place });
    return place;
  }

  /** Whether some packet to that port of a peer is to be secured. `port` 0 without ports. */
  maySecure(peer: PacketAddress, protocol: number, port: number): boolean {
    const address = addressOf(peer);
    return this.#outbound.some(
      ({ filter: { action, selector } }) =>
        action === 'secure' &&
        (selector.protocol === 0 || selector.protocol === protocol) &&
        (selector.destinationPort === 0 || selector.destinationPort === port) &&
        rangeContains(selector.destination, address),
    );
  }

  /** Packets that met each filter. */
  packets(): Map<FilterId, number> {
    return new Map([...this.#outbound, ...this.#inbound].map(rule => [rule.filter.id, rule.packets]));
  }

  /** Packets dropped by each filter that dropped any. */
  drops(): Map<FilterId, number> {
    const dropping = [...this.#outbound, ...this.#inbound].filter(rule => rule.drops > 0);
    return new Map(dropping.map(rule => [rule.filter.id, rule.drops]));
  }
}

/**
 * Packets come here because a `secure` filter matched them first, with their adapter known; here it is not. So a
 * filter of some adapters that does anything else has nothing to say.
 */
function mayDecide({ action, connectionType }: DriverFilter): boolean {
  return action === 'secure' || connectionType === undefined;
}

/** One direction's look-up: a table a family, in which filters have the same numbers. */
class Tables {
  readonly #ipv4: FilterTable;
  readonly #ipv6: Ipv6FilterTable;

  /** Of filters for some adapters, with a `connectionType` only those for such. */
  constructor(rules: readonly Pick<FilterRule, 'filter'>[], connectionType?: ConnectionType) {
    const selectors = rules.map(({ filter }) =>
      connectionType === undefined || (filter.connectionType ?? connectionType) === connectionType
        ? packetSelector(filter.selector)
        : undefined,
    );
    this.#ipv4 = new FilterTable(selectors.map(one => (one?.family === 4 ? one : undefined)));
    this.#ipv6 = new Ipv6FilterTable(selectors.map(one => (one?.family === 6 ? one : undefined)));
  }

  match(flow: Flow): number {
    return flow.family === 4 ? this.#ipv4.match(flow) : this.#ipv6.match(flow);
  }
}
