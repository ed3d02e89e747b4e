import type {
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
} from '../../src/driver/api.js';
import { PacketEngine } from '../../src/driver/userspace/engine.js';
import type { MemoryHost } from '../../src/driver/userspace/memory.js';
import type { IpAddress } from '../../src/wire/ip/address.js';
import type { VirtualClock } from './virtual-clock.js';

/** The packet engine on a `MemoryHost` as a driver: everything but the kernel. */
export class MemoryDriver implements Driver {
  readonly name = 'memory';
  /** Every list of filters it was given, newest last. */
  readonly filterChanges: (readonly DriverFilter[])[] = [];
  readonly #host: MemoryHost;
  readonly #clock: VirtualClock;
  readonly #engine: PacketEngine;
  #emit: (event: DriverEvent) => void = () => {};
  #cancelWake: () => void = () => {};

  constructor(host: MemoryHost, clock: VirtualClock, random: (length: number) => Uint8Array) {
    this.#host = host;
    this.#clock = clock;
    this.#engine = new PacketEngine({
      tun: host.tun,
      sockets: host.sockets,
      random,
      emit: event => this.#emit(event),
    });
  }

  async start(onEvent: (event: DriverEvent) => void): Promise<void> {
    this.#emit = onEvent;
    const now = () => this.#clock.nowMs();
    this.#host.tun.onPackets(packets => this.#do(() => this.#engine.processOutbound(packets, now())));
    this.#host.sockets.onIpPackets(packets => this.#do(() => this.#engine.processInboundIp(packets, now())));
    this.#host.onClearPackets(packets => this.#do(() => this.#engine.processInboundClear(packets, now())));
    this.#host.sockets.onDatagrams(datagrams =>
      this.#do(() => this.#engine.processDatagrams(datagrams, now())),
    );
  }

  async stop(): Promise<void> {
    this.#emit = () => {};
    this.#cancelWake();
    this.#host.tun.close();
    this.#host.sockets.close();
  }

  async setFilters(filters: readonly DriverFilter[]): Promise<void> {
    this.filterChanges.push(filters);
    this.#do(() => this.#engine.setFilters(filters, this.#clock.nowMs()));
  }

  async setAssignedAddresses(): Promise<void> {}

  sendIke(datagram: IkeDatagram): void {
    this.#engine.sendIke(datagram, this.#clock.nowMs());
  }

  installInbound(pair: SaPair): void {
    this.#do(() => this.#engine.installInbound(pair, this.#clock.nowMs()));
  }

  activateOutbound(pairId: PairId): void {
    this.#do(() => this.#engine.activateOutbound(pairId, this.#clock.nowMs()));
  }

  removePair(pairId: PairId): void {
    this.#engine.removePair(pairId);
  }

  negotiationFailed(filterId: FilterId, peer: IpAddress): void {
    this.#engine.negotiationFailed(filterId, peer, this.#clock.nowMs());
  }

  async addSoftSa(soft: SoftSa): Promise<void> {
    this.#do(() => this.#engine.addSoftSa(soft, this.#clock.nowMs()));
  }

  async removeSoftSa(soft: SoftSa): Promise<void> {
    this.#engine.removeSoftSa(soft);
  }

  async softSaStatistics(): Promise<readonly SoftSaStatistics[]> {
    return this.#engine.softSaStatistics();
  }

  statistics(): DriverStatistics {
    return this.#engine.statistics();
  }

  pairStatistics(): readonly PairStatistics[] {
    return this.#engine.pairStatistics();
  }

  async filterPackets(): Promise<ReadonlyMap<FilterId, number>> {
    return this.#engine.filterPackets();
  }

  async dropHistory(): Promise<DropHistory> {
    return this.#engine.dropHistory();
  }

  /** Does something that may change when the engine wants to be woken. */
  #do(something: () => void): void {
    something();
    this.#cancelWake();
    const wakeMs = this.#engine.nextWakeMs();
    if (wakeMs !== undefined)
      this.#cancelWake = this.#clock.at(wakeMs, () => this.#do(() => this.#engine.tick(this.#clock.nowMs())));
  }
}
