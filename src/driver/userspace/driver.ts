import { randomFillSync } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { addressFamily, type IpAddress } from '../../wire/ip/address.js';
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
import { type ConnectionType, connectionTypeOf } from '../connection-type.js';
import { ikePort, natTraversalPort } from '../ike-ports.js';
import { steeringNames } from '../kernel-names.js';
import { removeXfrmLeftovers } from '../xfrm/leftovers.js';
import { PacketEngine, type PacketEngineOptions } from './engine.js';
import { KernelSteering, removeRouting } from './kernel-steering.js';
import { KernelSockets } from './sockets.js';
import { type NoDefaultExempt, softElement } from './steering.js';
import { SteeringGuard } from './steering-guard.js';
import { KernelTun, tunDeviceName } from './tun.js';
import { nowMs, WakeTimer } from './wake-timer.js';

/** Every field has a default. */
export interface UserspaceDriverOptions {
  /** Name of the TUN device; there is one driver to a network namespace. */
  readonly tunName?: string;
  readonly noDefaultExempt?: NoDefaultExempt;
  readonly engine?: PacketEngineOptions;
  /** Where the kernel's engine remembers what must outlive a kill; nothing is when absent. */
  readonly runtimeFolder?: string;
}

/**
 * Whole datagrams must reach the engine: it protects first and fragments then (RFC 4301 7.1), and answers what is too
 * big itself, knowing what each SA adds. So the device takes the longest packet there is.
 */
const tunMtuBytes = 65_535;

/** The most that protection adds: outer header 20 or 40, UDP 8, ESP with AES-CBC and a 256-bit ICV 73; rounded up to 4. */
const maximumOverheadBytes = { 4: 104, 6: 124 } as const;
/** Inner packets are never meant for more than Ethernet's MTU: jumbo frames rarely reach far. */
const ordinaryMtuBytes = 1500;
/** Ways looked at; hosts with more peers have them behind the same few devices. */
const sampledPeers = 64;
/** Counters read this recently are shown as they are. */
const counterAgeMs = 1_000;

/**
 * The driver in user space: a packet engine between a TUN device and raw and UDP sockets, with the kernel's nftables
 * and policy routing steering packets to it. Everything that happens on this host happens here; the engine is pure.
 */
export class UserspaceDriver implements Driver {
  readonly name = 'userspace';
  readonly #options: UserspaceDriverOptions;
  #running: Running | undefined;
  /** Nothing of the other engine is in the kernel. */
  #isAlone = false;

  constructor(options: UserspaceDriverOptions = {}) {
    this.#options = options;
  }

