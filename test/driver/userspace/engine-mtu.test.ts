import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toHex } from '../../../src/wire/bytes.js';
import { fragmentIpv4 } from '../../../src/wire/ip/fragment.js';
import { decodeIpv4, ipv4Payload, isFragment, readU16 } from '../../../src/wire/ip/packet.js';
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
import { hasGoodTransportChecksum, udpPacket } from '../../support/packets.js';

const nets = netSelector('10.1.0.0', '10.2.0.0');
const suites: Suite[] = [
  { esp: { encryption: '3des', hash: 'sha1' } },
  { esp: { encryption: 'aes256', hash: 'sha256' } },
  { esp: { encryption: 'aes128gcm' } },
  { ah: 'sha512' },
  { ah: 'sha1', esp: { encryption: 'aes128' } },
];

interface Setup {
  readonly suite: Suite;
  readonly mode: 'transport' | 'tunnel';
  readonly udp?: boolean;
  readonly mtu?: number;
  readonly dontFragment?: 'copy' | 'set' | 'clear';
}

function connected({ suite, mode, udp = false, mtu = 1500, dontFragment = 'copy' }: Setup) {
  const hosts = twoHosts({ mtu, engine: { dontFragment } });
  hosts.left.engine.setFilters([filter({ id: 'there', selector: nets, tunnelEndpoint: right })], 0);
  hosts.right.engine.setFilters(
    [filter({ id: 'back', selector: mirrorSelector(nets), tunnelEndpoint: left })],
    0,
  );
  connect(
    hosts,
    makePair(hosts.random, {
      suite,
      mode,
      selector: mode === 'tunnel' ? nets : hostSelector(left, right),
      extra: udp ? { udpEncapsulation: { localPort: 4500, peerPort: 4500 } } : {},
    }),
  );
  const wire: Uint8Array[] = [];
  hosts.network.transit = packet => {
    wire.push(packet);
    return [packet];
  };
  const packet = (totalBytes: number, doNot: boolean) =>
    udpPacket({
      source: mode === 'tunnel' ? '10.1.0.3' : left,
      destination: mode === 'tunnel' ? '10.2.0.4' : right,
      data: hosts.random.bytes(totalBytes - 28),
      header: { dontFragment: doNot },
    });
  return { ...hosts, wire, packet };
}

/** The MTU that an ICMP answer asks for. */
function answeredMtu(message: Uint8Array | undefined): number {
  assert.ok(message, 'an answer');
  const header = decodeIpv4(message);
  assert.equal(header.protocol, 1);
  const icmp = ipv4Payload(message, header);
  assert.equal(toHex(icmp.subarray(0, 2)), '0304');
  return readU16(icmp, 6);
}

