import { RandomPool } from '../../crypto/random-pool.js';
import { WireError } from '../../wire/bytes.js';
import { classifyEncapsulated, isKeepalive, nonEspMarkerBytes } from '../../wire/esp.js';
import type { IpAddress } from '../../wire/ip/address.js';
import type { QuotedSa } from '../../wire/ip/icmp.js';
import { addressOf, decodeIp, isGroup, packetAddress } from '../../wire/ip/ip.js';
import { selectorsEqual } from '../../wire/ip/selector.js';
import type {
  DriverEvent,
  DriverFilter,
  DriverStatistics,
  DropHistory,
  DropRecord,
  FilterId,
  IkeDatagram,
  PairId,
  PairStatistics,
  SaPair,
  SoftSa,
  SoftSaStatistics,
} from '../api.js';
import type { ConnectionType } from '../connection-type.js';
import { InstalledPair } from '../installed-pair.js';
import { NatClients } from '../nat-client.js';
import { flowOf } from '../packet-selector.js';
import { SaDatabase } from '../sa-database.js';
import { AcquireQueue } from './acquire-queue.js';
import { ClientPorts, type Steer, type SteeredPort } from './client-ports.js';
import { Counters } from './counters.js';
import { FilterRules } from './filter-rules.js';
import { InboundPath } from './inbound.js';
import type { TunDevice, UdpDatagram, WireSockets } from './io.js';
import { refusalOfOpened } from './opened-packets.js';
import { OutboundPath } from './outbound.js';
import { OutboundFate } from './outbound-fate.js';
import { SoftAssociations } from './soft-associations.js';

/** What the engine needs of its surroundings. Everything it calls runs to completion before the call returns. */
export interface PacketEngineDependencies {
  readonly tun: Pick<TunDevice, 'write'>;
  readonly sockets: Pick<
    WireSockets,
    'sendIpPackets' | 'sendDatagrams' | 'pathMtu' | 'localAddress' | 'isPeerPortInUse'
  >;
  /** `length` random bytes for initialisation vectors; tests pass a seeded generator. */
  random(length: number): Uint8Array;
  /** What the adapter that has an address of ours counts as; a LAN's when absent. */
  connectionTypeOf?(local: IpAddress): ConnectionType;
  emit(event: DriverEvent): void;
  /** Absent where all packets of this host come to the engine anyway. */
  readonly steer?: Steer;
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

const defaultQueuePackets = 64;
const defaultQueueBytes = 65_536;
const queueTotalBytes = 8 * 1024 * 1024;
const defaultIkePort = 500;

/**
 * The user-space packet engine: filters, protects and opens packets. It does no I/O of its own, sets no timers and
 * reads no clock: packets and the time (`nowMs`, monotonic) come in as arguments, packets go out through
 * `tun` and `sockets`, and what IKE must know through `emit`. No packet, however malformed, makes it throw.
 *
 * Outbound: `OutboundFate` says what becomes of a packet: `FilterRules` tell what is to happen to it, `SaDatabase` finds the pair
 * for it, or `AcquireQueue` holds it; `OutboundPath` protects and sends. Inbound: `InboundPath` finds the pair by SPI, opens and delivers.
 */
export class PacketEngine {
  readonly #deps: PacketEngineDependencies;
  readonly #ikePort: number;
  readonly #random: RandomPool;
  readonly #counters = new Counters();
  readonly #clients: NatClients;
  readonly #clientPorts: ClientPorts;
  readonly #database: SaDatabase;
  readonly #queue: AcquireQueue;
  readonly #soft = new SoftAssociations();
  readonly #outbound: OutboundPath;
  readonly #fate: OutboundFate;
  readonly #inbound: InboundPath;
  #rules: FilterRules = new FilterRules([]);
  /** Earliest lifetime limit of any pair. */
  #nextLimitAtMs = Number.POSITIVE_INFINITY;