  async start(onEvent: (event: DriverEvent) => void): Promise<void> {
    if (this.#running !== undefined) return;
    const fail = (error: Error) => onEvent({ kind: 'failed', error });
    // The device first: who holds it may touch the rest.
    const tun = new KernelTun(this.#options.tunName ?? tunDeviceName, fail);
    const steering = new KernelSteering({
      tun: tun.name,
      tunMtuBytes,
      assignedMtuBytes: ordinaryMtuBytes - maximumOverheadBytes[4],
      ikePort,
      natTraversalPort,
      noDefaultExempt: this.#options.noDefaultExempt ?? 0,
    });
    let sockets: KernelSockets | undefined;
    try {
      sockets = new KernelSockets({
        mark: steeringNames.bypassMark,
        ikePort,
        natTraversalPort,
        onFailure: fail,
      });
      // Now the ports are ours, too: nobody uses what changes from here on.
      await steering.start();
      this.#isAlone = false;
      this.#running = this.#wire(tun, sockets, steering, onEvent);
    } catch (error) {
      sockets?.close();
      // Not the filters: there are none but those of an earlier run.
      if (sockets !== undefined) await removeRouting().catch(() => {});
      tun.close();
      throw error;
    }
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    running.timer.cancel();
    for (const guard of running.guards) guard.close();
    running.sockets.close();
    try {
      await running.steering.stop();
      this.#removeOtherEngines();
    } finally {
      running.tun.close();
    }
  }

  async setFilters(filters: readonly DriverFilter[]): Promise<void> {
    const { engine, steering, timer } = this.#started();
    // The engine first: a packet that new rules steer to it must find its filter.
    engine.setFilters(filters, nowMs());
    timer.arm();
    await steering.apply(filters, this.#innerMtuBytes(filters), engine.steeredPorts());
    this.#removeOtherEngines();
  }

  async setAssignedAddresses(assigned: readonly AssignedAddress[]): Promise<void> {
    await this.#started().steering.assign(assigned);
  }

  sendIke(datagram: IkeDatagram): void {
    this.#running?.engine.sendIke(datagram, nowMs());
  }

  installInbound(pair: SaPair): void {
    const { engine, timer } = this.#started();
    engine.installInbound(pair, nowMs());
    timer.arm();
  }

  activateOutbound(pairId: PairId): void {
    const { engine, timer } = this.#started();
    engine.activateOutbound(pairId, nowMs());
    timer.arm();
  }

  removePair(pairId: PairId): void {
    this.#running?.engine.removePair(pairId);
  }

  negotiationFailed(filterId: FilterId, peer: IpAddress): void {
    this.#running?.engine.negotiationFailed(filterId, peer, nowMs());
  }

  async addSoftSa(soft: SoftSa): Promise<void> {
    const { engine, steering, timer } = this.#started();
    // The kernel first: the answers to what is sent in clear must find the way open.
    await steering.allowClear(soft);
    engine.addSoftSa(soft, nowMs());
    timer.arm();
  }

  async removeSoftSa(soft: SoftSa): Promise<void> {
    const { engine, steering } = this.#started();
    engine.removeSoftSa(soft);
    await steering.forbidClear(soft);
  }

  async softSaStatistics(): Promise<readonly SoftSaStatistics[]> {
    const { engine, steering } = this.#started();
    const sent = engine.softSaStatistics();
    const received = sent.length === 0 ? new Map<string, number>() : await steering.clearReceived();
    return sent.map(soft => ({ ...soft, packetsReceived: received.get(softElement(soft)) ?? 0 }));
  }

  /** What nftables counted is as of the last `filterPackets`; one older than a second is read anew for the next call. */
  statistics(): DriverStatistics {
    const { engine, steering, tun } = this.#started();
    const statistics = engine.statistics();
    const { blocked, clearButSecured } = steering.latestCounters;
    if (nowMs() - steering.countersReadAtMs > counterAgeMs) steering.counters().catch(() => {});
    const { drops } = statistics;
    return {
      ...statistics,
      drops: {
        ...drops,
        blocked: drops.blocked + blocked,
        'clear-but-secured': drops['clear-but-secured'] + clearButSecured,
        'send-failed': drops['send-failed'] + tun.refusedPackets,
      },
    };
  }

  pairStatistics(): readonly PairStatistics[] {
    return this.#started().engine.pairStatistics();
  }

  async filterPackets(): Promise<ReadonlyMap<FilterId, number>> {
    const { engine, steering } = this.#started();
    const packets = new Map(engine.filterPackets());
    // An outbound packet meets its filter in nftables, and the same one again in the engine.
    for (const [id, count] of (await steering.counters()).filters)
      packets.set(id, Math.max(count, packets.get(id) ?? 0));
    return packets;
  }

  async dropHistory(): Promise<DropHistory> {
    const { engine, steering } = this.#started();
    if (nowMs() - steering.countersReadAtMs > counterAgeMs) await steering.counters();
    const history = engine.dropHistory();
    const byFilter = new Map(history.byFilter);
    for (const [id, count] of steering.latestCounters.drops)
      byFilter.set(id, (byFilter.get(id) ?? 0) + count);
    return { ...history, byFilter };
  }

  /** Once: the filters of the other engine, should it have been killed, stay until ours are in force. */
  #removeOtherEngines(): void {
    if (this.#isAlone) return;
    removeXfrmLeftovers(this.#options.runtimeFolder);
    this.#isAlone = true;
  }

  #started(): Running {
    if (this.#running === undefined) throw new Error('the driver is not started');
    return this.#running;
  }

  #wire(
    tun: KernelTun,
    sockets: KernelSockets,
    steering: KernelSteering,
    emit: (event: DriverEvent) => void,
  ): Running {
    const fail = (error: Error) => emit({ kind: 'failed', error });
    const engine = new PacketEngine(
      {
        ...{ tun, sockets, emit },
        random: length => randomFillSync(new Uint8Array(length)),
        connectionTypeOf: adapterTypeOf,
        steer: (port, done) =>
          steering.steer(port).then(
            () => done(true),
            error => {
              done(false);
              fail(error);
            },
          ),
      },
      { ikePort, ...this.#options.engine },
    );
    const timer = new WakeTimer(
      () => engine.nextWakeMs(),
      () => engine.tick(nowMs()),
    );
    tun.onPackets(packets => {
      engine.processOutbound(packets, nowMs());
      timer.arm();
    });
    sockets.onIpPackets(packets => {
      engine.processInboundIp(packets, nowMs());
      timer.arm();
    });
    sockets.onDatagrams(datagrams => {
      engine.processDatagrams(datagrams, nowMs());
      timer.arm();
    });
    sockets.believeAbout((sa, destination) => engine.sendsWith(sa, destination));
    sockets.onUndelivered(undelivered => emit({ kind: 'undelivered', ...undelivered }));
    const guards = [
      new SteeringGuard('table', () => steering.restoreTable(), fail),
      new SteeringGuard('routing', () => steering.restoreRouting(), fail),
    ];
    return { tun, sockets, steering, engine, timer, guards };
  }

  /** What fits the narrowest way to a peer, whatever protects it. */
  #innerMtuBytes(filters: readonly DriverFilter[]): number {
    const { sockets } = this.#started();
    const peers = new Set<IpAddress>();
    for (const { direction, action, tunnelEndpoint, selector } of filters) {
      if (direction === 'outbound' && action === 'secure')
        peers.add(tunnelEndpoint ?? selector.destination.first);
      if (peers.size >= sampledPeers) break;
    }
    const innerMtuBytes = [...peers].map(
      peer => Math.min(ordinaryMtuBytes, sockets.pathMtu(peer)) - maximumOverheadBytes[addressFamily(peer)],
    );
    return Math.min(ordinaryMtuBytes - maximumOverheadBytes[4], ...innerMtuBytes);
  }
}

/** What exists between `start` and `stop`. */
interface Running {
  readonly tun: KernelTun;
  readonly sockets: KernelSockets;
  readonly steering: KernelSteering;
  readonly engine: PacketEngine;
  readonly timer: WakeTimer;
  readonly guards: readonly SteeringGuard[];
}

/** What the adapter that has an address counts as. */
function adapterTypeOf(address: IpAddress): ConnectionType {
  const [device] =
    Object.entries(networkInterfaces()).find(([, known]) => known?.some(one => one.address === address)) ??
    [];
  return connectionTypeOf(device ?? '');
}
