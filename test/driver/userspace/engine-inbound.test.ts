import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DropReason } from '../../../src/driver/api.js';
import { toHex } from '../../../src/wire/bytes.js';
import { fragmentIpv4 } from '../../../src/wire/ip/fragment.js';
import { decodeIpv4, ipv4Payload } from '../../../src/wire/ip/packet.js';
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
  suiteName,
  twoHosts,
} from '../../support/engine-pair.js';
import { forge, trailed } from '../../support/forged-esp.js';
import { hasGoodHeaderChecksum, ipPacket, tcpPacket, udpPacket } from '../../support/packets.js';
import { SeededRandom } from '../../support/random.js';

const aes: Suite = { esp: { encryption: 'aes128', hash: 'sha1' } };
const bundle: Suite = { ah: 'sha1', esp: { encryption: '3des' } };
const nets = netSelector('10.1.0.0', '10.2.0.0');

type Hosts = ReturnType<typeof twoHosts>;

/** Hosts with one pair; `capture` protects a packet of left's and returns what crossed the wire. */
function connected(pair: Partial<Parameters<typeof makePair>[1]> & { suite: Suite }, seed = 5) {
  const hosts = twoHosts({ seed });
  const ends = makePair(hosts.random, pair);
  if (pair.mode === 'tunnel') {
    hosts.left.engine.setFilters([filter({ id: 'there', selector: nets, tunnelEndpoint: right })], 0);
    hosts.right.engine.setFilters(
      [filter({ id: 'back', selector: mirrorSelector(nets), tunnelEndpoint: left })],
      0,
    );
  }
  connect(hosts, ends);
  const capture = (...packets: Uint8Array[]) => {
    const wire: Uint8Array[] = [];
    hosts.network.transit = packet => {
      wire.push(packet);
      return [];
    };
    hosts.left.send(...packets);
    hosts.network.run();
    hosts.network.transit = packet => [packet];
    return wire;
  };
  return { ...hosts, ends, capture };
}

/** Hands packets straight to the receiving engine. */
function deliver(hosts: Hosts, ...packets: Uint8Array[]): Uint8Array[] {
  hosts.right.engine.processInboundIp(packets, hosts.clock.nowMs);
  return hosts.right.received();
}

function drops(hosts: Hosts): Partial<Record<DropReason, number>> {
  const counted = Object.entries(hosts.right.engine.statistics().drops);
  return Object.fromEntries(counted.filter(([, count]) => count > 0));
}

const hello = udpPacket({ source: left, destination: right, data: new Uint8Array(30).fill(0x41) });

