import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SecurityMethod } from '../../src/policy/model.js';
import { esp3des, keysMatch, mainModePolicy, twoHosts } from './harness.js';

const shortLived: SecurityMethod = { ...esp3des, lifetimeSeconds: 300, lifetimeKilobytes: 1_000 };

describe('renewal', () => {
  for (const [name, loss] of [
    ['on a good network', 0],
    ['with 20 % of IKE lost', 0.2],
  ] as const)
    test(`two hours of short-lived SAs without a lost packet, ${name}`, () => {
      const policy = { mainMode: mainModePolicy({ lifetimeSeconds: 1_200 }), methods: [shortLived] };
      const { net, a, b } = twoHosts(7, { loss, dataLoss: 0 }, policy, policy);
      net.lifetimes = true;
      net.acquire(a);
      net.run(10_000, () => a.active.length > 0);
      a.traffic = true;
      net.run(60_000, () => b.active.length > 0);
      b.traffic = true;
      net.run(7_200_000);
      assert.deepEqual([a.lostAtMs, b.lostAtMs], [[], []]);
      assert.ok(a.packets > 7_000 && b.packets > 7_000);
      for (const host of [a, b]) {
        const { mainModes, quickModes } = host.engine.statistics();
        assert.ok(mainModes >= 6 && mainModes <= 20, `${mainModes} main modes`);
        assert.ok(quickModes >= 24 && quickModes <= 70, `${quickModes} quick modes`);
        assert.ok(host.pairs.size <= 6, `${host.pairs.size} pairs are left`);
        assert.ok(host.engine.mainModes().length <= 4);
      }
    });

  test('the new pair is used before the old one goes, 30 s later, with a Delete', () => {
    const { net, a, b } = twoHosts(1, {}, { methods: [shortLived] }, { methods: [shortLived] });
    net.acquire(a);
    net.run(1_000);
    const [old, oldOfB] = [a.current, b.current];
    assert.ok(old && oldOfB);
    net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'kilobytes' });
    net.run(1_000);
    const [renewed, renewedOfB] = [a.current, b.current];
    assert.ok(renewed && renewedOfB && renewed !== old && keysMatch(renewed, renewedOfB));
    assert.equal(a.engine.mainModes().length, 1, 'under the same main mode');
    assert.deepEqual([a.pairs.size, b.pairs.size], [2, 2]);
    net.run(28_000);
    assert.deepEqual([a.pairs.size, b.pairs.size], [2, 2], 'the old inbound SA still receives');
    net.run(3_000);
    assert.deepEqual(a.removed, [{ kind: 'removePair', pairId: old.id, reason: 'replaced by a newer pair' }]);
    assert.deepEqual(b.removed, [{ kind: 'removePair', pairId: oldOfB.id, reason: 'deleted by the peer' }]);
  });

  test('extended sequence numbers stay in force', () => {
    const methods = [{ ...shortLived, extendedSequence: true }];
    const { net, a, b } = twoHosts(1, {}, { methods }, { methods });
    net.acquire(a);
    net.run(1_000);
    const old = a.current;
    assert.ok(old?.extendedSequence);
    net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
    net.run(1_000);
    assert.notEqual(a.current, old);
    assert.deepEqual([a.current?.extendedSequence, b.current?.extendedSequence], [true, true]);
  });

  test('a renewed pair sends once the peer shows that it has it, or a quarter of a second later', () => {
    for (const answers of [true, false]) {
      const { net, a, b } = twoHosts(1);
      net.acquire(a);
      net.run(1_000);
      const old = a.current;
      assert.ok(old);
      net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
      assert.ok(net.run(1_000, () => b.active.length === 2));
      assert.equal(a.current, old, 'the peer has had no time to make its SAs work');
      const startMs = net.nowMs;
      if (answers) net.sendTraffic(b);
      assert.ok(net.run(300, () => a.active.length === 2));
      const waitedMs = net.nowMs - startMs;
      assert.ok(answers ? waitedMs === 0 : waitedMs > 200, `${waitedMs} ms`);
    }
  });

  test('a renewed pair sends at once when the old one is used up', () => {
    const { net, a, b } = twoHosts(1);
    net.acquire(a);
    net.run(1_000);
    const old = a.current;
    assert.ok(old);
    net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'kilobytes' });
    net.run(1_000, () => b.active.length === 2);
    net.event(a, { kind: 'hardExpired', pairId: old.id, cause: 'kilobytes' });
    assert.ok(a.current && b.current && keysMatch(a.current, b.current));
  });

  test('only the newest pair of its traffic is renewed', () => {
    const { net, a } = twoHosts(1);
    net.acquire(a);
    net.run(1_000);
    const old = a.current;
    assert.ok(old);
    net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
    net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
    net.run(1_000);
    assert.equal(a.active.length, 2);
    net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
    net.run(1_000);
    assert.equal(a.active.length, 2);
  });

  test('the initiator renews at 85 to 95 %, the responder 30 s before the end; kilobytes at 90 % at most', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { net, a, b } = twoHosts(seed);
      net.acquire(a);
      net.run(1_000);
      const [ours, theirs] = [a.current?.lifetime, b.current?.lifetime];
      assert.ok(ours && theirs);
      assert.deepEqual([ours.hardSeconds, ours.hardKilobytes], [3_600, 100_000]);
      assert.ok(ours.softSeconds >= 3_060 && ours.softSeconds <= 3_420, `seed ${seed}: ${ours.softSeconds}`);
      assert.ok(ours.softKilobytes >= 80_000 && ours.softKilobytes <= 88_000, `seed ${seed}`);
      assert.deepEqual([theirs.softSeconds, theirs.softKilobytes], [3_570, 90_000]);
    }
  });

  test('a peer that lost the main mode: a new one is made, without waiting for the timeout', () => {
    const { net, a, b } = twoHosts(1);
    net.acquire(a);
    net.run(1_000);
    const old = a.current;
    assert.ok(old);
    // B restarts: nobody knows A's SAs any more.
    net.hosts.splice(net.hosts.indexOf(b), 1);
    const restarted = net.addHost(b.address, a.address);
    net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
    net.run(15_000);
    const [renewed, theirs] = [a.current, restarted.current];
    assert.ok(renewed && theirs && renewed !== old && keysMatch(renewed, theirs));
  });

  test('a renewal that fails is tried again while the old pair lives', () => {
    const { net, a } = twoHosts(1, {}, { mainMode: mainModePolicy({ quickModeLimit: 1 }) });
    net.acquire(a);
    net.run(1_000);
    const old = a.current;
    assert.ok(old);
    const { translate } = net;
    net.translate = () => undefined;
    net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
    net.run(96_000);
    assert.equal(a.active.length, 1);
    net.translate = translate;
    net.run(31_000);
    assert.equal(a.active.length, 2);
  });

  test('hard expiry removes both directions and deletes at the peer', () => {
    const { net, a, b } = twoHosts(1);
    net.acquire(a);
    net.run(1_000);
    const pair = a.current;
    assert.ok(pair);
    net.event(a, { kind: 'hardExpired', pairId: pair.id, cause: 'seconds' });
    net.run(1_000);
    assert.deepEqual([a.pairs.size, b.pairs.size], [0, 0]);
    assert.deepEqual(a.audits.at(-1)?.id, 542);
  });

  test('a main mode without pairs is not renewed: it ends with a Delete, the peer hears it', () => {
    const short = { mainMode: mainModePolicy({ lifetimeSeconds: 600 }) };
    const { net, a, b } = twoHosts(1, {}, short, short);
    net.acquire(a);
    net.run(1_000);
    const pair = a.current;
    assert.ok(pair);
    net.apply(a, a.engine.closePair(pair.id, net.nowMs, 'not wanted'));
    net.run(610_000);
    assert.deepEqual([a.engine.mainModes(), b.engine.mainModes()], [[], []]);
    assert.equal(a.engine.statistics().mainModes, 1);
  });
});

