/**
 * The packet engine alone, without devices: sealing and opening packets of 1,400 bytes in a tunnel, vector after
 * vector, and what a filter look-up costs with few and with many filters. One processor.
 */
import { randomFillSync } from 'node:crypto';
import { type EncryptionId, encryption, type HashId, hash } from '../src/crypto/algorithms.js';
import type { DriverFilter, FilterId, PairId, SaHalf, SaPair, Spi } from '../src/driver/api.js';
import { FilterTable } from '../src/driver/filter-table.js';
import type { Ipv4Flow, Ipv4Selector } from '../src/driver/packet-selector.js';
import { PacketEngine } from '../src/driver/userspace/engine.js';
import { ipAddress } from '../src/wire/ip/address.js';
import { encodeIpv4, ipProtocol, ipv4ToNumber } from '../src/wire/ip/packet.js';
import { mirrorSelector, type Selector, subnetRange } from '../src/wire/ip/selector.js';
import { type Figure, median } from './figure.js';

const packetBytes = 1_400;
/** Packets in a vector, as a busy TUN device gives them. */
const vectorPackets = 32;
const rounds = 5;

const suites: readonly { name: string; encryption: EncryptionId; hash?: HashId }[] = [
  { name: '3des-sha1', encryption: '3des', hash: 'sha1' },
  { name: 'aes128-sha1', encryption: 'aes128', hash: 'sha1' },
  { name: 'aes128gcm', encryption: 'aes128gcm' },
];

const local = ipAddress('192.0.2.1');
const peer = ipAddress('198.51.100.2');
const selector: Selector = {
  source: subnetRange(ipAddress('10.1.0.0'), 24),
  destination: subnetRange(ipAddress('10.2.0.0'), 24),
  protocol: 0,
  sourcePort: 0,
  destinationPort: 0,
};

/** Packets a second, and megabits of clear packet a second, of each suite in each direction. */
export function measureDatapath(millisecondsEach = 1_000): Figure[] {
  return suites.flatMap(suite => {
    const rates = { seal: [] as number[], open: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      const { seal, open } = measureSuite(suite, millisecondsEach / rounds);
      // The first round warms up the compiler.
      if (round > 0) {
        rates.seal.push(seal);
        rates.open.push(open);
      }
    }
    return (['seal', 'open'] as const).flatMap(direction => {
      const packetsPerSecond = median(rates[direction]);
      const figure = `datapath-${direction}-${suite.name}`;
      return [
        { figure, unit: 'packets/s', value: packetsPerSecond },
        { figure, unit: 'Mbit/s', value: (packetsPerSecond * packetBytes * 8) / 1e6 },
      ];
    });
  });
}

/** Nanoseconds of a look-up, for flows seen before and for ever new ones, with 10 and with 10,000 filters. */
export function measureFilterLookup(lookups = 400_000): Figure[] {
  return [10, 10_000].flatMap(count => {
    const selectors = someSelectors(count);
    const table = new FilterTable(selectors);
    const few = someFlows(selectors, 64);
    const many = someFlows(selectors, 50_000);
    return [
      { figure: `filter-lookup-${count}-filters`, unit: 'ns', value: nanoseconds(table, few, lookups) },
      {
        figure: `filter-lookup-${count}-filters-new-flow`,
        unit: 'ns',
        value: nanoseconds(table, many, lookups),
      },
    ];
  });
}

function measureSuite(suite: (typeof suites)[number], forMs: number): { seal: number; open: number } {
  const sealed: Uint8Array[][] = [];
  let delivered = 0;
  const sender = newEngine(packets => sealed.push(packets.map(packet => Uint8Array.from(packet))));
  const receiver = newEngine(
    () => {},
    packets => {
      delivered += packets.length;
    },
  );
  const toPeer = half(suite, 0x1001);
  const fromPeer = half(suite, 0x1002);
  const pair: SaPair = {
    id: 'pair' as PairId,
    local,
    peer,
    mode: 'tunnel',
    selector,
    inbound: [fromPeer],
    outbound: [toPeer],
    lifetime: { softSeconds: 0, hardSeconds: 0, softKilobytes: 0, hardKilobytes: 0 },
  };
  const mirrored = {
    ...pair,
    local: peer,
    peer: local,
    selector: mirrorSelector(selector),
    inbound: [toPeer],
    outbound: [fromPeer],
  };
  sender.setFilters([tunnelFilter()], 0);
  for (const [engine, end] of [
    [sender, pair],
    [receiver, mirrored],
  ] as const) {
    engine.installInbound(end, 0);
    engine.activateOutbound(end.id, 0);
  }
  const vector = Array.from({ length: vectorPackets }, clearPacket);
  const sealMs = elapsed(forMs / 2, nowMs => sender.processOutbound(vector, nowMs));
  const vectors = sealed.length;
  let next = 0;
  const startMs = performance.now();
  while (next < vectors) receiver.processInboundIp(sealed[next++] ?? [], startMs);
  const openMs = performance.now() - startMs;
  if (delivered !== vectors * vectorPackets)
    throw new Error(`${delivered} packets came out of ${vectors} vectors`);
  return { seal: (vectors * vectorPackets * 1e3) / sealMs, open: (delivered * 1e3) / openMs };
}

