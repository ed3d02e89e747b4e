import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PairId, SaPair } from '../../../src/driver/api.js';
import { lastSequence } from '../../../src/driver/lifetime.js';
import { IpseckitError } from '../../../src/report/errors.js';
import { toHex } from '../../../src/wire/bytes.js';
import { writeEspHeader } from '../../../src/wire/esp.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { connect, filter, hostSelector, left, makePair, right, twoHosts } from '../../support/engine-pair.js';
import { ipPacket, udpPacket } from '../../support/packets.js';

const suite = { esp: { encryption: 'aes128', hash: 'sha1' } } as const;
const packet = udpPacket({ source: left, destination: right, data: new Uint8Array(1000 - 28) });
const secureAll = filter({ id: 'out', selector: hostSelector(left, right) });
const noLimits = { softSeconds: 0, hardSeconds: 0, softKilobytes: 0, hardKilobytes: 0 };

function connected(lifetime: SaPair['lifetime']) {
  const hosts = twoHosts();
  hosts.left.engine.setFilters([secureAll], 1_000);
  connect(hosts, makePair(hosts.random, { suite, filterId: 'out', extra: { lifetime } }));
  return hosts;
}

describe('lifetime', () => {
  test('seconds: soft, then hard by the clock alone; the next packet waits for a new pair', () => {
    const hosts = connected({ ...noLimits, softSeconds: 10, hardSeconds: 20 });
    assert.equal(hosts.left.engine.nextWakeMs(), 11_000);
    hosts.left.engine.tick(10_999);
    assert.deepEqual(hosts.left.events, []);
    hosts.left.engine.tick(11_000);
    assert.deepEqual(hosts.left.events, [{ kind: 'softExpired', pairId: 'pair-1', cause: 'seconds' }]);
    assert.equal(hosts.left.engine.nextWakeMs(), 21_000);
    hosts.left.send(packet);
    assert.equal(hosts.network.run(), 1);
    hosts.left.engine.tick(21_000);
    assert.deepEqual(hosts.left.eventKinds(), ['softExpired', 'hardExpired']);
    assert.equal(hosts.left.engine.nextWakeMs(), undefined);
    assert.equal(hosts.left.engine.statistics().activeAssociations, 0);
    hosts.clock.nowMs = 21_001;
    hosts.left.send(packet);
    assert.equal(hosts.network.run(), 0);
    assert.deepEqual(hosts.left.eventKinds(), ['softExpired', 'hardExpired', 'acquire']);
  });

  test('a packet after the hard limit does not slip through before the tick', () => {
    const hosts = connected({ ...noLimits, softSeconds: 10, hardSeconds: 20 });
    hosts.clock.nowMs = 21_000;
    hosts.left.send(packet);
    assert.equal(hosts.network.run(), 0);
    assert.deepEqual(hosts.left.eventKinds(), ['hardExpired', 'acquire']);
  });

  test('kilobytes count each direction by itself, at both ends', () => {
    const hosts = connected({ ...noLimits, softKilobytes: 2, hardKilobytes: 3 });
    for (let i = 0; i < 2; i++) hosts.left.send(packet);
    hosts.network.run();
    assert.deepEqual(hosts.left.eventKinds(), []);
    hosts.left.send(packet);
    hosts.network.run();
    assert.deepEqual(hosts.left.events, [{ kind: 'softExpired', pairId: 'pair-1', cause: 'kilobytes' }]);
    assert.deepEqual(hosts.right.events.slice(1), hosts.left.events);
    hosts.left.send(packet);
    hosts.network.run();
    assert.deepEqual(hosts.left.events.at(-1), {
      kind: 'hardExpired',
      pairId: 'pair-1',
      cause: 'kilobytes',
    });
    assert.equal(hosts.right.received().length, 4);
  });
});

describe('ESP without integrity', () => {
  test('forged sequence numbers end nothing, and packets that come show that the peer uses the pair', () => {
    const hosts = twoHosts();
    const ends = makePair(hosts.random, { suite: { esp: { encryption: 'des' } } });
    connect(hosts, ends);
    const { engine } = hosts.right;
    const spi = ends.right.inbound[0]?.spi ?? 0;
    const forged = new Uint8Array(32).fill(0x5a);
    writeEspHeader(forged, 0, spi, lastSequence);
    engine.processInboundIp([ipPacket({ source: left, destination: right }, 50, forged)], 1_000);
    assert.deepEqual(hosts.right.events, []);
    hosts.left.send(packet);
    hosts.network.run();
    assert.deepEqual(hosts.right.received().map(toHex), [toHex(packet)]);
    assert.deepEqual(hosts.right.eventKinds(), ['inboundUsed']);
    assert.equal(engine.pairStatistics()[0]?.lastInboundAtMs, 1_000);
  });
});

