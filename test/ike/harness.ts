/**
 * Engines over a simulated network with a virtual clock: loss, duplication, delay and NAT under a seed, and a
 * stand-in for each host's driver that keeps its pairs, sends traffic through them and reports what a driver would.
 */
import { Secret } from '../../src/crypto/secret.js';
import type { DriverEvent, IkeDatagram, PairId, SaPair } from '../../src/driver/api.js';
import type {
  AcquireRequest,
  AuditEvent,
  ExportedKeys,
  FetchedCrl,
  IkeEffect,
  IkeOptions,
  MainModePolicy,
  NegotiationFailure,
  NegotiationStep,
  QuickModePolicy,
  QuickModeRequest,
} from '../../src/ike/api.js';
import { IkeEngine } from '../../src/ike/engine.js';
import type { SecurityMethod } from '../../src/policy/model.js';
import { toHex } from '../../src/wire/bytes.js';
import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { hostRange, type Selector } from '../../src/wire/ip/selector.js';
import { decodeHeader, decodeMessage, encodeMessage } from '../../src/wire/isakmp/message.js';
import { exchangeTypes, payloadTypes } from '../../src/wire/isakmp/numbers.js';

/** A small, fast generator of 32-bit numbers (mulberry32): the same seed gives the same run. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

export const esp3des: SecurityMethod = { esp: { encryption: '3des', hash: 'sha1' } };

/** Phase-1 settings with cheap cryptography. */
export function mainModePolicy(overrides: Partial<MainModePolicy> & { psk?: string } = {}): MainModePolicy {
  const { psk = 'secret', ...rest } = overrides;
  return {
    methods: [{ encryption: '3des', hash: 'sha1', group: 1 }],
    authentication: [{ kind: 'preshared', key: new Secret(psk) }],
    lifetimeSeconds: 28_800,
    quickModeLimit: 0,
    natTraversal: 'auto',
    ...rest,
  };
}

export interface HostOptions {
  readonly mainMode?: MainModePolicy | undefined;
  /** Those of several rules with its peer: the fingerprint of each is the id of its filter. */
  readonly mainModes?: readonly MainModePolicy[];
  readonly methods?: readonly SecurityMethod[];
  readonly mode?: 'transport' | 'tunnel';
  /** As responder; by default anything in the host's mode is accepted. */
  readonly quickMode?: (request: QuickModeRequest) => QuickModePolicy | { readonly refused: string };
  readonly options?: IkeOptions;
  /** What revocation lists it gets, and after which time. */
  readonly fetchCrls?: (urls: readonly string[]) => {
    readonly delayMs: number;
    readonly results: readonly FetchedCrl[];
  };
  /** Mirrors of the driver: acquire when there is traffic and no pair, report the first packet. */
  readonly traffic?: boolean;
  /** How far its calendar is ahead of its clock. */
  readonly calendarAheadMs?: number;
}

export class Host {
  readonly engine: IkeEngine;
  readonly address: IpAddress;
  readonly pairs = new Map<PairId, SaPair>();
  /** Pairs in use outbound, oldest first. */
  readonly active: PairId[] = [];
  readonly removed: { pairId: PairId; reason: string }[] = [];
  readonly acquired: { requestId: string; pairId: PairId }[] = [];
  readonly failures: NegotiationFailure[] = [];
  readonly audits: AuditEvent[] = [];
  readonly steps: NegotiationStep[] = [];
  readonly keys: ExportedKeys[] = [];
  readonly sent: IkeDatagram[] = [];
  /** The URLs of each fetch asked for. */
  readonly fetches: (readonly string[])[] = [];
  readonly lastInboundAtMs = new Map<PairId, number>();
  readonly lastOutboundAtMs = new Map<PairId, number>();
  /** The random bytes the engine has drawn: its exponents are among them. */
  readonly drawn: Uint8Array[] = [];
  readonly used = new Set<PairId>();
  /** Further addresses it has. */
  readonly aliases = new Set<IpAddress>();
  packets = 0;
  /** When a packet of its traffic did not arrive. */
  readonly lostAtMs: number[] = [];
  traffic: boolean;
  mainModes: readonly MainModePolicy[];
  readonly settings: HostOptions;
  /** Where packets to its peer go. */
  peer: IpAddress;