  constructor(dependencies: PacketEngineDependencies, options: PacketEngineOptions = {}) {
    const { tun, sockets } = dependencies;
    const onFailure = (error: Error) => dependencies.emit({ kind: 'failed', error });
    this.#deps = dependencies;
    this.#ikePort = options.ikePort ?? defaultIkePort;
    this.#random = new RandomPool(length => dependencies.random(length));
    this.#clients = new NatClients(
      this.#random.u32(),
      (protocol, peer, port) => sockets.isPeerPortInUse?.(protocol, addressOf(peer), port) ?? false,
    );
    this.#database = new SaDatabase(this.#clients);
    this.#clientPorts = new ClientPorts({
      clients: this.#clients,
      database: this.#database,
      deliver: packets => {
        try {
          tun.write(packets);
        } catch (error) {
          onFailure(error instanceof Error ? error : new Error(String(error)));
        }
      },
      ...(dependencies.steer === undefined ? {} : { steer: dependencies.steer }),
    });
    this.#queue = new AcquireQueue({
      packets: options.queuePackets ?? defaultQueuePackets,
      bytes: options.queueBytes ?? defaultQueueBytes,
      totalBytes: queueTotalBytes,
    });
    this.#outbound = new OutboundPath({
      tun,
      sockets,
      counters: this.#counters,
      random: this.#random,
      dontFragment: options.dontFragment ?? 'copy',
      onFailure,
    });
    this.#fate = new OutboundFate({
      rules: () => this.#rules,
      database: this.#database,
      clientPorts: this.#clientPorts,
      soft: this.#soft,
      queue: this.#queue,
      path: this.#outbound,
      counters: this.#counters,
      emit: event => dependencies.emit(event),
      localAddress: destination => sockets.localAddress?.(destination),
      used: (pair, nowMs) => this.#watchLifetime(pair, nowMs),
    });
    this.#inbound = new InboundPath({
      tun,
      database: this.#database,
      clients: this.#clients,
      clientPorts: this.#clientPorts,
      counters: this.#counters,
      emit: event => dependencies.emit(event),
      refusal: (pair, flow) => refusalOfOpened(this.#rules, this.#soft, pair, flow),
      used: (pair, nowMs) => this.#watchLifetime(pair, nowMs),
      onFailure,
    });
  }

  /** Replaces all filters, in matching order (first match decides), and sends queued packets through them again. */
  setFilters(filters: readonly DriverFilter[], nowMs: number): void {
    this.#rules = new FilterRules(filters, this.#rules);
    this.#clients.translations.retain(({ peer, protocol, port }) =>
      this.#rules.maySecure(peer, protocol, port),
    );
    this.#release(this.#queue.takeAll(), nowMs);
  }

  /**
   * Makes the inbound SAs live. Throws `IpseckitError`: UNSUPPORTED for AH in UDP, INVALID_POLICY for keys that must not
   * be used and for ends of different families.
   */
  installInbound(pair: SaPair, nowMs: number): void {
    const installed = new InstalledPair(pair, this.#random, nowMs);
    installed.connectionType = this.#deps.connectionTypeOf?.(pair.local) ?? 'lan';
    this.#database.add(installed);
    this.#nextLimitAtMs = Math.min(this.#nextLimitAtMs, installed.lifetime.nextAtMs);
  }

  /** Sends with this pair from now on and releases packets queued for its filter and peer. */
  activateOutbound(pairId: PairId, nowMs: number): void {
    const pair = this.#database.find(pairId);
    if (pair === undefined || pair.lifetime.isOver) return;
    if (!pair.outboundActive) {
      this.#counters.keyAdditions++;
      if (this.#isRekey(pair)) this.#counters.rekeys++;
    }
    this.#database.activate(pair);
    this.#release(this.#queue.take(pair.pair.filterId, pair.peer), nowMs);
  }

  removePair(pairId: PairId): void {
    if (this.#database.remove(pairId) !== undefined) this.#counters.keyDeletions++;
  }

  /** Drops and counts what is queued for that filter and peer. */
  negotiationFailed(filterId: FilterId, peer: IpAddress, nowMs: number): void {
    this.#dropWaiting(this.#queue.take(filterId, packetAddress(peer)), nowMs);
  }

  /** Lets traffic of a fallback filter between two hosts pass in clear, and sends what is queued for it. */
  addSoftSa(soft: SoftSa, nowMs: number): void {
    this.#soft.add(soft);
    this.#release(this.#queue.take(soft.filterId, packetAddress(soft.peer)), nowMs);
  }

  removeSoftSa(soft: SoftSa): void {
    this.#soft.remove(soft);
  }

  /** Inbound counts only what `processInboundClear` saw. */
  softSaStatistics(): readonly SoftSaStatistics[] {
    return this.#soft.statistics();
  }

  /** Sends an IKE message, with the non-ESP marker where the local port wants one (a lone 0xFF keepalive never). */
  sendIke(datagram: IkeDatagram, nowMs: number): void {
    const { local, peer, bytes } = datagram;
    const plain = local.port === this.#ikePort || isKeepalive(bytes);
    const payload = plain ? bytes : Buffer.concat([new Uint8Array(nonEspMarkerBytes), bytes]);
    const refused = this.#deps.sockets.sendDatagrams([{ local, peer, payload }]);
    const packet = { local: peer, peer: local, payload };
    this.#counters.drop({
      reason: 'send-failed',
      direction: 'outbound',
      atMs: nowMs,
      packet,
      packets: refused,
    });
  }

  /** Whether we send to an address with such an SA. */
  sendsWith({ protocol, spi }: QuotedSa, destination: IpAddress): boolean {
    for (const { outboundEsp, outboundAh, udpPeer, pair } of this.#database.all()) {
      const sa = protocol === 'esp' ? outboundEsp : outboundAh;
      if (sa?.spi === spi && (udpPeer?.address ?? pair.peer) === destination) return true;
    }
    return false;
  }

  /** Clear packets the kernel routed into the TUN device. */
  processOutbound(packets: readonly Uint8Array[], nowMs: number): void {
    for (const packet of packets) {
      try {
        this.#fate.of(packet, nowMs);
      } catch (error) {
        this.#absorb(error, 'outbound', packet, nowMs);
      }
    }
    this.#outbound.flush(nowMs);
  }

  /** Whole IP packets of protocol 50 or 51 addressed to this host. */
  processInboundIp(packets: readonly Uint8Array[], nowMs: number): void {
    for (const packet of packets) {
      try {
        this.#inbound.acceptIp(packet, nowMs);
      } catch (error) {
        this.#absorb(error, 'inbound', packet, nowMs);
      }
    }
    this.#inbound.flush(nowMs);
  }

  /**
   * Clear packets that arrived from outside, for surroundings that do not filter them themselves (the real driver
   * leaves this to nftables): delivered or dropped by the inbound filters.
   */
  processInboundClear(packets: readonly Uint8Array[], nowMs: number): void {
    const accepted = packets.filter(packet => {
      try {
        return this.#acceptsClear(packet, nowMs);
      } catch (error) {
        this.#absorb(error, 'inbound', packet, nowMs);
        return false;
      }
    });
    if (accepted.length > 0) this.#deps.tun.write(accepted);
  }

  /** Datagrams of the IKE ports: IKE becomes an `ike` event, keepalives vanish, the rest is ESP in UDP. */
  processDatagrams(datagrams: readonly UdpDatagram[], nowMs: number): void {
    for (const datagram of datagrams) {
      try {
        this.#demultiplex(datagram, nowMs);
      } catch (error) {
        this.#absorb(error, 'inbound', datagram, nowMs);
      }
    }
    this.#inbound.flush(nowMs);
  }

  /** Acts on whatever is due: lifetimes, queue and reassembly time-outs. */
  tick(nowMs: number): void {
    if (nowMs >= this.#nextLimitAtMs) {
      for (const pair of [...this.#database.all()]) this.#watchLifetime(pair, nowMs);
      this.#nextLimitAtMs = Number.POSITIVE_INFINITY;
      for (const pair of this.#database.all())
        this.#nextLimitAtMs = Math.min(this.#nextLimitAtMs, pair.lifetime.nextAtMs);
    }
    this.#dropWaiting(this.#queue.takeTimedOut(nowMs), nowMs);
    this.#fate.fragments.expire(nowMs);
    this.#inbound.reassembler.expire(nowMs);
  }

  /** When `tick` is wanted next, on the clock of `nowMs`; `undefined` when nothing is pending. */
  nextWakeMs(): number | undefined {
    const next = Math.min(
      this.#nextLimitAtMs,
      this.#queue.nextTimeoutMs ?? Number.POSITIVE_INFINITY,
      this.#fate.fragments.nextTimeoutMs ?? Number.POSITIVE_INFINITY,
      this.#inbound.reassembler.nextTimeoutMs ?? Number.POSITIVE_INFINITY,
    );
    return Number.isFinite(next) ? next : undefined;
  }

  statistics(): DriverStatistics {
    const live = [...this.#database.all()].filter(pair => !pair.lifetime.isOver);
    return this.#counters.statistics({
      activeAssociations: live.length,
      activeTunnels: live.filter(pair => pair.isTunnel).length,
      pendingKeys: this.#queue.size,
    });
  }

  pairStatistics(): readonly PairStatistics[] {
    return Array.from(this.#database.all(), pair => pair.statistics());
  }

  /** Packets seen by each filter. */
  filterPackets(): ReadonlyMap<FilterId, number> {
    return this.#rules.packets();
  }

  /** What is remembered of packets that this engine dropped. */
  dropHistory(): DropHistory {
    return { ...this.#counters.dropLog.history(), byFilter: this.#rules.drops() };
  }

  /** All that `steer` was asked for and that are wanted still. */
  steeredPorts(): readonly SteeredPort[] {
    return this.#clientPorts.steered();
  }

  /** Sends packets that waited on their way again. Their filter has counted them. */
  #release(packets: readonly Uint8Array[], nowMs: number): void {
    for (const packet of packets) {
      try {
        this.#fate.again(packet, nowMs);
      } catch (error) {
        this.#absorb(error, 'outbound', packet, nowMs);
      }
    }
    this.#outbound.flush(nowMs);
  }

  /** Counts what waited for SAs in vain. */
  #dropWaiting(packets: readonly Uint8Array[], atMs: number): void {
    for (const packet of packets)
      this.#counters.drop({ reason: 'negotiation-failed', direction: 'outbound', atMs, packet });
  }

  #watchLifetime(pair: InstalledPair, nowMs: number): void {
    const bytes = Math.max(pair.bytesSent, pair.bytesReceived);
    const expiry = pair.lifetime.check(nowMs, bytes, pair.highestSequence);
    if (expiry === undefined) return;
    if (expiry.kind === 'hardExpired') this.#database.deactivate(pair);
    this.#deps.emit({ ...expiry, pairId: pair.pair.id });
  }

  /** Whether the pair takes over from one for the same traffic. */
  #isRekey(pair: InstalledPair): boolean {
    for (const other of this.#database.all()) {
      if (
        other !== pair &&
        other.outboundActive &&
        other.peer === pair.peer &&
        other.client === pair.client &&
        other.pair.mode === pair.pair.mode &&
        selectorsEqual(other.pair.selector, pair.pair.selector)
      )
        return true;
    }
    return false;
  }

  #demultiplex(datagram: UdpDatagram, nowMs: number): void {
    const { local, peer, payload } = datagram;
    const kind = local.port === this.#ikePort ? 'ike' : classifyEncapsulated(payload);
    if (kind === 'esp') this.#inbound.acceptUdp(datagram, nowMs);
    else if (kind === 'malformed')
      this.#counters.drop({ reason: 'malformed', direction: 'inbound', atMs: nowMs, packet: datagram });
    else if (kind === 'ike') {
      const start = local.port === this.#ikePort ? 0 : nonEspMarkerBytes;
      // A copy: whoever takes the event may keep it, the datagram's memory is used again.
      const bytes = Uint8Array.from(payload.subarray(start));
      this.#deps.emit({ kind: 'ike', datagram: { local, peer, bytes } });
    }
  }

  #acceptsClear(packet: Uint8Array, nowMs: number): boolean {
    const header = decodeIp(packet);
    const flow = flowOf(packet, header);
    if (this.#clients.translations.at(header.source, header.protocol, flow.sourcePort) !== undefined) {
      this.#counters.drop({ reason: 'clear-but-secured', direction: 'inbound', atMs: nowMs, packet });
      return false;
    }
    const rule = this.#rules.inbound(flow);
    if (rule === undefined) return true;
    rule.packets++;
    const { action, acceptUnsecured } = rule.filter;
    if (action === 'block') {
      rule.drops++;
      this.#counters.drop({ reason: 'blocked', direction: 'inbound', atMs: nowMs, packet });
      return false;
    }
    if (action === 'permit' || acceptUnsecured || isGroup(header.destination)) return true;
    if (this.#soft.passesInbound(rule.filter, header)) return true;
    rule.drops++;
    this.#counters.drop({ reason: 'clear-but-secured', direction: 'inbound', atMs: nowMs, packet });
    return false;
  }

  /** No packet may stop the engine: what cannot be decoded is counted, a fault of ours is reported as well. */
  #absorb(
    error: unknown,
    direction: DropRecord['direction'],
    packet: Uint8Array | UdpDatagram,
    atMs: number,
  ): void {
    const note = error instanceof WireError ? error.message : undefined;
    this.#counters.drop({ reason: 'malformed', direction, atMs, packet, note });
    if (error instanceof WireError) return;
    this.#deps.emit({ kind: 'failed', error: error instanceof Error ? error : new Error(String(error)) });
  }
}