describe('path MTU', () => {
  for (const mode of ['transport', 'tunnel'] as const) {
    for (const udp of [false, true]) {
      for (const suite of suites.filter(one => !udp || one.ah === undefined)) {
        test(`${suiteName(suite)} ${mode}${udp ? ' in UDP' : ''}: the size we ask for fits, one more does not`, () => {
          for (const mtu of [576, 1280, 1500]) {
            const hosts = connected({ suite, mode, udp, mtu });
            const tooBig = hosts.packet(1500, true);
            hosts.left.send(tooBig);
            assert.equal(hosts.network.run(), 0);
            const [answer] = hosts.left.received();
            const inner = answeredMtu(answer);
            assert.ok(answer);
            assert.equal(decodeIpv4(answer).source, decodeIpv4(tooBig).destination);
            assert.equal(decodeIpv4(answer).destination, decodeIpv4(tooBig).source);
            assert.equal(hosts.left.engine.statistics().drops['too-big'], 1);
            hosts.left.send(hosts.packet(inner, true));
            hosts.network.run();
            assert.equal(hosts.right.received().length, 1);
            assert.ok(hosts.wire.every(packet => packet.length <= mtu));
            assert.ok(mtu - (hosts.wire[0]?.length ?? 0) < 16, 'no room is wasted');
            hosts.left.send(hosts.packet(inner + 1, true));
            assert.equal(answeredMtu(hosts.left.received()[0]), inner);
            assert.equal(hosts.left.engine.pairStatistics()[0]?.drops['too-big'], 2);
          }
        });
      }
      if (udp) continue;
      for (const suite of suites) {
        test(`${suiteName(suite)} ${mode}: without DF the protected packet is cut, and arrives whole`, () => {
          const hosts = connected({ suite, mode });
          const packets = [1460, 1500, 4000, 60_000].map(bytes => hosts.packet(bytes, false));
          hosts.left.send(...packets);
          hosts.network.run();
          assert.deepEqual(hosts.right.received().map(toHex), packets.map(toHex));
          assert.ok(hosts.wire.some(packet => isFragment(decodeIpv4(packet))));
          assert.ok(hosts.wire.every(packet => packet.length <= 1500));
          assert.deepEqual(hosts.left.received(), []);
        });
      }
    }
  }

  test('a packet that protection makes longer than IP allows is refused', () => {
    const hosts = connected({ suite: { ah: 'sha1', esp: { encryption: 'aes128' } }, mode: 'tunnel' });
    hosts.left.send(hosts.packet(65_500, false));
    assert.equal(hosts.network.run(), 0);
    assert.equal(hosts.left.engine.statistics().drops['too-big'], 1);
  });

  test('the path shrinks: the next packet is measured against it', () => {
    const hosts = connected({ suite: { esp: { encryption: 'aes128gcm' } }, mode: 'tunnel' });
    hosts.left.send(hosts.packet(1400, true));
    hosts.left.host.sockets.pathMtus.set(right, 1300);
    hosts.clock.nowMs += 1;
    hosts.left.send(hosts.packet(1400, true));
    assert.equal(answeredMtu(hosts.left.received()[0]), 1300 - 20 - 34);
  });

  test('a path that claims less than 576 bytes is not believed', () => {
    const hosts = connected({ suite: { esp: { encryption: 'aes128gcm' } }, mode: 'transport', mtu: 100 });
    hosts.left.send(hosts.packet(1400, true));
    assert.ok(answeredMtu(hosts.left.received()[0]) > 500);
  });

  test('routers are believed about packets of an SA that sends there, and only there', () => {
    const hosts = twoHosts();
    const ends = makePair(hosts.random, { suite: { ah: 'sha1', esp: { encryption: '3des' } } });
    hosts.left.engine.installInbound(ends.left, 0);
    const [esp, ah] = ends.left.outbound.map(({ protocol, spi }) => ({ protocol, spi }));
    assert.ok(esp && ah);
    const { engine } = hosts.left;
    assert.deepEqual([engine.sendsWith(esp, right), engine.sendsWith(ah, right)], [true, true]);
    assert.equal(engine.sendsWith({ ...ah, spi: ah.spi ^ 1 }, right), false);
    assert.equal(engine.sendsWith({ ...ah, spi: esp.spi }, right), false);
    assert.equal(engine.sendsWith(ah, left), false);
    const [inbound] = ends.left.inbound;
    assert.equal(inbound && engine.sendsWith(inbound, right), false);
  });

  test('DF of the tunnel header: copied, set, cleared', () => {
    const suite = { esp: { encryption: 'aes128gcm' } } as const;
    const outcome = (dontFragment: 'copy' | 'set' | 'clear', inner: boolean, bytes: number) => {
      const hosts = connected({ suite, mode: 'tunnel', dontFragment });
      const packet = hosts.packet(bytes, inner);
      hosts.left.send(packet);
      hosts.network.run();
      const outer = hosts.wire.map(one => decodeIpv4(one));
      return {
        df: outer.some(header => header.dontFragment),
        cutOutside: outer.some(isFragment),
        answered: hosts.left.received().length > 0,
        arrived: hosts.right.received(),
        packet,
      };
    };
    assert.equal(outcome('copy', true, 500).df, true);
    assert.equal(outcome('copy', false, 500).df, false);
    assert.equal(outcome('set', false, 500).df, true);
    assert.equal(outcome('clear', true, 500).df, false);
    const cleared = outcome('clear', true, 1490);
    assert.ok(cleared.cutOutside && !cleared.answered && cleared.arrived.length === 1);
    assert.ok(outcome('set', true, 1490).answered);
    // Set, and the packet may be cut: it is cut before the tunnel, and its pieces travel one by one.
    const set = outcome('set', false, 1490);
    assert.ok(!set.cutOutside && !set.answered && set.df);
    assert.equal(set.arrived.length, 2);
  });

  test('clear packets: too big ones are answered or cut like protected ones', () => {
    const hosts = twoHosts({ mtu: 1000 });
    const fallback = filter({ id: 'out', selector: hostSelector(left, right), allowFallback: true });
    hosts.left.engine.setFilters([fallback], 0);
    hosts.left.engine.addSoftSa({ filterId: fallback.id, local: left, peer: right }, 0);
    const packet = (dontFragment: boolean) =>
      udpPacket({
        source: left,
        destination: right,
        data: new Uint8Array(1400).fill(3),
        header: { dontFragment },
      });
    hosts.left.send(packet(true), packet(false));
    assert.equal(hosts.network.run(), 2);
    assert.equal(answeredMtu(hosts.left.received()[0]), 1000);
    assert.deepEqual(hosts.right.received().map(toHex), [toHex(packet(false))]);
  });
});

