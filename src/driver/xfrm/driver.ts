import type { IpAddress } from '../../wire/ip/address.js';
import type {
  AssignedAddress,
  Driver,
  DriverEvent,
  DriverFilter,
  DriverStatistics,
  DropHistory,
  FilterId,
  IkeDatagram,
  PairId,
  PairStatistics,
  SaPair,
  SoftSa,
  SoftSaStatistics,
} from '../api.js';
import { steadyClock } from '../steady-clock.js';
import { XfrmEngine, type XfrmEngineOptions } from './engine.js';
import { IkeSockets } from './ike-sockets.js';
import { kernelLacks } from './kernel-states.js';
import { XfrmSocket } from './netlink.js';

/** The driver that lets the kernel do it: SAs are XFRM states, filters XFRM policies, both set through netlink. */
export class XfrmDriver implements Driver {
  readonly name = 'xfrm';
  readonly #options: XfrmEngineOptions;
  #engine: XfrmEngine | undefined;

  constructor(options: XfrmEngineOptions = {}) {
    this.#options = options;
  }

  async start(onEvent: (event: DriverEvent) => void): Promise<void> {
    if (this.#engine !== undefined) return;
    const socket = new XfrmSocket();
    let sockets: IkeSockets | undefined;
    try {
      const lacking = kernelLacks(socket);
      if (lacking !== undefined) throw lacking;
      // The ports first: who holds them may touch the rest.
      sockets = new IkeSockets(onEvent);
      const engine = new XfrmEngine(socket, sockets, this.#options, onEvent);
      await engine.open();
      this.#engine = engine;
    } catch (error) {
      sockets?.close();
      socket.close();
      throw error;
    }
  }

  async stop(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    await engine?.close();
  }

  setFilters(filters: readonly DriverFilter[]): Promise<void> {
    return this.#started().setFilters(filters);
  }

  setAssignedAddresses(assigned: readonly AssignedAddress[]): Promise<void> {
    return this.#started().setAssignedAddresses(assigned);
  }

  sendIke(datagram: IkeDatagram): void {
    this.#engine?.sendIke(datagram);
  }

  installInbound(pair: SaPair): void {
    this.#started().installInbound(pair);
  }

  activateOutbound(pairId: PairId): void {
    this.#started().activateOutbound(pairId);
  }

  removePair(pairId: PairId): void {
    this.#engine?.removePair(pairId);
  }

  negotiationFailed(filterId: FilterId, peer: IpAddress): void {
    this.#engine?.negotiationFailed(filterId, peer);
  }

  async addSoftSa(soft: SoftSa): Promise<void> {
    this.#started().addSoftSa(soft);
  }

  async removeSoftSa(soft: SoftSa): Promise<void> {
    this.#started().removeSoftSa(soft);
  }

  /** The kernel does not count packets of a policy: what is counted are the times it was seen in use, by the second. */
  async softSaStatistics(): Promise<readonly SoftSaStatistics[]> {
    return this.#started().softSaStatistics();
  }

  statistics(): DriverStatistics {
    return this.#started().statistics();
  }

  pairStatistics(): readonly PairStatistics[] {
    return this.#started().pairStatistics().map(bySteadyClock);
  }

  /** The kernel does not count packets of a policy. */
  async filterPackets(): Promise<ReadonlyMap<FilterId, number>> {
    return new Map();
  }

  /** The kernel counts what it drops: only some packets are looked at. */
  async dropHistory(): Promise<DropHistory> {
    return this.#started().dropHistory();
  }

  #started(): XfrmEngine {
    if (this.#engine === undefined) throw new Error('the driver is not started');
    return this.#engine;
  }
}

/** The kernel tells times by the calendar. */
function bySteadyClock(statistics: PairStatistics): PairStatistics {
  const { lastInboundAtMs: inbound, lastOutboundAtMs: outbound } = statistics;
  return {
    ...statistics,
    ...(inbound === undefined ? {} : { lastInboundAtMs: steadyClock.ofCalendarMs(inbound) }),
    ...(outbound === undefined ? {} : { lastOutboundAtMs: steadyClock.ofCalendarMs(outbound) }),
  };
}