/** Repeats `work` for about that long; returns how long exactly. */
function elapsed(forMs: number, work: (nowMs: number) => void): number {
  const startMs = performance.now();
  let nowMs = startMs;
  while (nowMs - startMs < forMs) {
    work(nowMs);
    nowMs = performance.now();
  }
  return nowMs - startMs;
}

function newEngine(
  onSent: (packets: readonly Uint8Array[]) => void,
  onDelivered: (packets: readonly Uint8Array[]) => void = () => {},
): PacketEngine {
  return new PacketEngine({
    tun: { write: onDelivered },
    sockets: {
      sendIpPackets: packets => {
        onSent(packets);
        return 0;
      },
      sendDatagrams: () => 0,
      pathMtu: () => 1_500,
    },
    random: length => randomFillSync(new Uint8Array(length)),
    emit: () => {},
  });
}

function half(suite: (typeof suites)[number], spi: number): SaHalf {
  const { keyBytes, saltBytes } = encryption(suite.encryption);
  return {
    protocol: 'esp',
    spi: spi as Spi,
    encryption: suite.encryption,
    encryptionKey: randomFillSync(new Uint8Array(keyBytes + saltBytes)),
    integrityKey: randomFillSync(new Uint8Array(suite.hash === undefined ? 0 : hash(suite.hash).digestBytes)),
    ...(suite.hash === undefined ? {} : { hash: suite.hash }),
  };
}

function tunnelFilter(): DriverFilter {
  return {
    id: 'tunnel' as FilterId,
    policyId: '',
    direction: 'outbound',
    selector,
    action: 'secure',
    acceptUnsecured: false,
    allowFallback: false,
    tunnelEndpoint: peer,
  };
}

function clearPacket(): Uint8Array {
  const payload = randomFillSync(new Uint8Array(packetBytes - 20));
  return encodeIpv4(
    {
      tos: 0,
      identification: 1,
      dontFragment: true,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: 64,
      protocol: ipProtocol.udp,
      source: ipv4ToNumber(ipAddress('10.1.0.7')),
      destination: ipv4ToNumber(ipAddress('10.2.0.9')),
    },
    payload,
  );
}

/** Filters as a large policy has them: servers by host and port, subnets, and a rule for the rest. */
function someSelectors(count: number): Ipv4Selector[] {
  const own = {
    family: 4 as const,
    sourceFirst: 0x0a01_0001,
    sourceLast: 0x0a01_0001,
    sourcePort: 0,
  };
  const selectors = Array.from({ length: count - 1 }, (_, i) => {
    const host = (0x0a02_0000 + i * 11) >>> 0;
    return i % 3 === 2
      ? {
          ...own,
          destinationFirst: host & ~0xff,
          destinationLast: host | 0xff,
          protocol: 0,
          destinationPort: 0,
        }
      : {
          ...own,
          destinationFirst: host,
          destinationLast: host,
          protocol: i % 3 === 0 ? ipProtocol.tcp : ipProtocol.udp,
          destinationPort: 1_024 + (i % 5_000),
        };
  });
  const specificity = (one: { destinationFirst: number; destinationLast: number }) =>
    one.destinationLast - one.destinationFirst;
  selectors.sort((a, b) => specificity(a) - specificity(b));
  return [
    ...selectors,
    {
      ...own,
      sourceFirst: 0,
      sourceLast: 0xffff_ffff,
      destinationFirst: 0,
      destinationLast: 0xffff_ffff,
      protocol: 0,
      destinationPort: 0,
    },
  ];
}

/** Packets of all filters in turn, from many ports. */
function someFlows(selectors: readonly Ipv4Selector[], count: number): Ipv4Flow[] {
  return Array.from({ length: count }, (_, i) => {
    const wanted = selectors[(i * 7) % selectors.length];
    return {
      family: 4,
      source: 0x0a01_0001,
      destination: wanted?.destinationLast ?? 0,
      protocol: wanted?.protocol || ipProtocol.tcp,
      sourcePort: 1_024 + i,
      destinationPort: wanted?.destinationPort || 80,
    };
  });
}

function nanoseconds(table: FilterTable, flows: readonly Ipv4Flow[], lookups: number): number {
  const perRound = Array.from({ length: rounds }, () => {
    let found = 0;
    const startMs = performance.now();
    for (let i = 0; i < lookups; )
      for (const flow of flows) if (i++ < lookups && table.match(flow) >= 0) found++;
    const spentMs = performance.now() - startMs;
    if (found !== lookups) throw new Error(`${found} of ${lookups} packets met a filter`);
    return (spentMs * 1e6) / lookups;
  });
  return median(perRound.slice(1));
}