describe('fragments out of the TUN device', () => {
  test('are put together, protected as one packet, and arrive whole, ports and all', () => {
    for (const mode of ['transport', 'tunnel'] as const) {
      const hosts = connected({ suite: { esp: { encryption: 'aes128', hash: 'sha1' } }, mode });
      const big = hosts.packet(5000, false);
      const pieces = fragmentIpv4(big, 1500);
      hosts.left.send(...pieces.slice(1).reverse());
      assert.equal(hosts.network.run(), 0);
      hosts.left.send(...pieces.slice(0, 1));
      hosts.network.run();
      const [whole] = hosts.right.received();
      assert.equal(whole && toHex(whole), toHex(big));
      assert.ok(whole && hasGoodTransportChecksum(whole));
    }
  });

  test('that never become whole are given up', () => {
    const hosts = connected({ suite: suites[0] ?? {}, mode: 'transport' });
    const [first] = fragmentIpv4(hosts.packet(3000, false), 1500);
    assert.ok(first);
    hosts.left.send(first);
    const wakeMs = hosts.left.engine.nextWakeMs();
    assert.equal(wakeMs, 16_000);
    hosts.left.engine.tick(16_000);
    assert.equal(hosts.left.engine.statistics().drops.fragment, 1);
    assert.equal(hosts.left.engine.nextWakeMs(), undefined);
  });
});

describe('a device that refuses', () => {
  test('refused packets are counted, failures reported, nothing thrown', () => {
    const hosts = connected({ suite: suites[0] ?? {}, mode: 'transport' });
    hosts.left.host.sockets.sendIpPackets = packets => packets.length;
    hosts.left.send(hosts.packet(100, false), hosts.packet(100, false));
    assert.equal(hosts.left.engine.statistics().drops['send-failed'], 2);
    hosts.left.host.sockets.sendIpPackets = () => {
      throw new Error('device gone');
    };
    hosts.left.send(hosts.packet(100, false));
    assert.equal(hosts.left.engine.statistics().drops['send-failed'], 3);
    assert.deepEqual(
      hosts.left.events.map(event => event.kind === 'failed' && event.error.message),
      ['device gone'],
    );
  });
});