describe('what must not come in', () => {
  const suites: Suite[] = [
    aes,
    { esp: { encryption: 'aes128gcm' } },
    { esp: { encryption: 'null', hash: 'md5' } },
    { ah: 'sha256' },
    bundle,
  ];
  for (const mode of ['transport', 'tunnel'] as const) {
    for (const suite of suites) {
      test(`${suiteName(suite)} ${mode}: a change of any byte drops the packet, and it is counted`, () => {
        const hosts = connected({ suite, mode, ...(mode === 'tunnel' ? { selector: nets } : {}) });
        const inner = mode === 'tunnel' ? udpPacket({ source: '10.1.0.3', destination: '10.2.0.4' }) : hello;
        const [wire] = hosts.capture(inner);
        assert.ok(wire);
        // Fields that routers change, and that protect nothing: ToS, TTL, header checksum; ESP covers no IP header.
        const free = new Set(suite.ah === undefined ? [1, 4, 5, 8, 10, 11] : [1, 8, 10, 11]);
        if (suite.ah === undefined && mode === 'tunnel') for (let i = 12; i < 16; i++) free.add(i);
        for (let at = 0; at < wire.length; at++) {
          if (free.has(at)) continue;
          for (const flip of [0x01, 0x80, 0xff]) {
            // DF and the reserved flag are mutable; the rest of the word makes it a fragment.
            if (at === 6 && flip === 0x80) continue;
            const before = drops(hosts);
            const changed: Uint8Array = Uint8Array.from(wire);
            changed[at] = (changed[at] ?? 0) ^ flip;
            assert.deepEqual(deliver(hosts, changed), [], `byte ${at} ^ ${flip}`);
            const sum = (counts: object) => Object.values(counts).reduce((a: number, b: number) => a + b, 0);
            assert.equal(sum(drops(hosts)), sum(before) + 1, `byte ${at} ^ ${flip}`);
          }
        }
        assert.deepEqual(deliver(hosts, wire).map(toHex), [toHex(inner)], 'the genuine one still comes in');
        assert.deepEqual(hosts.right.eventKinds(), ['inboundUsed']);
      });
    }
  }

  test('every truncation is dropped and counted', () => {
    for (const suite of suites) {
      const hosts = connected({ suite });
      const [wire] = hosts.capture(hello);
      assert.ok(wire);
      for (let length = 0; length < wire.length; length++)
        assert.deepEqual(deliver(hosts, wire.subarray(0, length)), []);
      assert.equal(hosts.right.engine.statistics().drops.malformed, wire.length);
      assert.deepEqual(hosts.right.events, []);
    }
  });

  test('an SPI nobody knows, and one of another address', () => {
    const hosts = connected({ suite: aes });
    const [wire] = hosts.capture(hello);
    assert.ok(wire);
    const unknown = Uint8Array.from(wire);
    unknown[20] = (unknown[20] ?? 0) ^ 1;
    const elsewhere = Uint8Array.from(wire);
    elsewhere[19] = 77;
    assert.deepEqual(deliver(hosts, unknown, elsewhere), []);
    assert.equal(hosts.right.engine.statistics().badSpiPackets, 2);
  });

  test('a packet twice: in one vector and later', () => {
    const hosts = connected({ suite: aes });
    const [wire] = hosts.capture(hello);
    assert.ok(wire);
    assert.equal(deliver(hosts, wire, wire).length, 1);
    assert.equal(deliver(hosts, wire).length, 0);
    assert.deepEqual(drops(hosts), { replay: 2 });
    assert.deepEqual(hosts.right.engine.pairStatistics()[0]?.drops, { replay: 2 });
  });

  test('a window of 0 switches the check off', () => {
    const hosts = connected({ suite: aes, extra: { replayWindow: 0 } });
    const [wire] = hosts.capture(hello);
    assert.ok(wire);
    assert.equal(deliver(hosts, wire, wire).length, 2);
  });

  test('fragments of ESP', () => {
    const hosts = connected({ suite: aes });
    const [wire] = hosts.capture(udpPacket({ source: left, destination: right, data: new Uint8Array(900) }));
    assert.ok(wire);
    assert.deepEqual(deliver(hosts, ...fragmentIpv4(wire, 576)), []);
    assert.deepEqual(drops(hosts), { fragment: 2 });
  });

  test('one half of a bundle', () => {
    const hosts = connected({ suite: bundle });
    const [wire] = hosts.capture(hello);
    assert.ok(wire);
    const esp = ipPacket({ source: left, destination: right }, 50, wire.subarray(44));
    assert.deepEqual(deliver(hosts, esp), []);
    // AH around something that is not our ESP: the ICV is right, the content is not what was agreed.
    const ah = hosts.ends.left.outbound.find(half => half.protocol === 'ah');
    assert.ok(ah);
    const ahOnly = twoHosts({ seed: 9 });
    connect(ahOnly, {
      left: { ...hosts.ends.left, outbound: [ah], inbound: [ah] },
      right: { ...hosts.ends.right, outbound: [ah], inbound: [ah] },
    });
    let bare: Uint8Array | undefined;
    ahOnly.network.transit = packet => {
      bare = packet;
      return [];
    };
    ahOnly.left.send(hello);
    ahOnly.network.run();
    assert.ok(bare);
    assert.deepEqual(deliver(hosts, bare), []);
    assert.deepEqual(drops(hosts), { 'selector-mismatch': 2 });
  });

  test('traffic that is not the selector’s', () => {
    const dns = { ...hostSelector(left, right), protocol: 17, destinationPort: 53 };
    const hosts = connected({ suite: aes, selector: dns });
    const [wire] = hosts.capture(hello);
    assert.ok(wire);
    assert.equal(deliver(hosts, wire).length, 1);
    const inside = (packet: Uint8Array) => ipv4Payload(packet, decodeIpv4(packet));
    const where = { source: left, destination: right };
    const others = [
      forge(hosts.ends.left, trailed(inside(udpPacket({ ...where, destinationPort: 54 })), 17), 10),
      forge(hosts.ends.left, trailed(inside(tcpPacket({ ...where, destinationPort: 53 })), 6), 11),
      forge(hosts.ends.left, trailed(inside(hello), 17), 12, { source: '203.0.113.5' }),
      forge(hosts.ends.left, trailed(Uint8Array.of(1, 2), 17), 13),
    ];
    assert.deepEqual(deliver(hosts, ...others), []);
    assert.deepEqual(drops(hosts), { 'selector-mismatch': 4 });
  });

  test('tunnels: inner addresses, IPv6, garbage', () => {
    const hosts = connected({ suite: aes, mode: 'tunnel', selector: nets });
    const foreign = udpPacket({ source: '10.9.0.1', destination: '10.2.0.4' });
    assert.deepEqual(
      deliver(
        hosts,
        forge(hosts.ends.left, trailed(foreign, 4), 1),
        forge(hosts.ends.left, trailed(foreign, 41), 2),
        forge(hosts.ends.left, trailed(Uint8Array.of(0x45, 0, 0, 99), 4), 3),
      ),
      [],
    );
    assert.deepEqual(drops(hosts), { 'selector-mismatch': 2, malformed: 1 });
  });

  test('a pad length that exceeds the packet', () => {
    const hosts = connected({ suite: aes });
    assert.deepEqual(deliver(hosts, forge(hosts.ends.left, new Uint8Array(16).fill(0xff), 1)), []);
    assert.equal(hosts.right.engine.statistics().packetsNotDecrypted, 1);
  });

  test('a removed pair, and one whose time is over', () => {
    const hosts = connected({
      suite: aes,
      extra: { lifetime: { softSeconds: 0, hardSeconds: 5, softKilobytes: 0, hardKilobytes: 0 } },
    });
    const [first, second] = hosts.capture(hello, hello);
    assert.ok(first && second);
    hosts.clock.nowMs += 5_000;
    hosts.right.engine.tick(hosts.clock.nowMs);
    assert.deepEqual(deliver(hosts, first), []);
    assert.deepEqual(drops(hosts), { expired: 1 });
    hosts.right.engine.removePair(hosts.ends.right.id);
    assert.deepEqual(deliver(hosts, second), []);
    assert.deepEqual(drops(hosts), { expired: 1, 'bad-spi': 1 });
    const ends = { local: { address: right, port: 500 }, peer: { address: left, port: 500 } };
    const spi = hosts.ends.right.inbound[0]?.spi;
    assert.deepEqual(hosts.right.unknownSpis, [{ kind: 'unknownSpi', protocol: 'esp', spi, ...ends }]);
  });
});

