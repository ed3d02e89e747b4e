import type { PacketAddress } from '../wire/ip/ip.js';
import type { FilterId, PairId } from './api.js';
import type { InstalledPair } from './installed-pair.js';
import type { NatClient, NatClients } from './nat-client.js';
import { type Flow, matchesFlow } from './packet-selector.js';

/** The installed pairs: by id, by the SPIs of their inbound SAs, and by peer and filter for sending. */
export class SaDatabase {
  readonly #pairs = new Map<PairId, InstalledPair>();
  readonly #inboundEsp = new Map<number, InstalledPair>();
  readonly #inboundAh = new Map<number, InstalledPair>();
  /** Peer, then filter (`undefined`: the peer negotiated without one of ours); newest first. */
  readonly #outbound = new Map<PacketAddress, Map<FilterId | undefined, InstalledPair[]>>();
  readonly #clients: NatClients;

  constructor(clients: NatClients) {
    this.#clients = clients;
  }

  get size(): number {
    return this.#pairs.size;
  }

  all(): IterableIterator<InstalledPair> {
    return this.#pairs.values();
  }

  find(id: PairId): InstalledPair | undefined {
    return this.#pairs.get(id);
  }

  /** Adds a pair for receiving. A pair of the same id is replaced. */
  add(pair: InstalledPair): void {
    this.remove(pair.pair.id);
    this.#pairs.set(pair.pair.id, pair);
    pair.client = this.#clients.join(pair);
    if (pair.inboundEsp !== undefined) this.#inboundEsp.set(pair.inboundEsp.spi, pair);
    if (pair.inboundAh !== undefined) this.#inboundAh.set(pair.inboundAh.spi, pair);
  }

  /** Prefers this pair for sending from now on. */
  activate(pair: InstalledPair): void {
    pair.outboundActive = true;
    const byFilter = this.#outbound.get(pair.peer) ?? new Map<FilterId | undefined, InstalledPair[]>();
    this.#outbound.set(pair.peer, byFilter);
    const others = (byFilter.get(pair.pair.filterId) ?? []).filter(other => other !== pair);
    byFilter.set(pair.pair.filterId, [pair, ...others]);
  }

  /** Stops sending with a pair; it can still receive. */
  deactivate(pair: InstalledPair): void {
    pair.outboundActive = false;
    const byFilter = this.#outbound.get(pair.peer);
    const others = byFilter?.get(pair.pair.filterId)?.filter(other => other !== pair) ?? [];
    if (others.length > 0) byFilter?.set(pair.pair.filterId, others);
    else byFilter?.delete(pair.pair.filterId);
    if (byFilter?.size === 0) this.#outbound.delete(pair.peer);
  }

  /** Removes a pair and returns it, if it was there. */
  remove(id: PairId): InstalledPair | undefined {
    const pair = this.#pairs.get(id);
    if (pair === undefined) return undefined;
    this.deactivate(pair);
    this.#pairs.delete(id);
    const { inboundEsp, inboundAh } = pair;
    if (inboundEsp !== undefined && this.#inboundEsp.get(inboundEsp.spi) === pair)
      this.#inboundEsp.delete(inboundEsp.spi);
    if (inboundAh !== undefined && this.#inboundAh.get(inboundAh.spi) === pair)
      this.#inboundAh.delete(inboundAh.spi);
    if (pair.client !== undefined) this.#clients.leave(pair.client, pair.peer);
    return pair;
  }

  /** The pair of an inbound ESP SA. The caller checks that the packet was addressed to its local end. */
  byEspSpi(spi: number): InstalledPair | undefined {
    return this.#inboundEsp.get(spi);
  }

  /** The pair of an inbound AH SA. The caller checks that the packet was addressed to its local end. */
  byAhSpi(spi: number): InstalledPair | undefined {
    return this.#inboundAh.get(spi);
  }

  /**
   * The newest active pair towards `peer` that carries the flow, negotiated for this filter or for none of ours. `client`:
   * one with that client behind a NAT only.
   */
  outbound(
    filterId: FilterId | undefined,
    peer: PacketAddress,
    flow: Flow,
    client?: NatClient,
  ): InstalledPair | undefined {
    const byFilter = this.#outbound.get(peer);
    if (byFilter === undefined) return undefined;
    return (
      firstMatching(byFilter.get(filterId), flow, client) ??
      (filterId === undefined ? undefined : firstMatching(byFilter.get(undefined), flow, client))
    );
  }
}

function firstMatching(
  pairs: readonly InstalledPair[] | undefined,
  flow: Flow,
  client: NatClient | undefined,
): InstalledPair | undefined {
  if (pairs === undefined) return undefined;
  for (const pair of pairs)
    if ((client === undefined || pair.client === client) && matchesFlow(pair.selector, flow)) return pair;
  return undefined;
}
