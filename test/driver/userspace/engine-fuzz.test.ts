import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ahLength, decodeAh, encodeAh, maskMutableIpv4 } from '../../../src/wire/ah.js';
import { WireError } from '../../../src/wire/bytes.js';
import { decodeEsp, decodeEspTrailer } from '../../../src/wire/esp.js';
import { addressToBigInt, ipAddress } from '../../../src/wire/ip/address.js';
import { fragmentIpv4 } from '../../../src/wire/ip/fragment.js';
import { fragmentationNeededMessage } from '../../../src/wire/ip/icmp.js';
import { encodeIpv6, writeFragmentHeader } from '../../../src/wire/ip/ipv6.js';
import { decodeIpv4, writeU16 } from '../../../src/wire/ip/packet.js';
import { mirrorSelector } from '../../../src/wire/ip/selector.js';
import {
  connect,
  filter,
  hostSelector,
  left,
  makePair,
  netSelector,
  right,
  type Suite,
  twoHosts,
} from '../../support/engine-pair.js';
import { forge, trailed } from '../../support/forged-esp.js';
import { tcpPacket, udpPacket } from '../../support/packets.js';
import { SeededRandom } from '../../support/random.js';

const inputs = Number(process.env.IPSECKIT_FUZZ ?? 300_000);
const seed = Number(process.env.IPSECKIT_FUZZ_SEED ?? 20_031_212);

/** Bytes that no sender would send: random ones, or a real packet with a few changes. */
function mutated(packet: Uint8Array, random: SeededRandom): Uint8Array {
  const changed = Uint8Array.from(packet);
  const changes = random.pick([0, 1, 1, 2, 5]);
  for (let i = 0; i < changes; i++) changed[random.int(changed.length)] = random.int(256);
  if (random.chance(0.2)) return changed.subarray(0, random.int(changed.length + 1));
  if (random.chance(0.1)) {
    const longer = new Uint8Array(changed.length + random.int(60));
    longer.set(changed);
    if (random.chance(0.5)) writeU16(longer, 2, longer.length);
    return longer;
  }
  return changed;
}

/** Random bytes that look like IPv4 often enough to get past the first check. */
function randomPacket(random: SeededRandom): Uint8Array {
  const bytes = random.bytes(random.int(120));
  if (bytes.length >= 20 && random.chance(0.9)) {
    bytes[0] = 0x40 | random.pick([5, 5, 6, 8, 15]);
    writeU16(bytes, 2, random.chance(0.9) ? bytes.length : random.int(0x10000));
    if (random.chance(0.8)) writeU16(bytes, 6, 0);
    bytes[9] = random.pick([1, 4, 6, 17, 50, 51, 51]);
  }
  return bytes;
}

function onlyWireErrors(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    assert.ok(error instanceof WireError, `not a WireError: ${error}`);
    return false;
  }
}

const layouts = [
  { ivBytes: 8, blockBytes: 8, icvBytes: 12 },
  { ivBytes: 16, blockBytes: 16, icvBytes: 16 },
  { ivBytes: 0, blockBytes: 4, icvBytes: 0 },
];

test(`packet codecs: ${Math.floor(inputs / 3)} hostile inputs (seed ${seed}), nothing thrown but WireError`, () => {
  const random = new SeededRandom(seed);
  let decoded = 0;
  for (let i = 0; i < inputs / 3; i++) {
    const bytes = randomPacket(random);
    const whole = onlyWireErrors(() => decodeIpv4(bytes));
    if (whole) {
      decoded++;
      onlyWireErrors(() => fragmentationNeededMessage(bytes, random.int(0x10000)));
      onlyWireErrors(() => fragmentIpv4(bytes, random.int(80)));
      onlyWireErrors(() => maskMutableIpv4(Uint8Array.from(bytes), decodeIpv4(bytes).headerBytes));
    }
    onlyWireErrors(() => {
      const header = decodeAh(bytes.subarray(random.int(30)));
      assert.equal(encodeAh(header).length, ahLength(header));
    });
    onlyWireErrors(() => decodeEsp(bytes, random.pick(layouts)));
    onlyWireErrors(() => decodeEspTrailer(bytes));
  }
  assert.ok(decoded > inputs / 20, `${decoded} inputs got past the IP header`);
});