describe('what comes in', () => {
  test('dummy packets are swallowed', () => {
    const hosts = connected({ suite: aes });
    assert.deepEqual(deliver(hosts, forge(hosts.ends.left, trailed(new Uint8Array(100), 59), 1)), []);
    assert.deepEqual(drops(hosts), {});
    assert.equal(hosts.right.engine.pairStatistics()[0]?.packetsReceived, 1);
  });

  test('traffic flow padding in a tunnel is cut off', () => {
    const hosts = connected({ suite: aes, mode: 'tunnel', selector: nets });
    const inner = udpPacket({ source: '10.1.0.3', destination: '10.2.0.4' });
    const padded = new Uint8Array(inner.length + 500);
    padded.set(inner);
    const [out] = deliver(hosts, forge(hosts.ends.left, trailed(padded, 4), 1));
    assert.equal(out && toHex(out), toHex(inner));
  });

  test('padding with other values than 1, 2, 3 is accepted', () => {
    const hosts = connected({ suite: aes });
    const plaintext = trailed(ipv4Payload(hello, decodeIpv4(hello)), 17);
    plaintext.fill(0, hello.length - 20, plaintext.length - 2);
    const [out] = deliver(hosts, forge(hosts.ends.left, plaintext, 1));
    assert.equal(out && toHex(ipv4Payload(out, decodeIpv4(out))), toHex(hello.subarray(20)));
  });

  test('inner fragments pass when ports do not matter, and are put together when they do', () => {
    const big = udpPacket({
      source: '10.1.0.3',
      destination: '10.2.0.4',
      data: new Uint8Array(2000).fill(9),
    });
    const pieces = fragmentIpv4(big, 900);
    for (const [selector, expected] of [
      [nets, pieces],
      [{ ...nets, protocol: 17, destinationPort: 53 }, [big]],
      [{ ...nets, protocol: 17, destinationPort: 54 }, []],
    ] as const) {
      const hosts = connected({ suite: aes, mode: 'tunnel', selector });
      const wire = pieces.map((piece, i) => forge(hosts.ends.left, trailed(piece, 4), i + 1));
      assert.deepEqual(deliver(hosts, ...wire).map(toHex), expected.map(toHex));
      assert.equal(drops(hosts)['selector-mismatch'] ?? 0, expected.length === 0 ? 1 : 0);
    }
  });

  test('congestion seen by the tunnel is passed on (RFC 6040)', () => {
    const hosts = connected({ suite: aes, mode: 'tunnel', selector: nets });
    const inner = (tos: number) =>
      udpPacket({ source: '10.1.0.3', destination: '10.2.0.4', header: { tos } });
    let sequence = 0;
    const tosOut = (outer: number, tos: number) => {
      const wire = forge(hosts.ends.left, trailed(inner(tos), 4), ++sequence, { tos: outer });
      const [out] = deliver(hosts, wire);
      if (out === undefined) return undefined;
      assert.ok(hasGoodHeaderChecksum(out));
      return decodeIpv4(out).tos;
    };
    assert.equal(tosOut(0x03, 0x2a), 0x2b, 'ECT(0) becomes CE');
    assert.equal(tosOut(0x03, 0x29), 0x2b, 'ECT(1) becomes CE');
    assert.equal(tosOut(0x01, 0x2a), 0x29, 'ECT(1) outside wins over ECT(0)');
    assert.equal(tosOut(0x02, 0x29), 0x29);
    assert.equal(tosOut(0xb8, 0x28), 0x28, 'the outer DSCP stays outside');
    assert.equal(tosOut(0x00, 0x2b), 0x2b);
    assert.equal(tosOut(0x03, 0x28), undefined, 'CE for who cannot understand it: dropped');
  });

  test('statistics name what was protected how', () => {
    const hosts = connected({ suite: aes });
    hosts.left.send(hello, hello);
    hosts.network.run();
    const sent = hosts.left.engine.statistics();
    const received = hosts.right.engine.statistics();
    const bytes = 2 * hello.length;
    assert.equal(sent.confidentialBytesSent, bytes);
    assert.equal(sent.authenticatedBytesSent, bytes);
    assert.equal(sent.transportBytesSent, bytes);
    assert.equal(sent.tunnelBytesSent, 0);
    assert.equal(received.confidentialBytesReceived, bytes);
    assert.equal(received.transportBytesReceived, bytes);
    assert.equal(received.activeAssociations, 1);
    assert.equal(received.activeTunnels, 0);
    assert.equal(received.keyAdditions, 1);
    assert.deepEqual(hosts.left.engine.pairStatistics(), [
      {
        pairId: 'pair-1',
        bytesSent: bytes,
        bytesReceived: 0,
        packetsSent: 2,
        packetsReceived: 0,
        lastOutboundAtMs: 1_000,
        outboundActive: true,
        drops: {},
      },
    ]);
    const ahOnly = connected({ suite: { ah: 'md5' }, mode: 'tunnel', selector: nets });
    ahOnly.left.send(udpPacket({ source: '10.1.0.3', destination: '10.2.0.4' }));
    const tunnel = ahOnly.left.engine.statistics();
    assert.equal(tunnel.confidentialBytesSent, 0);
    assert.equal(tunnel.authenticatedBytesSent, 28);
    assert.equal(tunnel.tunnelBytesSent, 28);
    assert.equal(tunnel.activeTunnels, 1);
  });

  test('a peer that truncates HMAC to another length is noticed, and works once told', () => {
    const cases = [
      [{ esp: { encryption: 'aes128', hash: 'sha256' } }, 12, /HMAC-SHA-256 to 96 bits, this side to 128/],
      [{ ah: 'sha256' }, 12, /HMAC-SHA-256 to 96 bits, this side to 128/],
      [{ esp: { encryption: 'null', hash: 'sha1' } }, 20, /HMAC-SHA-1 to 160 bits, this side to 96/],
      [{ ah: 'md5' }, 16, /HMAC-MD5 to 128 bits, this side to 96/],
      [{ esp: { encryption: '3des', hash: 'sha512' } }, 12, /HMAC-SHA-512 to 96 bits, this side to 256/],
      [{ ah: 'sha384' }, 48, /HMAC-SHA-384 to 384 bits, this side to 192/],
    ] as const;
    for (const [suite, icvBytes, note] of cases) {
      const hosts = connected({ suite });
      const theirs = makePair(new SeededRandom(8), { suite, icvBytes });
      const ours = makePair(new SeededRandom(8), { suite });
      const sender = twoHosts({ seed: 6 });
      connect(sender, theirs);
      let wire: Uint8Array | undefined;
      sender.network.transit = packet => {
        wire = packet;
        return [packet];
      };
      sender.left.send(hello);
      sender.network.run();
      assert.equal(sender.right.received().length, 1, 'both told');
      hosts.right.engine.installInbound(ours.right, 1_000);
      assert.ok(wire);
      assert.deepEqual(deliver(hosts, wire), []);
      assert.equal(hosts.right.engine.statistics().packetsNotAuthenticated, 1);
      const statistics = hosts.right.engine.pairStatistics()[0];
      assert.match(statistics?.lastNote ?? '', note);
      assert.equal(statistics?.lastDrop?.note, statistics?.lastNote);
    }
  });
});
