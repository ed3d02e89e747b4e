import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SaPair } from '../../../src/driver/api.js';
import { MemoryNat } from '../../../src/driver/userspace/memory-nat.js';
import { fromHex, toHex } from '../../../src/wire/bytes.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { decodeIpv4, ipv4FromNumber, ipv4Payload, writeU16 } from '../../../src/wire/ip/packet.js';
import { connect, left, makePair, right, twoHosts } from '../../support/engine-pair.js';
import {
  hasGoodHeaderChecksum,
  hasGoodTransportChecksum,
  tcpPacket,
  udpPacket,
} from '../../support/packets.js';

const inside = ipAddress('10.9.8.7');
const outside = left;
const suite = { esp: { encryption: 'aes128', hash: 'sha1' } } as const;

/**
 * Left is at a private address behind a NAT whose outside address is `left`; the pair is as IKE would make it once the
 * ports have floated.
 */
function behindNat(natOriginal: SaPair['natOriginal'] | 'unknown' = { peer: inside, local: right }) {
  const hosts = twoHosts({ leftAddresses: [inside, left] });
  const nat = new MemoryNat(inside, outside, 40_000);
  hosts.network.transit = packet => nat.translate(packet);
  const ends = makePair(hosts.random, {
    suite,
    extra: { udpEncapsulation: { localPort: 4500, peerPort: 4500 } },
    extraRight: {
      udpEncapsulation: { localPort: 4500, peerPort: 40_000 },
      ...(natOriginal === 'unknown' ? {} : { natOriginal }),
    },
  });
  connect(hosts, {
    left: { ...ends.left, local: inside, natOriginal: { local: outside, peer: right } },
    right: ends.right,
  });
  return { ...hosts, nat };
}

function sourceOf(packet: Uint8Array): string {
  return ipv4FromNumber(decodeIpv4(packet).source);
}

describe('transport mode behind a NAT', () => {
  for (const [name, natOriginal] of [
    ['both original addresses known', { peer: inside, local: right }],
    ['only the peer’s known', { peer: inside }],
    ['none known', 'unknown'],
    ['0.0.0.0 sent, as Windows 2003 does', { peer: ipAddress('0.0.0.0'), local: ipAddress('0.0.0.0') }],
  ] as const) {
    test(`checksums are right after delivery: ${name}`, () => {
      const hosts = behindNat(natOriginal);
      const where = { source: inside, destination: right, data: hosts.random.bytes(333) };
      hosts.left.send(tcpPacket(where), udpPacket(where));
      hosts.network.run();
      const received = hosts.right.received();
      assert.equal(received.length, 2);
      for (const packet of received) {
        assert.equal(sourceOf(packet), outside);
        assert.ok(hasGoodHeaderChecksum(packet));
        assert.ok(hasGoodTransportChecksum(packet));
      }
      // And back: the peer answers to the address it knows.
      const back = { source: right, destination: outside, data: hosts.random.bytes(100) };
      hosts.right.send(tcpPacket(back), udpPacket(back));
      hosts.network.run();
      const answers = hosts.left.received();
      assert.equal(answers.length, 2);
      for (const packet of answers) {
        assert.equal(sourceOf(packet), right);
        assert.ok(hasGoodTransportChecksum(packet));
      }
    });
  }

  test('with original addresses, damage done before protection still shows; UDP without a checksum stays so', () => {
    const hosts = behindNat();
    const damaged = tcpPacket({ source: inside, destination: right, data: new Uint8Array(50) });
    damaged[60] = 1;
    const unchecked = udpPacket({ source: inside, destination: right });
    writeU16(unchecked, 26, 0);
    hosts.left.send(damaged, unchecked);
    hosts.network.run();
    const [first, second] = hosts.right.received();
    assert.ok(first && second);
    assert.equal(hasGoodTransportChecksum(first), false);
    assert.equal(toHex(ipv4Payload(second, decodeIpv4(second)).subarray(6, 8)), '0000');
  });

  test('the NAT forgets its mapping: the pair follows the newest authenticated packet', () => {
    const hosts = behindNat();
    const out = udpPacket({ source: inside, destination: right });
    const back = udpPacket({ source: right, destination: outside });
    hosts.left.send(out);
    hosts.network.run();
    assert.deepEqual(hosts.right.eventKinds(), ['inboundUsed']);
    hosts.nat.rebind();
    hosts.right.send(back);
    hosts.network.run();
    assert.equal(hosts.left.received().length, 0, 'the old mapping is gone');
    hosts.left.send(out);
    hosts.network.run();
    assert.deepEqual(hosts.right.events.at(-1), {
      kind: 'peerMoved',
      pairId: 'pair-1',
      peer: { address: outside, port: 40_001 },
    });
    hosts.right.send(back);
    hosts.network.run();
    assert.equal(hosts.left.received().length, 1, 'the way back works again');
  });

  test('forged, replayed and old packets from elsewhere move nothing', () => {
    const hosts = behindNat();
    const wire: Uint8Array[] = [];
    const { nat } = hosts;
    hosts.network.transit = packet => {
      const translated = nat.translate(packet);
      wire.push(...translated);
      return wire.length === 1 ? [] : translated;
    };
    const out = udpPacket({ source: inside, destination: right });
    hosts.left.send(out);
    hosts.network.run();
    hosts.left.send(out);
    hosts.network.run();
    const elsewhere = { address: ipAddress('203.0.113.66'), port: 6666 };
    const local = { address: right, port: 4500 };
    const payloads = wire.map(packet => packet.subarray(28));
    const [old, newest] = payloads;
    assert.ok(old && newest);
    const forged = Uint8Array.from(newest);
    forged[7] = 99;
    for (const payload of [forged, newest, old])
      hosts.right.engine.processDatagrams([{ local, peer: elsewhere, payload }], 2_000);
    assert.deepEqual(hosts.right.eventKinds(), ['inboundUsed']);
    assert.equal(hosts.right.received().length, 2, 'the old one was new to the window');
    const { drops } = hosts.right.engine.statistics();
    assert.deepEqual([drops['not-authenticated'], drops.replay], [1, 1]);
  });
});