describe('lifetimes', () => {
  test('a peer cannot make ours so short that they only cost renegotiations, and never without a soft limit', () => {
    const tiny: SecurityMethod = { ...esp3des, lifetimeSeconds: 1, lifetimeKilobytes: 1 };
    const { net, a, b } = twoHosts(
      1,
      {},
      { mainMode: mainModePolicy({ lifetimeSeconds: 1 }), methods: [tiny] },
    );
    net.acquire(a);
    net.run(900);
    const [mainMode] = b.engine.mainModes();
    assert.equal((mainMode?.expiresAtMs ?? 0) - (mainMode?.establishedAtMs ?? 0), 60_000);
    assert.deepEqual([b.current?.lifetime.hardSeconds, b.current?.lifetime.hardKilobytes], [60, 1_024]);
    assert.deepEqual([a.current?.lifetime.softSeconds, a.current?.lifetime.softKilobytes], [1, 1]);
  });

  test('the shorter life wins, and the initiator hears of it (RESPONDER-LIFETIME)', () => {
    const offered: SecurityMethod = { ...esp3des, lifetimeSeconds: 7_200, lifetimeKilobytes: 500_000 };
    const wanted: SecurityMethod = { ...esp3des, lifetimeSeconds: 900, lifetimeKilobytes: 50_000 };
    for (const [own, peer] of [
      [offered, wanted],
      [wanted, offered],
    ] as const) {
      const { net, a, b } = twoHosts(1, {}, { methods: [own] }, { methods: [peer] });
      net.acquire(a);
      net.run(1_000);
      for (const host of [a, b])
        assert.deepEqual(
          [host.current?.lifetime.hardSeconds, host.current?.lifetime.hardKilobytes],
          [900, 50_000],
        );
      const announced = a.steps.some(({ detail }) => detail.includes('NOTIFY(RESPONDER-LIFETIME)'));
      assert.equal(announced, own === offered);
    }
  });

  test('main mode: both keep the shorter one', () => {
    const { net, a, b } = twoHosts(
      1,
      {},
      { mainMode: mainModePolicy({ lifetimeSeconds: 7_200 }) },
      { mainMode: mainModePolicy({ lifetimeSeconds: 3_600 }) },
    );
    net.acquire(a);
    net.run(1_000);
    const life = ({ establishedAtMs = 0, expiresAtMs = 0 }) => (expiresAtMs - establishedAtMs) / 1_000;
    assert.deepEqual(a.engine.mainModes().map(life), [3_600], 'it hears of it too');
    assert.deepEqual(b.engine.mainModes().map(life), [3_600]);
  });
});