describe('rekeying', () => {
  test('the newest active pair sends, the old one still receives, and nothing is lost', () => {
    const hosts = connected(noLimits);
    const spis = new Set<string>();
    hosts.network.transit = wire => {
      spis.add(toHex(wire.subarray(20, 24)));
      return [wire];
    };
    hosts.left.send(packet);
    const next = makePair(hosts.random, { suite, filterId: 'out', id: 'pair-2' });
    hosts.right.engine.installInbound(next.right, 1_000);
    hosts.left.engine.installInbound(next.left, 1_000);
    hosts.left.send(packet);
    hosts.left.engine.activateOutbound(next.left.id, 1_000);
    hosts.left.send(packet);
    hosts.network.run();
    assert.equal(hosts.right.received().length, 3);
    assert.equal(spis.size, 2);
    assert.deepEqual(hosts.right.events, [
      { kind: 'inboundUsed', pairId: 'pair-1' },
      { kind: 'inboundUsed', pairId: 'pair-2' },
    ]);
    hosts.left.engine.removePair('pair-1' as PairId);
    hosts.left.send(packet);
    hosts.network.run();
    assert.equal(hosts.right.received().length, 1);
    const { keyAdditions, rekeys, keyDeletions, activeAssociations } = hosts.left.engine.statistics();
    assert.deepEqual([keyAdditions, rekeys, keyDeletions, activeAssociations], [2, 1, 1, 1]);
    // The new pair goes first: the old one takes over again.
    const both = connected(noLimits);
    connect(both, next);
    both.left.engine.removePair(next.left.id);
    both.left.send(packet);
    both.network.run();
    assert.deepEqual(both.right.events, [{ kind: 'inboundUsed', pairId: 'pair-1' }]);
  });

  test('a pair of another filter is never used, one the peer negotiated without a filter of ours is', () => {
    const hosts = twoHosts();
    hosts.left.engine.setFilters([secureAll], 1_000);
    connect(hosts, makePair(hosts.random, { suite, filterId: 'other' }));
    hosts.left.send(packet);
    assert.deepEqual(hosts.left.eventKinds(), ['acquire']);
    connect(hosts, makePair(hosts.random, { suite, id: 'default-response' }));
    hosts.network.run();
    assert.equal(hosts.right.received().length, 1, 'it also releases what waits');
  });
});

describe('pairs that are refused', () => {
  const hosts = twoHosts();
  const good = makePair(hosts.random, { suite }).left;
  const half = good.outbound[0];
  const v6 = ipAddress('2001:db8::1');
  const cases: [string, string, Partial<SaPair>][] = [
    ['ends of two families', 'INVALID_POLICY', { peer: v6 }],
    [
      'traffic between two families',
      'INVALID_POLICY',
      { mode: 'tunnel', selector: hostSelector(v6, ipAddress('192.0.2.1')) },
    ],
    [
      'AH in UDP',
      'UNSUPPORTED',
      {
        ...makePair(hosts.random, { suite: { ah: 'sha1' } }).left,
        udpEncapsulation: { localPort: 4500, peerPort: 4500 },
      },
    ],
    [
      'a short key',
      'INVALID_POLICY',
      { outbound: half ? [{ ...half, encryptionKey: new Uint8Array(8) }] : [] },
    ],
    ['no SAs', 'INVALID_POLICY', { inbound: [] }],
    [
      'neither encryption nor authentication',
      'INVALID_POLICY',
      makePair(hosts.random, { suite: { esp: { encryption: 'null' } } }).left,
    ],
    [
      'a weak DES key',
      'INVALID_POLICY',
      {
        outbound: half ? [{ ...half, encryption: 'des', encryptionKey: new Uint8Array(8).fill(1) }] : [],
      },
    ],
  ];
  for (const [name, code, change] of cases) {
    test(name, () => {
      assert.throws(
        () => hosts.left.engine.installInbound({ ...good, ...change }, 1_000),
        (error: unknown) => error instanceof IpseckitError && error.code === code && error.next !== undefined,
      );
      assert.equal(hosts.left.engine.statistics().activeAssociations, 0);
    });
  }
});