  constructor(address: IpAddress, peer: IpAddress, random: () => number, settings: HostOptions) {
    this.address = address;
    this.peer = peer;
    this.settings = settings;
    this.traffic = settings.traffic ?? false;
    const { mainMode } = 'mainMode' in settings ? settings : { mainMode: mainModePolicy() };
    this.mainModes = settings.mainModes ?? (mainMode === undefined ? [] : [mainMode]);
    this.engine = new IkeEngine({
      policy: {
        mainModes: () => this.mainModes,
        mainModeOf: filterId => this.mainModes.find(({ fingerprint }) => fingerprint === filterId),
        quickMode: request => this.#quickModePolicy(request),
      },
      random: length => {
        const bytes = Uint8Array.from({ length }, () => random() & 0xff);
        this.drawn.push(bytes);
        return bytes.slice();
      },
      lastInboundAtMs: pairId => this.lastInboundAtMs.get(pairId),
      lastOutboundAtMs: pairId => this.lastOutboundAtMs.get(pairId),
      calendarMs: atMs => atMs + (settings.calendarAheadMs ?? 0),
      ...(settings.options === undefined ? {} : { options: settings.options }),
    });
  }

  /** The offer this host makes for all traffic to its peer. */
  quickModePolicy(selector?: Selector): QuickModePolicy {
    return {
      methods: this.settings.methods ?? [esp3des],
      mode: this.settings.mode ?? 'transport',
      selector: selector ?? {
        source: hostRange(this.address),
        destination: hostRange(this.peer),
        protocol: 0,
        sourcePort: 0,
        destinationPort: 0,
      },
    };
  }

  /** The newest pair in use. */
  get current(): SaPair | undefined {
    const newest = this.active.at(-1);
    return newest === undefined ? undefined : this.pairs.get(newest);
  }

  #quickModePolicy(request: QuickModeRequest): QuickModePolicy | { readonly refused: string } {
    if (this.settings.quickMode) return this.settings.quickMode(request);
    const { mode = 'transport', methods = [esp3des] } = this.settings;
    if (request.mode !== mode) return { refused: `${request.mode} asked, ${mode} wanted` };
    return { methods, mode, selector: request.selector };
  }
}

interface InFlight {
  readonly atMs: number;
  readonly order: number;
  readonly datagram: IkeDatagram;
}

export interface NetworkOptions {
  readonly loss?: number;
  readonly duplication?: number;
  /** Loss of traffic; that of IKE when absent. */
  readonly dataLoss?: number;
  /** Up to this much delay, at random: this reorders. */
  readonly maxDelayMs?: number;
}

export class Simulation {
  nowMs = 1_000_000;
  readonly hosts: Host[] = [];
  readonly random: () => number;
  network: NetworkOptions;
  /** Rewrites addresses on the way (NAT); `undefined` drops the datagram. */
  translate: (datagram: IkeDatagram) => IkeDatagram | undefined = datagram => datagram;
  /** Every datagram put on the wire, for scripted deliveries and replays. */
  readonly wire: IkeDatagram[] = [];
  /** With it, nothing is delivered by itself: `wire` is read by the test. */
  manual = false;
  /** Reports soft and hard limits of pairs in seconds, as a driver does. */
  lifetimes = false;
  readonly #expiries: { atMs: number; host: Host; event: DriverEvent }[] = [];
  readonly #inFlight: InFlight[] = [];
  readonly #later: { atMs: number; run: () => void }[] = [];
  #order = 0;
  #nextTrafficMs = this.nowMs;
  #requests = 0;

  constructor(seed: number, network: NetworkOptions = {}) {
    this.random = generator(seed);
    this.network = network;
  }

  /** A random number in [0, 1). */
  chance(): number {
    return this.random() / 2 ** 32;
  }

  addHost(address: string, peer: string, settings: HostOptions = {}): Host {
    const host = new Host(ipAddress(address), ipAddress(peer), this.random, settings);
    this.hosts.push(host);
    return host;
  }

  acquire(host: Host, overrides: Partial<AcquireRequest> = {}): string {
    const id = `request-${++this.#requests}`;
    const request = { id, local: host.address, peer: host.peer, quickMode: host.quickModePolicy() };
    this.apply(host, host.engine.acquire({ ...request, ...overrides }, this.nowMs));
    return id;
  }