/** A chain of extension headers, and where the last one names what follows. */
function extensionChain(random: SeededRandom): { readonly bytes: Uint8Array; readonly first: number } {
  const kinds = Array.from({ length: random.int(4) }, () => random.pick([0, 43, 60]));
  const headers = kinds.map((_, i) => {
    const header = new Uint8Array(8 * random.pick([1, 1, 2, 40, 160, 256]));
    header[0] = kinds[i + 1] ?? random.pick([17, 44]);
    header[1] = random.chance(0.95) ? header.length / 8 - 1 : random.int(256);
    // Options of padding, so that most of them are sound.
    for (let at = 2; at < header.length; at += 256) {
      header[at] = header.length - at === 1 ? 0 : 1;
      header[at + 1] = Math.min(254, header.length - at - 2);
    }
    return header;
  });
  return { bytes: Buffer.concat(headers), first: kinds[0] ?? random.pick([17, 44]) };
}

test(`what a peer puts into a tunnel (seed ${seed}): chains of IPv6 extension headers and fragments stop nothing`, () => {
  const random = new SeededRandom(seed);
  const hosts = twoHosts({ seed });
  const near = ipAddress('2001:db8:1::1');
  const far = ipAddress('2001:db8:2::1');
  const selector = { ...hostSelector(near, far), protocol: 17 };
  const ends = makePair(hosts.random, {
    suite: { esp: { encryption: 'aes128gcm' } },
    mode: 'tunnel',
    selector,
  });
  connect(hosts, ends);
  let sequence = 0;
  const sealed = (inner: Uint8Array) => forge(ends.left, trailed(inner, 41, 4), ++sequence);
  const inIpv6 = (nextHeader: number, payload: Uint8Array) =>
    encodeIpv6(
      {
        tos: 0,
        flowLabel: 0,
        nextHeader,
        ttl: 64,
        source: addressToBigInt(near),
        destination: addressToBigInt(far),
      },
      payload,
    );
  // Too much in front of the fragments for pieces of 1280 bytes.
  const long = new Uint8Array(1288);
  long.set([44, long.length / 8 - 1]);
  for (let at = 2; at < long.length; at += 256) long.set([1, Math.min(254, long.length - at - 2)], at);
  for (let i = 0; i < 1_000; i++) {
    const { bytes, first } = i === 0 ? { bytes: long, first: 0 } : extensionChain(random);
    const more = random.chance(0.5);
    const identification = i === 0 ? 7 : random.int(20);
    const pieces = [true, false].map((isFirst, n) => {
      const fragment = new Uint8Array(8);
      const offset = isFirst ? 0 : random.chance(0.9) || i === 0 ? 16 : random.int(100) * 8;
      writeFragmentHeader(fragment, 0, {
        nextHeader: 17,
        offset,
        more: i === 0 ? n === 0 : isFirst || more,
        identification,
      });
      return inIpv6(first, Buffer.concat([bytes, fragment, new Uint8Array(16)]));
    });
    hosts.right.engine.processInboundIp(pieces.map(sealed), 1_000 + i);
    hosts.right.received();
    if (i === 0) assert.equal(hosts.right.engine.statistics().drops.malformed, 1);
  }
  assert.deepEqual(hosts.right.eventKinds(), ['inboundUsed']);
  const whole = inIpv6(17, udpPacket({ source: left, destination: right }).subarray(20));
  hosts.right.engine.processInboundIp([sealed(whole)], 9_000);
  assert.equal(hosts.right.received().length, 1);
});

