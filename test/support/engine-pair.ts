/** Two packet engines on one in-memory network, and the SA pairs between them. */
import { type EncryptionId, encryption, type HashId, hash } from '../../src/crypto/algorithms.js';
import type {
  DriverEvent,
  DriverFilter,
  FilterId,
  PairId,
  SaHalf,
  SaPair,
  Spi,
} from '../../src/driver/api.js';
import {
  PacketEngine,
  type PacketEngineDependencies,
  type PacketEngineOptions,
} from '../../src/driver/userspace/engine.js';
import { type MemoryHost, type MemoryHostOptions, MemoryNetwork } from '../../src/driver/userspace/memory.js';
import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { hostRange, mirrorSelector, type Selector, subnetRange } from '../../src/wire/ip/selector.js';
import { SeededRandom } from './random.js';

/** What one pair is made of. */
export interface Suite {
  readonly ah?: HashId;
  readonly esp?: { readonly encryption: EncryptionId; readonly hash?: HashId };
}

export function suiteName(suite: Suite): string {
  const { ah, esp } = suite;
  return [ah && `AH ${ah}`, esp && `ESP ${esp.encryption}${esp.hash ? ` ${esp.hash}` : ''}`]
    .filter(part => part !== undefined)
    .join(' + ');
}

/** A host with an engine; all its listeners are wired, its events are kept. */
export class EngineHost {
  readonly host: MemoryHost;
  readonly engine: PacketEngine;
  readonly events: DriverEvent[] = [];
  /** Those of `unknownSpi`, apart: bad packets make many of them. */
  readonly unknownSpis: DriverEvent[] = [];
  readonly clock: { nowMs: number };

  constructor(
    network: MemoryNetwork,
    options: MemoryHostOptions,
    clock: { nowMs: number },
    random: SeededRandom,
    engineOptions: PacketEngineOptions = {},
    steer?: PacketEngineDependencies['steer'],
  ) {
    this.clock = clock;
    this.host = network.host(options);
    this.engine = new PacketEngine(
      {
        tun: this.host.tun,
        sockets: this.host.sockets,
        random: length => random.bytes(length),
        emit: event => (event.kind === 'unknownSpi' ? this.unknownSpis : this.events).push(event),
        ...(steer === undefined ? {} : { steer }),
      },
      engineOptions,
    );
    this.host.tun.onPackets(packets => this.engine.processOutbound(packets, clock.nowMs));
    this.host.sockets.onIpPackets(packets => this.engine.processInboundIp(packets, clock.nowMs));
    this.host.sockets.onDatagrams(datagrams => this.engine.processDatagrams(datagrams, clock.nowMs));
    this.host.onClearPackets(packets => this.engine.processInboundClear(packets, clock.nowMs));
  }

  /** The kernel routes packets into the TUN device. */
  send(...packets: Uint8Array[]): void {
    this.host.tun.inject(packets);
  }

  /** What the engine wrote to the TUN device since last asked. */
  received(): Uint8Array[] {
    return this.host.tun.takeWritten();
  }

  eventKinds(): string[] {
    return this.events.map(event => event.kind);
  }
}

export const left = ipAddress('192.0.2.1');
export const right = ipAddress('198.51.100.2');

/** Two hosts, `left` and `right`, and the network between. */
export function twoHosts(
  options: {
    readonly seed?: number;
    readonly mtu?: number;
    readonly engine?: PacketEngineOptions;
    readonly leftAddresses?: readonly IpAddress[];
    readonly rightSteer?: PacketEngineDependencies['steer'];
  } = {},
) {
  const network = new MemoryNetwork();
  const clock = { nowMs: 1_000 };
  const random = new SeededRandom(options.seed ?? 1);
  const mtu = options.mtu ?? 1500;
  const l = new EngineHost(
    network,
    { addresses: options.leftAddresses ?? [left], mtu },
    clock,
    random,
    options.engine,
  );
  const r = new EngineHost(
    network,
    { addresses: [right], mtu },
    clock,
    random,
    options.engine,
    options.rightSteer,
  );
  return { network, clock, random, left: l, right: r };
}