  /** Hands a datagram to the host it is addressed to. */
  deliver(datagram: IkeDatagram): void {
    const { address: to } = datagram.peer;
    const host = this.hosts.find(({ address, aliases }) => address === to || aliases.has(to));
    if (host === undefined) return;
    const { local, peer, bytes } = datagram;
    this.apply(host, host.engine.receive({ local: peer, peer: local, bytes }, this.nowMs));
  }

  /** What the agent and the driver do with effects. */
  apply(host: Host, effects: readonly IkeEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send':
          host.sent.push(effect.datagram);
          this.#send(effect.datagram);
          break;
        case 'installInbound':
          host.pairs.set(effect.pair.id, effect.pair);
          if (this.lifetimes) this.#watch(host, effect.pair);
          break;
        case 'activateOutbound':
          host.active.push(effect.pairId);
          break;
        case 'removePair': {
          host.pairs.delete(effect.pairId);
          const index = host.active.indexOf(effect.pairId);
          if (index >= 0) host.active.splice(index, 1);
          host.removed.push(effect);
          break;
        }
        case 'acquired':
          host.acquired.push(effect);
          break;
        case 'acquireFailed':
          host.failures.push(effect.failure);
          break;
        case 'fetchCrls': {
          host.fetches.push(effect.urls);
          const { delayMs, results } = host.settings.fetchCrls?.(effect.urls) ?? { delayMs: 0, results: [] };
          const run = () => this.apply(host, host.engine.crlsFetched(effect.requestId, results, this.nowMs));
          this.#later.push({ atMs: this.nowMs + delayMs, run });
          break;
        }
        case 'audit':
          host.audits.push(effect.event);
          break;
        case 'progress':
          host.steps.push(effect.step);
          break;
        case 'keys':
          host.keys.push(effect.keys);
          break;
      }
    }
  }

  /** Runs until `done` or `forMs` have passed; returns whether `done`. */
  run(forMs: number, done: () => boolean = () => false): boolean {
    const endMs = this.nowMs + forMs;
    for (;;) {
      if (done()) return true;
      const nextMs = Math.min(...this.#wakeUps());
      if (nextMs > endMs) {
        this.nowMs = endMs;
        return done();
      }
      this.nowMs = Math.max(this.nowMs, nextMs);
      this.#step();
    }
  }

  *#wakeUps(): Iterable<number> {
    for (const { atMs } of this.#inFlight) yield atMs;
    for (const { atMs } of this.#expiries) yield atMs;
    for (const { atMs } of this.#later) yield atMs;
    for (const { engine, traffic } of this.hosts) {
      yield engine.nextWakeMs() ?? Number.POSITIVE_INFINITY;
      if (traffic) yield this.#nextTrafficMs;
    }
    yield Number.POSITIVE_INFINITY;
  }

  #step(): void {
    this.#inFlight.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    const first = this.#inFlight[0];
    if (first !== undefined && first.atMs <= this.nowMs) {
      this.#inFlight.shift();
      this.deliver(first.datagram);
      return;
    }
    const ready = this.#later.findIndex(({ atMs }) => atMs <= this.nowMs);
    if (ready >= 0) {
      for (const { run } of this.#later.splice(ready, 1)) run();
      return;
    }
    const due = this.#expiries.findIndex(({ atMs }) => atMs <= this.nowMs);
    if (due >= 0) {
      for (const { host, event } of this.#expiries.splice(due, 1)) this.event(host, event);
      return;
    }
    if (this.hosts.some(({ traffic }) => traffic) && this.#nextTrafficMs <= this.nowMs) {
      this.#nextTrafficMs = this.nowMs + 1_000;
      for (const host of this.hosts) {
        if (!host.traffic) continue;
        host.packets++;
        if (!this.sendTraffic(host)) host.lostAtMs.push(this.nowMs);
      }
      return;
    }
    for (const host of this.hosts)
      if ((host.engine.nextWakeMs() ?? Number.POSITIVE_INFINITY) <= this.nowMs)
        this.apply(host, host.engine.tick(this.nowMs));
  }

  /** One packet: through the newest pair if there is one, else it asks for one. Returns whether it arrived. */
  sendTraffic(host: Host): boolean {
    const pair = host.current;
    if (pair === undefined) {
      this.acquire(host);
      return false;
    }
    host.lastOutboundAtMs.set(pair.id, this.nowMs);
    if (this.chance() < (this.network.dataLoss ?? this.network.loss ?? 0)) return false;
    for (const receiver of this.hosts) {
      if (receiver === host) continue;
      for (const candidate of receiver.pairs.values()) {
        if (!keysMatch(pair, candidate)) continue;
        receiver.lastInboundAtMs.set(candidate.id, this.nowMs);
        if (!receiver.used.has(candidate.id)) {
          receiver.used.add(candidate.id);
          this.event(receiver, { kind: 'inboundUsed', pairId: candidate.id });
        }
        return true;
      }
    }
    return false;
  }

  /** What the agent does with a driver event. */
  event(host: Host, event: DriverEvent): void {
    const { engine } = host;
    if (event.kind === 'inboundUsed') this.apply(host, engine.inboundUsed(event.pairId, this.nowMs));
    else if (event.kind === 'softExpired') this.apply(host, engine.expire(event.pairId, 'soft', this.nowMs));
    else if (event.kind === 'hardExpired') this.apply(host, engine.expire(event.pairId, 'hard', this.nowMs));
    else if (event.kind === 'peerMoved')
      this.apply(host, engine.peerMoved(event.pairId, event.peer, this.nowMs));
  }

  #watch(host: Host, { id, lifetime }: SaPair): void {
    const at = (seconds: number, kind: 'softExpired' | 'hardExpired') => {
      const event = { kind, pairId: id, cause: 'seconds' } as const;
      if (seconds > 0) this.#expiries.push({ atMs: this.nowMs + seconds * 1_000, host, event });
    };
    at(lifetime.softSeconds, 'softExpired');
    at(lifetime.hardSeconds, 'hardExpired');
  }

  #send(original: IkeDatagram): void {
    this.wire.push(original);
    if (this.manual) return;
    const datagram = this.translate(original);
    if (datagram === undefined) return;
    const { loss = 0, duplication = 0, maxDelayMs = 20 } = this.network;
    const copies = this.chance() < duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.chance() < loss) continue;
      const atMs = this.nowMs + 1 + Math.floor(this.chance() * maxDelayMs);
      this.#inFlight.push({ atMs, order: this.#order++, datagram });
    }
  }
}

