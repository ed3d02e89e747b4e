import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../src/wire/bytes.js';
import { type Host, keysMatch, twoHosts } from './harness.js';

const reaches = (sender: Host, receiver: Host) => {
  const pair = sender.current;
  return pair !== undefined && [...receiver.pairs.values()].some(candidate => keysMatch(pair, candidate));
};

test('both sides start at once: main modes cross, 300 seeds end in a pair that works both ways and lasts', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const { net, a, b } = twoHosts(seed, { maxDelayMs: 50, loss: seed % 2 ? 0 : 0.1, duplication: 0.1 });
    const gapMs = Math.floor(net.chance() * 120);
    net.acquire(a);
    net.run(gapMs);
    net.acquire(b);
    a.traffic = true;
    b.traffic = true;
    assert.ok(
      net.run(200_000, () => a.acquired.length > 0 && b.acquired.length > 0),
      `seed ${seed}`,
    );
    net.run(120_000);
    assert.ok(reaches(a, b) && reaches(b, a), `seed ${seed}: works after two minutes`);
    for (const host of [a, b])
      assert.equal(host.engine.statistics().activeAcquire, 0, `seed ${seed}: nothing is left waiting`);
  }
});

test('both sides renew the same pair at once: both new pairs are kept, the old one goes', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const { net, a, b } = twoHosts(seed, { maxDelayMs: 50 });
    net.acquire(a);
    net.run(2_000);
    const [old, oldOfB] = [a.current, b.current];
    assert.ok(old && oldOfB, `seed ${seed}`);
    net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
    net.run(Math.floor(net.chance() * 100));
    net.event(b, { kind: 'softExpired', pairId: oldOfB.id, cause: 'seconds' });
    net.run(60_000);
    assert.ok(reaches(a, b) && reaches(b, a), `seed ${seed}`);
    assert.ok(!a.pairs.has(old.id) && !b.pairs.has(oldOfB.id), `seed ${seed}: the old pair is gone`);
    assert.equal(a.pairs.size, b.pairs.size, `seed ${seed}`);
    assert.ok(a.pairs.size === 1 || a.pairs.size === 2, `seed ${seed}: ${a.pairs.size}`);
  }
});

test('scripted: two main modes, message by message, each side waiting for its own', () => {
  const { net, a, b } = twoHosts(5);
  net.manual = true;
  const next = () => {
    const datagram = net.wire.shift();
    assert.ok(datagram, 'something is on the wire');
    net.deliver(datagram);
  };
  net.acquire(a); //                      a: MM1a ->
  net.acquire(b); //                      b: MM1b ->
  next(); //         MM1a -> b            b: MM2a ->
  next(); //         MM1b -> a            a: MM2b ->
  next(); //         MM2a -> a            a: MM3a ->
  next(); //         MM2b -> b            b: MM3b ->
  next(); //         MM3a -> b            b: MM4a ->
  next(); //         MM3b -> a            a: MM4b ->
  next(); //         MM4a -> a            a: MM5a ->
  next(); //         MM4b -> b            b: MM5b ->
  next(); //         MM5a -> b            b: established, MM6a ->, QM1 ->
  assert.equal(b.engine.mainModes().filter(({ state }) => state === 'established').length, 1);
  next(); //         MM5b -> a            a: established, MM6b ->, QM1 ->
  while (net.wire.length > 0) next();
  net.run(100);
  assert.ok(reaches(a, b) && reaches(b, a));
  assert.equal(a.removed.length + b.removed.length, 0, 'neither INITIAL-CONTACT has removed anything');
  for (const host of [a, b]) {
    assert.equal(host.engine.mainModes().filter(({ state }) => state === 'established').length, 2);
    assert.equal(host.acquired.length, 1);
    assert.equal(host.failures.length, 0);
  }
});

test('a pair made by the peer answers our request that still waits for its main mode', () => {
  const { net, a, b } = twoHosts(2);
  net.translate = datagram =>
    datagram.local.address === a.address && datagram.bytes.slice(8, 16).every(byte => byte === 0)
      ? undefined
      : datagram;
  const id = net.acquire(a);
  net.acquire(b);
  net.run(3_000);
  assert.deepEqual(
    a.acquired.map(({ requestId }) => requestId),
    [id],
  );
  assert.deepEqual(
    [a.active.length, b.active.length].map(count => count >= 1),
    [true, true],
  );
});

test('the peer forgets its own main mode because of our INITIAL-CONTACT: our quick mode goes on under the other one', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { net, a, b } = twoHosts(seed);
    const cookie = ({ bytes }: { bytes: Uint8Array }) => toHex(bytes.subarray(0, 8));
    let forgotten: string | undefined;
    net.translate = datagram => {
      const [isFirst, isMainMode] = [
        datagram.bytes[12] === 0 && datagram.bytes[8] === 0,
        datagram.bytes[18] === 2,
      ];
      if (isMainMode && isFirst && datagram.local.address === b.address) forgotten ??= cookie(datagram);
      return !isMainMode && cookie(datagram) === forgotten ? undefined : datagram;
    };
    net.acquire(a);
    net.acquire(b);
    assert.ok(
      net.run(4_000, () => a.acquired.length > 0 && b.acquired.length > 0),
      `seed ${seed}: ${a.acquired.length} ${b.acquired.length}`,
    );
    assert.ok(reaches(a, b) && reaches(b, a), `seed ${seed}`);
  }
});