export interface PairOptions {
  readonly suite: Suite;
  readonly mode?: 'transport' | 'tunnel';
  /** As `left` sees it outbound; all traffic between the two hosts by default. */
  readonly selector?: Selector;
  readonly extra?: Partial<SaPair>;
  /** For `right` only. */
  readonly extraRight?: Partial<SaPair>;
  readonly id?: string;
  readonly filterId?: string;
  readonly leftFilterId?: string;
  /** Applied to every half. */
  readonly icvBytes?: number;
}

const unlimited = { softSeconds: 0, hardSeconds: 0, softKilobytes: 0, hardKilobytes: 0 };

/** The two ends of one negotiated pair with random keys and SPIs. */
export function makePair(random: SeededRandom, options: PairOptions): { left: SaPair; right: SaPair } {
  const { suite, mode = 'transport', id = 'pair-1' } = options;
  const selector = options.selector ?? hostSelector(left, right);
  const halves = () => {
    const list: SaHalf[] = [];
    if (suite.esp !== undefined) list.push(espHalf(suite.esp, random, options.icvBytes));
    if (suite.ah !== undefined) list.push(ahHalf(suite.ah, random, options.icvBytes));
    return list;
  };
  const toRight = halves();
  const toLeft = halves();
  const common = { id: id as PairId, mode, lifetime: unlimited };
  const filter = (filterId: string | undefined) =>
    filterId === undefined ? {} : { filterId: filterId as FilterId };
  return {
    left: {
      ...common,
      local: left,
      peer: right,
      selector,
      inbound: toLeft,
      outbound: toRight,
      ...filter(options.filterId),
      ...options.extra,
    },
    right: {
      ...common,
      local: right,
      peer: left,
      selector: mirrorSelector(selector),
      inbound: toRight,
      outbound: toLeft,
      ...filter(options.filterId),
      ...options.extra,
      ...options.extraRight,
    },
  };
}

/** Installs and activates both ends. */
export function connect(
  hosts: { left: EngineHost; right: EngineHost },
  pair: { left: SaPair; right: SaPair },
): void {
  for (const [host, end] of [
    [hosts.left, pair.left],
    [hosts.right, pair.right],
  ] as const) {
    host.engine.installInbound(end, host.clock.nowMs);
    host.engine.activateOutbound(end.id, host.clock.nowMs);
  }
}

/** Everything between two hosts. */
export function hostSelector(source: IpAddress, destination: IpAddress): Selector {
  return {
    source: hostRange(source),
    destination: hostRange(destination),
    protocol: 0,
    sourcePort: 0,
    destinationPort: 0,
  };
}

/** Everything between two subnets. */
export function netSelector(source: string, destination: string, prefixLength = 24): Selector {
  return {
    source: subnetRange(ipAddress(source), prefixLength),
    destination: subnetRange(ipAddress(destination), prefixLength),
    protocol: 0,
    sourcePort: 0,
    destinationPort: 0,
  };
}

/** A filter with defaults for what a test does not care about. */
export function filter(
  options: Omit<Partial<DriverFilter>, 'id'> & { readonly id: string; readonly selector: Selector },
): DriverFilter {
  return {
    policyId: '{00000000-0000-0000-0000-000000000000}',
    direction: 'outbound',
    action: 'secure',
    acceptUnsecured: false,
    allowFallback: false,
    ...options,
    id: options.id as FilterId,
  };
}

function espHalf(esp: NonNullable<Suite['esp']>, random: SeededRandom, icvBytes: number | undefined): SaHalf {
  const row = encryption(esp.encryption);
  return {
    protocol: 'esp',
    spi: randomSpi(random),
    encryption: esp.encryption,
    encryptionKey: random.bytes(row.keyBytes + row.saltBytes),
    integrityKey: random.bytes(esp.hash === undefined ? 0 : hash(esp.hash).digestBytes),
    ...(esp.hash === undefined ? {} : { hash: esp.hash }),
    ...(icvBytes === undefined ? {} : { icvBytes }),
  };
}

function ahHalf(ah: HashId, random: SeededRandom, icvBytes: number | undefined): SaHalf {
  return {
    protocol: 'ah',
    spi: randomSpi(random),
    hash: ah,
    encryptionKey: new Uint8Array(0),
    integrityKey: random.bytes(hash(ah).digestBytes),
    ...(icvBytes === undefined ? {} : { icvBytes }),
  };
}

function randomSpi(random: SeededRandom): Spi {
  return random.between(0x100, 0xffff_ffff) as Spi;
}
