import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FilterId } from '../../../src/driver/api.js';
import { toHex } from '../../../src/wire/bytes.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { mirrorSelector } from '../../../src/wire/ip/selector.js';
import {
  connect,
  filter,
  hostSelector,
  left,
  makePair,
  netSelector,
  right,
  twoHosts,
} from '../../support/engine-pair.js';
import { udpPacket } from '../../support/packets.js';

const suite = { esp: { encryption: 'aes128', hash: 'sha1' } } as const;
const all = hostSelector(left, right);
const secureAll = filter({ id: 'out', selector: all });

function packet(n: number, bytes = 20): Uint8Array {
  return udpPacket({
    source: left,
    destination: right,
    data: new Uint8Array(bytes).fill(n),
    header: { identification: n },
  });
}

describe('a packet without a security association', () => {
  test('asks for one at most once a second, and goes out in order when it is there', () => {
    const hosts = twoHosts();
    hosts.left.engine.setFilters([secureAll], 1_000);
    hosts.left.send(packet(1), packet(2));
    hosts.clock.nowMs = 1_999;
    hosts.left.send(packet(3));
    assert.deepEqual(hosts.left.events, [
      {
        kind: 'acquire',
        filterId: 'out',
        local: left,
        peer: right,
        packet: { ...all, protocol: 17, sourcePort: 4000, destinationPort: 53 },
      },
    ]);
    assert.equal(hosts.left.engine.statistics().pendingKeys, 1);
    hosts.clock.nowMs = 2_000;
    hosts.left.send(packet(4));
    assert.equal(hosts.left.events.length, 2);
    assert.equal(hosts.network.run(), 0, 'nothing left in clear');
    connect(hosts, makePair(hosts.random, { suite, filterId: 'out' }));
    hosts.network.run();
    assert.deepEqual(
      hosts.right.received().map(toHex),
      [1, 2, 3, 4].map(n => toHex(packet(n))),
    );
    assert.equal(hosts.left.engine.statistics().pendingKeys, 0);
    hosts.left.send(packet(5));
    hosts.network.run();
    assert.deepEqual(hosts.right.received().map(toHex), [toHex(packet(5))]);
    assert.equal(hosts.left.events.length, 2);
    assert.equal(hosts.left.engine.filterPackets().get('out' as FilterId), 5, 'each once');
  });

  test('what the new pair does not carry keeps waiting, with a request of its own', () => {
    const hosts = twoHosts();
    hosts.left.engine.setFilters([secureAll], 1_000);
    const other = udpPacket({ source: left, destination: right, destinationPort: 99 });
    hosts.left.send(packet(1), other);
    const dns = { ...all, protocol: 17, destinationPort: 53 };
    connect(hosts, makePair(hosts.random, { suite, filterId: 'out', selector: dns }));
    hosts.network.run();
    assert.deepEqual(hosts.right.received().map(toHex), [toHex(packet(1))]);
    assert.equal(hosts.left.events.length, 2);
    const forOther = { ...all, protocol: 17, destinationPort: 99 };
    connect(hosts, makePair(hosts.random, { suite, filterId: 'out', selector: forOther, id: 'pair-2' }));
    hosts.network.run();
    assert.deepEqual(hosts.right.received().map(toHex), [toHex(other)]);
  });

  test('the queue is bounded in packets and bytes; the first ones stay', () => {
    const hosts = twoHosts({ engine: { queuePackets: 3, queueBytes: 200 } });
    hosts.left.engine.setFilters([secureAll], 1_000);
    hosts.left.send(packet(1), packet(2), packet(3), packet(4));
    assert.equal(hosts.left.engine.statistics().drops['no-sa-queue-full'], 1);
    const wide = twoHosts({ engine: { queueBytes: 200 } });
    wide.left.engine.setFilters([secureAll], 1_000);
    wide.left.send(packet(1), packet(2, 150), packet(3));
    assert.equal(wide.left.engine.statistics().drops['no-sa-queue-full'], 1);
    connect(wide, makePair(wide.random, { suite, filterId: 'out' }));
    wide.network.run();
    assert.deepEqual(wide.right.received().map(toHex), [toHex(packet(1)), toHex(packet(3))]);
  });

  test('a failed negotiation drops what waits, and the next packet asks again', () => {
    const hosts = twoHosts();
    hosts.left.engine.setFilters([secureAll], 1_000);
    hosts.left.send(packet(1), packet(2));
    hosts.left.engine.negotiationFailed('out' as FilterId, right, hosts.clock.nowMs);
    assert.equal(hosts.left.engine.statistics().drops['negotiation-failed'], 2);
    assert.equal(hosts.left.engine.nextWakeMs(), undefined);
    hosts.left.send(packet(3));
    assert.equal(hosts.left.events.length, 2);
  });

  test('nobody answers: given up after two minutes', () => {
    const hosts = twoHosts();
    hosts.left.engine.setFilters([secureAll], 1_000);
    hosts.left.send(packet(1));
    assert.equal(hosts.left.engine.nextWakeMs(), 121_000);
    hosts.left.engine.tick(120_999);
    assert.equal(hosts.left.engine.statistics().pendingKeys, 1);
    hosts.left.engine.tick(121_000);
    assert.equal(hosts.left.engine.statistics().pendingKeys, 0);
    assert.equal(hosts.left.engine.statistics().drops['negotiation-failed'], 1);
  });

  test('new filters are applied to what waits: fallback to clear loses nothing', () => {
    const hosts = twoHosts();
    hosts.left.engine.setFilters([secureAll], 1_000);
    hosts.left.send(packet(1));
    const fallback = filter({ id: 'soft', selector: all, action: 'permit' });
    hosts.left.engine.setFilters([fallback, secureAll], 1_500);
    hosts.network.run();
    assert.deepEqual(hosts.right.received().map(toHex), [toHex(packet(1))]);
  });

  test('a tunnel filter asks for its gateway, from the end that the rule for the way back names', () => {
    const hosts = twoHosts();
    const nets = netSelector('10.1.0.0', '10.2.0.0');
    const own = ipAddress('192.0.2.77');
    const filters = [
      filter({ id: 'there', selector: nets, tunnelEndpoint: right }),
      filter({ id: 'back', selector: mirrorSelector(nets), tunnelEndpoint: own, direction: 'inbound' }),
    ];
    const inner = udpPacket({ source: '10.1.0.5', destination: '10.2.0.9' });
    hosts.left.engine.setFilters(filters, 1_000);
    hosts.left.send(inner);
    hosts.left.engine.setFilters(filters.slice(0, 1), 9_000);
    assert.deepEqual(
      hosts.left.events.map(event => event.kind === 'acquire' && [event.local, event.peer]),
      [
        [own, right],
        // Without it, the address the kernel would use.
        [left, right],
      ],
    );
  });
});

