import { addressFamily, type IpAddress } from '../../wire/ip/address.js';
import { ipv4ToNumber } from '../../wire/ip/packet.js';
import { mirrorSelector, printSelector } from '../../wire/ip/selector.js';
import type { DriverFilter, FilterId } from '../api.js';
import { FilterTable } from '../filter-table.js';
import { type Flow, ipv4Selector } from '../ipv4-selector.js';

/** A filter in force, and how many packets met it. */
export interface FilterRule {
  readonly filter: DriverFilter;
  packets: number;
}

/** An outbound filter; with a tunnel, its far end and, where policy says, our own. */
export interface OutboundRule extends FilterRule {
  readonly tunnelPeer: number | undefined;
  readonly tunnelLocal: IpAddress | undefined;
}

/** All filters in force, by direction. */
export class FilterRules {
  readonly #outbound: readonly OutboundRule[];
  readonly #inbound: readonly FilterRule[];
  readonly #outboundTable: FilterTable;
  readonly #inboundTable: FilterTable;

  /** `filters` in matching order; IPv6 ones are left out for now. `counted` is what filters of the same id met before. */
  constructor(filters: readonly DriverFilter[], counted: ReadonlyMap<FilterId, number> = new Map()) {
    const usable = filters.filter(isIpv4);
    const inbound = usable.filter(filter => filter.direction === 'inbound');
    const outbound = usable.filter(filter => filter.direction === 'outbound' && mayDecide(filter));
    this.#inbound = inbound.map(filter => ({ filter, packets: counted.get(filter.id) ?? 0 }));
    const ownEndpoints = new Map(
      inbound.map(filter => [printSelector(filter.selector), filter.tunnelEndpoint] as const),
    );
    this.#outbound = outbound.map(filter => ({
      filter,
      packets: counted.get(filter.id) ?? 0,
      tunnelPeer: filter.tunnelEndpoint === undefined ? undefined : ipv4ToNumber(filter.tunnelEndpoint),
      // The rule for the way back names the gateway towards which its packets travel: this host.
      tunnelLocal: ownEndpoints.get(printSelector(mirrorSelector(filter.selector))),
    }));
    this.#outboundTable = new FilterTable(outbound.map(filter => ipv4Selector(filter.selector)));
    this.#inboundTable = new FilterTable(inbound.map(filter => ipv4Selector(filter.selector)));
  }

  /** The filter that decides about a packet that leaves; `undefined` when none matches. */
  outbound(flow: Flow): OutboundRule | undefined {
    return this.#outbound[this.#outboundTable.match(flow)];
  }

  /** The filter that decides about a packet that arrives; `undefined` when none matches. */
  inbound(flow: Flow): FilterRule | undefined {
    return this.#inbound[this.#inboundTable.match(flow)];
  }

  /** Packets that met each filter. */
  packets(): Map<FilterId, number> {
    return new Map([...this.#outbound, ...this.#inbound].map(rule => [rule.filter.id, rule.packets]));
  }
}

/**
 * Packets come here because a `secure` filter matched them first, with their adapter known; here it is not. So a
 * filter of some adapters that does anything else has nothing to say.
 */
function mayDecide({ action, connectionType }: DriverFilter): boolean {
  return action === 'secure' || connectionType === undefined;
}

function isIpv4({ selector, tunnelEndpoint }: DriverFilter): boolean {
  return [selector.source.first, tunnelEndpoint].every(
    address => address === undefined || addressFamily(address) === 4,
  );
}
