import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { vendorIds } from '../../src/wire/isakmp/vendor-ids.js';
import { esp3des, type HostOptions, mainModePolicy, twoHosts, withVendorIds } from './harness.js';

const options = { idleSeconds: 300 };
const watching: HostOptions = {
  options,
  mainMode: mainModePolicy({ deadPeerDetection: { idleSeconds: 30, retrySeconds: 10, retries: 5 } }),
};
const ended = { reason: 'no traffic for 300 s', kind: 'removePair' };

describe('a pair without traffic', () => {
  test('ends after five minutes, and the peer is told; what keeps the peer and the NAT alive is no use', () => {
    const { net, a, b } = twoHosts(1, {}, watching, { mainMode: watching.mainMode });
    const outside = { 500: 1_024, 4500: 4_444 } as Readonly<Record<number, number>>;
    net.translate = ({ local, peer, bytes }) =>
      local.address === a.address
        ? { local: { ...local, port: outside[local.port] ?? 0 }, peer, bytes }
        : { local, peer: { ...peer, port: peer.port === outside[500] ? 500 : 4_500 }, bytes };
    net.acquire(a);
    net.run(1_000, () => a.current !== undefined && b.current !== undefined);
    const pairId = a.current?.id;
    const sent = a.sent.length;
    net.run(299_000);
    assert.ok(a.sent.length - sent > 15, 'R-U-THERE every 30 s and keepalives every 20 s');
    assert.deepEqual([a.pairs.size, b.pairs.size], [1, 1]);
    net.run(2_000);
    assert.deepEqual(a.removed, [{ ...ended, pairId }]);
    assert.deepEqual(
      b.removed.map(({ reason }) => reason),
      ['deleted by the peer'],
    );
    assert.equal(a.engine.mainModes().length, 1, 'only the pair ends');
    assert.equal(a.audits.at(-1)?.id, 542);
    net.sendTraffic(a);
    net.run(1_000);
    assert.deepEqual([a.pairs.size, b.pairs.size], [1, 1], 'the next packet brings it back');
  });

  test('is in use by a packet in either direction', () => {
    for (const sender of ['a', 'b'] as const) {
      const { net, a, b } = twoHosts(2, {}, { options }, { options });
      net.acquire(a);
      net.run(1_000);
      for (let minute = 0; minute < 20; minute += 4) {
        net.run(240_000);
        assert.ok(net.sendTraffic(sender === 'a' ? a : b));
      }
      assert.deepEqual([a.removed, b.removed], [[], []]);
      net.run(301_000);
      assert.deepEqual([a.pairs.size, b.pairs.size], [0, 0]);
    }
  });

  test('is not renewed for ever: a renewed pair has been idle as long as the one before', () => {
    const methods = [{ ...esp3des, lifetimeSeconds: 120 }];
    const { net, a, b } = twoHosts(3, {}, { options, methods }, { methods });
    net.lifetimes = true;
    net.acquire(a);
    net.run(290_000);
    assert.ok(a.engine.statistics().quickModes >= 2);
    assert.notEqual(a.pairs.size, 0);
    net.run(15_000);
    assert.equal(a.current, undefined);
    net.run(60_000);
    assert.deepEqual([a.pairs.size, b.pairs.size], [0, 0]);
  });

  test('ends after a minute when the peer is a cluster', () => {
    const { net, a, b } = twoHosts(4, {}, { options });
    net.translate = datagram =>
      datagram.local.address === b.address
        ? withVendorIds(datagram, [vendorIds.nlbsPresent.bytes])
        : datagram;
    net.acquire(a);
    net.run(59_000);
    assert.equal(a.pairs.size, 1);
    net.run(3_000);
    assert.equal(a.removed[0]?.reason, 'no traffic for 60 s');
  });

  test('stays when it is to, or when nothing is said of idle pairs', () => {
    for (const staysUp of [true, false]) {
      const { net, a } = twoHosts(5, {}, staysUp ? { options } : {});
      net.acquire(a, { quickMode: { ...a.quickModePolicy(), staysUp } });
      net.run(1_800_000);
      assert.equal(a.pairs.size, 1);
    }
  });
});