describe('filters decide', () => {
  test('first match wins: block, permit, none, in both directions', () => {
    const hosts = twoHosts();
    const port = (destinationPort: number) => ({ ...all, protocol: 17, destinationPort });
    const back = mirrorSelector(all);
    const filters = [
      filter({ id: 'permit-out', selector: port(53), action: 'permit' }),
      filter({ id: 'block-out', selector: { ...all, protocol: 17 }, action: 'block' }),
      filter({ id: 'block-in', selector: { ...back, protocol: 6 }, action: 'block', direction: 'inbound' }),
      filter({ id: 'secure-in', selector: { ...back, protocol: 17 }, direction: 'inbound' }),
      filter({
        id: 'pass-in',
        selector: { ...back, protocol: 1 },
        direction: 'inbound',
        acceptUnsecured: true,
      }),
    ];
    hosts.left.engine.setFilters(filters, 1_000);
    const where = { source: left, destination: right };
    hosts.left.send(
      udpPacket({ ...where, destinationPort: 53 }),
      udpPacket({ ...where, destinationPort: 54 }),
      udpPacket({ source: left, destination: '203.0.113.9' }),
    );
    assert.equal(hosts.network.run(), 0, 'the kernel steers none of them to us as it is');
    const inbound = { source: right, destination: left };
    const clear = (protocol: number) => {
      const one = udpPacket(inbound);
      one[9] = protocol;
      return one;
    };
    hosts.left.engine.processInboundClear([clear(6), clear(17), clear(1), clear(50)], 1_000);
    assert.deepEqual(
      hosts.left.received().map(one => one[9]),
      [1, 50],
    );
    const { drops } = hosts.left.engine.statistics();
    assert.equal(drops.blocked, 2);
    assert.equal(drops['clear-but-secured'], 3);
    assert.deepEqual(Object.fromEntries(hosts.left.engine.filterPackets()), {
      'permit-out': 1,
      'block-out': 1,
      'block-in': 1,
      'secure-in': 1,
      'pass-in': 1,
    });
  });

  test('what was steered here to be secured and then changed by NAT does not leave in clear', () => {
    const hosts = twoHosts();
    const there = filter({
      id: 'there',
      selector: netSelector('172.30.0.0', '198.51.100.0'),
      tunnelEndpoint: ipAddress('203.0.113.1'),
    });
    const own = filter({ id: 'own', selector: hostSelector(left, right), action: 'permit' });
    for (const filters of [[there], [own, there]]) {
      hosts.left.engine.setFilters(filters, 1_000);
      hosts.left.send(packet(1));
      assert.equal(hosts.network.run(), 0);
    }
    assert.equal(hosts.left.engine.statistics().drops['clear-but-secured'], 2);
    assert.match(hosts.left.engine.dropHistory().recent[0]?.note ?? '', /NAT/);
  });

  test('nothing is negotiated for groups', () => {
    const hosts = twoHosts();
    const any = netSelector('0.0.0.0', '0.0.0.0', 0);
    hosts.left.engine.setFilters([filter({ id: 'all', selector: any })], 1_000);
    hosts.left.send(udpPacket({ source: left, destination: '224.0.0.251' }));
    hosts.left.send(udpPacket({ source: left, destination: '255.255.255.255' }));
    assert.deepEqual(hosts.left.events, []);
    hosts.left.send(udpPacket({ source: left, destination: '10.0.0.255' }));
    assert.deepEqual(hosts.left.eventKinds(), ['acquire']);
  });

  test('IPv6 filters are left out, IPv6 packets are counted as malformed', () => {
    const hosts = twoHosts();
    const v6 = hostSelector(ipAddress('2001:db8::1'), ipAddress('2001:db8::2'));
    hosts.left.engine.setFilters([filter({ id: 'v6', selector: v6 }), secureAll], 1_000);
    const six = new Uint8Array(60);
    six[0] = 0x60;
    hosts.left.send(six, packet(1));
    assert.deepEqual(hosts.left.eventKinds(), ['acquire']);
    assert.equal(hosts.left.engine.statistics().drops.malformed, 1);
  });
});