describe('UDP ports', () => {
  const local = { address: right, port: 4500 };
  const peer = { address: left, port: 4500 };

  test('IKE comes out without its marker and in memory of its own; keepalives vanish; rubbish is counted', () => {
    const { right: host } = twoHosts();
    const payload = fromHex('00000000 1122334455667788');
    const plain = fromHex('00000000 0000');
    host.engine.processDatagrams(
      [
        { local, peer, payload },
        { local, peer, payload: fromHex('ff') },
        { local, peer, payload: fromHex('0001') },
        { local, peer, payload: fromHex('00000999 00000001') },
        { local: { ...local, port: 500 }, peer: { ...peer, port: 500 }, payload: plain },
      ],
      1_000,
    );
    payload.fill(0xee);
    assert.deepEqual(host.events, [
      { kind: 'ike', datagram: { local, peer, bytes: fromHex('1122334455667788') } },
      {
        kind: 'ike',
        datagram: { local: { ...local, port: 500 }, peer: { ...peer, port: 500 }, bytes: plain },
      },
    ]);
    const { drops } = host.engine.statistics();
    assert.equal(drops.malformed, 1);
    assert.equal(drops['bad-spi'], 1);
    assert.deepEqual(host.unknownSpis, [{ kind: 'unknownSpi', protocol: 'esp', spi: 0x999, local, peer }]);
    assert.deepEqual(host.received(), []);
  });

  test('IKE goes out with the marker on 4500, without it on 500; a keepalive goes bare', () => {
    const hosts = twoHosts();
    const message = fromHex('aabbccdd');
    for (const [port, bytes] of [
      [500, message],
      [4500, message],
      [4500, fromHex('ff')],
    ] as const)
      hosts.left.engine.sendIke(
        { local: { address: left, port }, peer: { address: right, port }, bytes },
        hosts.clock.nowMs,
      );
    const wire: string[] = [];
    hosts.network.transit = packet => {
      wire.push(toHex(packet.subarray(28)));
      return [packet];
    };
    hosts.network.run();
    assert.deepEqual(wire, ['aabbccdd', '00000000aabbccdd', 'ff']);
    assert.deepEqual(
      hosts.right.events.map(event => event.kind === 'ike' && toHex(event.datagram.bytes)),
      ['aabbccdd', 'aabbccdd'],
    );
  });

  test('encapsulated and plain ESP are not mixed', () => {
    const inUdp = behindNat();
    const wire: Uint8Array[] = [];
    inUdp.network.transit = packet => {
      wire.push(packet);
      return [];
    };
    inUdp.left.send(udpPacket({ source: inside, destination: right }));
    inUdp.network.run();
    const [packet] = wire;
    assert.ok(packet);
    const bare = new Uint8Array(packet.length - 8);
    bare.set(packet.subarray(0, 20));
    bare.set(packet.subarray(28), 20);
    writeU16(bare, 2, bare.length);
    bare[9] = 50;
    inUdp.right.engine.processInboundIp([bare], 1_000);
    assert.equal(inUdp.right.engine.statistics().drops['selector-mismatch'], 1);
    assert.deepEqual(inUdp.right.received(), []);
  });
});