describe('the engine under hostile packets', () => {
  const suites: Suite[] = [
    { esp: { encryption: 'aes128', hash: 'sha1' } },
    { esp: { encryption: 'null', hash: 'sha256' } },
    { esp: { encryption: 'aes128gcm' } },
    { esp: { encryption: '3des' } },
    { ah: 'sha256' },
    { ah: 'md5', esp: { encryption: 'des' } },
  ];
  const nets = netSelector('10.1.0.0', '10.2.0.0');

  test(`${Math.ceil((inputs * 2) / 3)} inputs (seed ${seed}): nothing thrown, nothing forged, memory bounded`, () => {
    const random = new SeededRandom(seed + 1);
    const hosts = twoHosts({ seed });
    const ports = { ...hostSelector(left, right), protocol: 17, destinationPort: 53 };
    const filters = [
      filter({ id: 'there', selector: nets, tunnelEndpoint: right }),
      filter({ id: 'ports', selector: ports }),
      filter({ id: 'host', selector: hostSelector(left, right) }),
      filter({ id: 'other', selector: netSelector('10.3.0.0', '10.4.0.0'), tunnelEndpoint: right }),
      filter({ id: 'in', selector: hostSelector(right, left), direction: 'inbound' }),
    ];
    hosts.left.engine.setFilters(filters, 0);
    const mirrored = filters.slice(0, 3).map(one => ({ ...one, selector: mirrorSelector(one.selector) }));
    hosts.right.engine.setFilters(
      mirrored.map(one => ('tunnelEndpoint' in one ? { ...one, tunnelEndpoint: left } : one)),
      0,
    );
    // What real packets look like on the wire; they have all been received, so none may come in again.
    const wire: Uint8Array[] = [];
    function sendSamples(): void {
      hosts.network.transit = packet => {
        wire.push(packet);
        return [packet];
      };
      for (const [source, destination] of [
        [left, right],
        ['10.1.0.3', '10.2.0.4'],
      ] as const)
        hosts.left.send(udpPacket({ source, destination, data: random.bytes(random.int(200)) }));
      hosts.network.run();
    }

    // Every suite in both modes; the newest pair of a filter sends, all of them receive.
    let id = 0;
    for (const suite of suites) {
      for (const mode of ['transport', 'tunnel'] as const) {
        for (const udp of suite.ah === undefined ? [false, true] : [false]) {
          const pair = makePair(random, {
            suite,
            mode,
            id: `pair-${++id}`,
            filterId: mode === 'tunnel' ? 'there' : id % 3 === 0 ? 'ports' : 'host',
            selector: mode === 'tunnel' ? nets : id % 3 === 0 ? ports : hostSelector(left, right),
            extra: udp ? { udpEncapsulation: { localPort: 4500, peerPort: 4500 } } : {},
          });
          for (const [host, end] of [
            [hosts.left, pair.left],
            [hosts.right, pair.right],
          ] as const)
            host.engine.installInbound(end, 0);
          hosts.left.engine.activateOutbound(pair.left.id, 0);
          sendSamples();
        }
      }
    }

    assert.ok(wire.length >= 20);
    assert.equal(hosts.right.received().length, wire.length, 'the real ones came in');
    const clear = [
      udpPacket({ source: left, destination: right, data: random.bytes(90) }),
      tcpPacket({ source: '10.1.0.3', destination: '10.2.0.4', data: random.bytes(300) }),
      udpPacket({ source: '10.3.0.3', destination: '10.4.0.4' }),
      udpPacket({ source: left, destination: right, data: random.bytes(1472) }),
    ];
    hosts.network.transit = () => [];
    const local = { address: right, port: 4500 };
    const peer = { address: left, port: 4500 };
    const { right: receiver, left: sender } = hosts;
    const genuine = receiver.engine.pairStatistics().map(pair => [pair.pairId, pair.packetsReceived]);

    let done = 0;
    let nowMs = 10;
    while (done < (inputs * 2) / 3) {
      nowMs += 1;
      const vector = Array.from({ length: random.between(1, 16) }, () => {
        done++;
        if (random.chance(0.2)) return randomPacket(random);
        return mutated(random.chance(0.3) ? random.pick(clear) : random.pick(wire), random);
      });
      const kind = random.int(8);
      if (kind < 3) receiver.engine.processInboundIp(vector, nowMs);
      else if (kind < 5) sender.engine.processOutbound(vector, nowMs);
      else if (kind < 7)
        receiver.engine.processDatagrams(
          vector.map(packet => ({
            local,
            peer,
            payload: random.chance(0.7) ? packet.subarray(Math.min(28, packet.length)) : packet,
          })),
          nowMs,
        );
      else sender.engine.processInboundClear(vector, nowMs);
      if (done % 50 === 0) {
        sender.engine.tick(nowMs);
        receiver.engine.tick(nowMs);
        hosts.network.run();
      }
      sender.received();
      sender.events.splice(0);
    }

    const failures = [...receiver.events, ...sender.events].filter(event => event.kind === 'failed');
    assert.deepEqual(failures, []);
    const authenticated = new Set(
      receiver.engine
        .pairStatistics()
        .filter(pair => pair.drops['not-authenticated'] !== undefined)
        .map(pair => pair.pairId),
    );
    assert.ok(authenticated.size >= 8, 'forgeries reached the integrity check of most pairs');
    for (const [pairId, before] of genuine) {
      const now = receiver.engine.pairStatistics().find(pair => pair.pairId === pairId);
      // ESP without integrity cannot tell; every other pair took in nothing but what was really sent.
      if (now !== undefined && authenticated.has(now.pairId))
        assert.equal(now.packetsReceived, before, `${pairId} let a forgery in`);
    }
    const counted = Object.values(receiver.engine.statistics().drops).reduce((sum, count) => sum + count, 0);
    assert.ok(counted > done / 4, `${counted} of ${done} were counted as dropped`);
    assert.ok(sender.engine.statistics().pendingKeys <= 10);
    assert.ok(process.memoryUsage().rss < 1_000_000_000);
  });
});
