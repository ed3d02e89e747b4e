import type { IpAddress } from '../../wire/ip/address.js';
import type {
  DriverEvent,
  DriverFilter,
  DriverStatistics,
  FilterId,
  IkeDatagram,
  PairId,
  PairStatistics,
  SaPair,
} from '../api.js';
import type { TunDevice, UdpDatagram, WireSockets } from './io.js';

/** What the engine needs of its surroundings. Everything it calls runs to completion before the call returns. */
export interface PacketEngineDependencies {
  readonly tun: Pick<TunDevice, 'write'>;
  readonly sockets: Pick<WireSockets, 'sendIpPackets' | 'sendDatagrams' | 'pathMtu' | 'localAddress'>;
  /** `length` random bytes for initialisation vectors; tests pass a seeded generator. */
  random(length: number): Uint8Array;
  emit(event: DriverEvent): void;
}

/** Settings that hold for all traffic; every field has a default. */
export interface PacketEngineOptions {
  /** DF bit of the outer header in tunnel mode (`esp-ah.md` 6); `copy` by default. */
  readonly dontFragment?: 'copy' | 'set' | 'clear';
  /** Packets and bytes held per filter and peer while IKE negotiates; 64 and 65,536 by default. */
  readonly queuePackets?: number;
  readonly queueBytes?: number;
  /** Local UDP port whose datagrams are plain IKE without a marker; 500 by default. */
  readonly ikePort?: number;
}

/**
 * The user-space packet engine: filters, protects and opens packets. It does no I/O of its own, sets no timers and
 * reads no clock: packets and the time (`nowMs`, monotonic) come in as arguments, packets go out through
 * `tun` and `sockets`, and what IKE must know through `emit`. No packet, however malformed, makes it throw.
 */
export class PacketEngine {
  readonly dependencies: PacketEngineDependencies;
  readonly options: PacketEngineOptions;

  constructor(dependencies: PacketEngineDependencies, options: PacketEngineOptions = {}) {
    this.dependencies = dependencies;
    this.options = options;
  }
  /** Replaces all filters, in matching order (first match decides), and sends queued packets through them again. */
  setFilters(_filters: readonly DriverFilter[], _nowMs: number): void {
    throw new Error('not built yet');
  }
  /** Makes the inbound SAs live. Throws `IpseckitError` for a pair it cannot carry (IPv6, AH in UDP, a bad key). */
  installInbound(_pair: SaPair, _nowMs: number): void {
    throw new Error('not built yet');
  }
  /** Sends with this pair from now on and releases packets queued for its filter and peer. */
  activateOutbound(_pairId: PairId, _nowMs: number): void {
    throw new Error('not built yet');
  }
  removePair(_pairId: PairId): void {
    throw new Error('not built yet');
  }
  /** Drops and counts what is queued for that filter and peer. */
  negotiationFailed(_filterId: FilterId, _peer: IpAddress): void {
    throw new Error('not built yet');
  }
  /** Sends an IKE message, with the non-ESP marker where the local port wants one (a lone 0xFF keepalive never). */
  sendIke(_datagram: IkeDatagram): void {
    throw new Error('not built yet');
  }
  /** Clear packets the kernel routed into the TUN device. */
  processOutbound(_packets: readonly Uint8Array[], _nowMs: number): void {
    throw new Error('not built yet');
  }
  /** Whole IP packets of protocol 50 or 51 addressed to this host. */
  processInboundIp(_packets: readonly Uint8Array[], _nowMs: number): void {
    throw new Error('not built yet');
  }
  /**
   * Clear packets that arrived from outside, for surroundings that do not filter them themselves (the real driver
   * leaves this to nftables): delivered or dropped by the inbound filters.
   */
  processInboundClear(_packets: readonly Uint8Array[], _nowMs: number): void {
    throw new Error('not built yet');
  }
  /** Datagrams of the IKE ports: IKE becomes an `ike` event, keepalives vanish, the rest is ESP in UDP. */
  processDatagrams(_datagrams: readonly UdpDatagram[], _nowMs: number): void {
    throw new Error('not built yet');
  }
  /** Acts on whatever is due: lifetimes, queue and reassembly time-outs. */
  tick(_nowMs: number): void {
    throw new Error('not built yet');
  }
  /** When `tick` is wanted next, on the clock of `nowMs`; `undefined` when nothing is pending. */
  nextWakeMs(): number | undefined {
    throw new Error('not built yet');
  }
  statistics(): DriverStatistics {
    throw new Error('not built yet');
  }
  pairStatistics(): readonly PairStatistics[] {
    throw new Error('not built yet');
  }
  /** Packets seen by each filter. */
  filterPackets(): ReadonlyMap<FilterId, number> {
    throw new Error('not built yet');
  }
}