/** Whether what `sender` sends is what `receiver` receives: SPIs, algorithms and keys. */
export function keysMatch(sender: SaPair, receiver: SaPair): boolean {
  const print = (halves: SaPair['inbound']) =>
    halves
      .map(half =>
        [
          half.protocol,
          half.spi,
          half.encryption,
          half.hash,
          toHex(half.encryptionKey),
          toHex(half.integrityKey),
        ].join(),
      )
      .join(';');
  return print(sender.outbound) === print(receiver.inbound);
}

/** Whether the two ends of a pair fit in every way. */
export function pairsFit(a: SaPair, b: SaPair): boolean {
  return (
    keysMatch(a, b) &&
    keysMatch(b, a) &&
    a.mode === b.mode &&
    a.lifetime.hardSeconds === b.lifetime.hardSeconds &&
    a.lifetime.hardKilobytes === b.lifetime.hardKilobytes &&
    (a.udpEncapsulation === undefined) === (b.udpEncapsulation === undefined)
  );
}

/** A main mode message 1 or 2 with further vendor IDs at its end; any other as it is. */
export function withVendorIds(datagram: IkeDatagram, ids: readonly Uint8Array[]): IkeDatagram {
  const header = decodeHeader(datagram.bytes);
  if (header.exchangeType !== exchangeTypes['Main mode'] || header.nextPayload !== payloadTypes.SA)
    return datagram;
  const payloads = decodeMessage(datagram.bytes).payloads.map(({ payload }) => payload);
  const further = ids.map(data => ({ kind: 'vid', data }) as const);
  return { ...datagram, bytes: encodeMessage(header, [...payloads, ...further]) };
}

/** Two hosts and nothing in between. */
export function twoHosts(
  seed: number,
  network: NetworkOptions = {},
  a: HostOptions = {},
  b: HostOptions = {},
): { net: Simulation; a: Host; b: Host } {
  const net = new Simulation(seed, network);
  return {
    net,
    a: net.addHost('192.0.2.1', '192.0.2.2', a),
    b: net.addHost('192.0.2.2', '192.0.2.1', b),
  };
}
