import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IkeDatagram } from '../../src/driver/api.js';
import { bytesEqual } from '../../src/wire/bytes.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { encodeMessage } from '../../src/wire/isakmp/message.js';
import { exchangeTypes, notifyTypes, protocols } from '../../src/wire/isakmp/numbers.js';
import type { Payload } from '../../src/wire/isakmp/payloads.js';
import {
  esp3des,
  generator,
  type Host,
  keysMatch,
  mainModePolicy,
  type Simulation,
  twoHosts,
} from './harness.js';

const works = (a: Host, b: Host) =>
  a.current !== undefined &&
  b.current !== undefined &&
  keysMatch(a.current, b.current) &&
  keysMatch(b.current, a.current);

/** A clear informational message about `host`'s main mode. */
function forged(net: Simulation, host: Host, payloads: Payload[], from: Host): IkeDatagram {
  const [mainMode] = host.engine.mainModes();
  assert.ok(mainMode);
  const header = {
    initiatorCookie: Uint8Array.from(Buffer.from(mainMode.initiatorCookie, 'hex')),
    responderCookie: Uint8Array.from(Buffer.from(mainMode.responderCookie, 'hex')),
    exchangeType: exchangeTypes.Informational,
    flags: 0,
    messageId: net.random() || 1,
  };
  return {
    local: { address: from.address, port: 500 },
    peer: { address: host.address, port: 500 },
    bytes: encodeMessage(header, payloads),
  };
}

const notify = (notifyType: number): Payload => ({
  kind: 'notify',
  doi: 1,
  protocol: protocols.ISAKMP,
  notifyType,
  spi: new Uint8Array(0),
  data: new Uint8Array(0),
});

describe('unauthenticated messages', () => {
  test('notifications and deletes in the clear change nothing', () => {
    const { net, a, b } = twoHosts(1);
    net.acquire(a);
    net.run(2_000);
    const pair = a.current;
    assert.ok(pair);
    const [half] = pair.outbound;
    assert.ok(half);
    const spi = new Uint8Array(4);
    new DataView(spi.buffer).setUint32(0, half.spi);
    for (const type of Object.values(notifyTypes)) net.deliver(forged(net, a, [notify(type)], b));
    net.deliver(forged(net, a, [{ kind: 'delete', doi: 1, protocol: protocols.ESP, spis: [spi] }], b));
    net.run(20_000);
    assert.ok(works(a, b));
    assert.equal(a.removed.length, 0);
    assert.deepEqual(
      a.engine.mainModes().map(({ state }) => state),
      ['established'],
    );
  });

  test('requests to begin again with a cookie are followed a few times, and each once', () => {
    const { net, a, b } = twoHosts(1);
    net.translate = () => undefined;
    net.acquire(a);
    const cookie = (n: number) => ({
      ...notify(notifyTypes['MS-DOS-COOKIE']),
      data: Uint8Array.from({ length: 8 }, () => n),
    });
    const sent = a.sent.length;
    for (let n = 0; n < 10; n++) net.deliver(forged(net, a, [cookie(1)], b));
    assert.equal(a.sent.length - sent, 1);
    for (let n = 2; n < 100; n++) net.deliver(forged(net, a, [cookie(n)], b));
    assert.equal(a.sent.length - sent, 4);
  });

  test('spoiled messages of an exchange under way are refused a few times a second', () => {
    const { net, a, b } = twoHosts(1);
    net.manual = true;
    net.acquire(a);
    for (let n = 0; n < 2; n++) for (const datagram of net.wire.splice(0)) net.deliver(datagram);
    const [third] = net.wire.splice(0);
    assert.ok(third);
    const before = b.sent.length;
    const randomBefore = b.drawn.length;
    for (let n = 0; n < 500; n++) {
      const bytes = Uint8Array.from(third.bytes);
      // The public value of its KE: more than the prime.
      bytes.fill(0xff, 32, 32 + 96);
      bytes[bytes.length - 1] = n;
      bytes[bytes.length - 2] = n >> 8;
      net.deliver({ ...third, bytes });
    }
    assert.equal(b.sent.length - before, 20);
    assert.ok(
      b.drawn.slice(randomBefore).every(({ length }) => length < 32),
      'no exponent has been drawn for them',
    );
    net.deliver(third);
    net.manual = false;
    for (const datagram of net.wire.splice(0)) net.deliver(datagram);
    net.run(5_000);
    assert.ok(works(a, b), 'the real one is still answered');
  });

  test('a forged refusal does not beat the real answer', () => {
    const { net, a, b } = twoHosts(1);
    net.acquire(a);
    net.deliver(forged(net, a, [notify(notifyTypes['NO-PROPOSAL-CHOSEN'])], b));
    net.run(10_000);
    assert.ok(works(a, b));
    assert.deepEqual(a.failures, []);
  });
});

describe('repeated datagrams', () => {
  test('every request repeated is answered with the same bytes, at most twice a second', () => {
    const { net, a, b } = twoHosts(1, { maxDelayMs: 1 });
    net.acquire(a);
    net.run(2_000);
    const requests = a.sent.slice(0, 4);
    const answers = b.sent.slice(0, 4);
    assert.equal(answers.length, 4);
    requests.forEach((request, i) => {
      const before = b.sent.length;
      net.run(1_000);
      for (let copy = 0; copy < 10; copy++) net.deliver(request);
      const repeated = b.sent.slice(before);
      assert.equal(repeated.length, 1, `request ${i}`);
      const [again, first] = [repeated[0]?.bytes, answers[i]?.bytes];
      assert.ok(again && first && bytesEqual(again, first), `request ${i}`);
    });
    // Messages after all that still decrypt: no IV has moved.
    const pair = a.current;
    assert.ok(pair);
    net.event(a, { kind: 'softExpired', pairId: pair.id, cause: 'seconds' });
    net.run(2_000);
    assert.equal(b.active.length, 2);
  });

  test('replaying a whole recorded conversation, twice and in any order, changes nothing', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const { net, a, b } = twoHosts(seed);
      net.acquire(a);
      net.run(2_000);
      const old = a.current;
      assert.ok(old);
      net.event(a, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
      net.run(40_000);
      const recorded = [...net.wire];
      const pairs = [a.pairs.size, b.pairs.size];
      net.run(100_000);
      const replayed = [...recorded, ...recorded].sort(() => net.chance() - 0.5);
      for (const datagram of replayed) net.deliver(datagram);
      net.run(100_000);
      assert.deepEqual([a.pairs.size, b.pairs.size], pairs, `seed ${seed}`);
      assert.ok(works(a, b), `seed ${seed}`);
      assert.deepEqual([a.removed.length, b.removed.length], [1, 1], `seed ${seed}`);
    }
  });
});

describe('datagrams sent back to their sender', () => {
  const received = ({ steps }: Host) => steps.filter(({ direction }) => direction === 'received').length;
  const reflected = ({ local, peer, bytes }: IkeDatagram): IkeDatagram => ({
    local: peer,
    peer: local,
    bytes,
  });

  for (const vendorProfile of ['ipseckit', 'windows-2003'] as const)
    test(`none that is protected is taken for the peer's (${vendorProfile})`, () => {
      const deadPeerDetection = { idleSeconds: 30, retrySeconds: 5, retries: 3 };
      const host = { mainMode: mainModePolicy({ deadPeerDetection }), options: { vendorProfile } } as const;
      const { net, a, b } = twoHosts(1, {}, host, host);
      const other = a.quickModePolicy({ ...a.quickModePolicy().selector, protocol: 6 });
      net.acquire(a);
      net.run(2_000);
      net.acquire(a, { quickMode: { ...other, mode: 'tunnel' } });
      net.run(90_000);
      net.translate = () => undefined;
      const withdrawn = net.acquire(a, { quickMode: other });
      net.apply(a, a.engine.cancel(withdrawn, net.nowMs));
      net.run(100);
      net.translate = datagram => datagram;
      const old = b.current;
      assert.ok(old);
      net.event(b, { kind: 'softExpired', pairId: old.id, cause: 'seconds' });
      net.run(80_000);
      for (const pairId of [...b.active]) net.apply(b, b.engine.closePair(pairId, net.nowMs, 'over'));
      for (const sender of [a, b])
        for (const datagram of sender.sent.filter(({ bytes }) => ((bytes[19] ?? 0) & 1) === 1)) {
          const before = received(sender);
          net.deliver(reflected(datagram));
          assert.equal(received(sender), before, sender.steps.at(-1)?.detail);
        }
      net.run(2_000);
      assert.equal(a.pairs.size, 0, 'the Delete has arrived all the same');
    });

  test('probes of ours that come back do not keep a dead peer alive', () => {
    const mainMode = mainModePolicy({ deadPeerDetection: { idleSeconds: 10, retrySeconds: 5, retries: 3 } });
    const { net, a, b } = twoHosts(1, {}, { mainMode });
    net.acquire(a);
    net.run(2_000);
    net.translate = datagram =>
      datagram.local.address === b.address || datagram.bytes[18] !== exchangeTypes.Informational
        ? undefined
        : reflected(datagram);
    net.run(60_000);
    assert.deepEqual([a.pairs.size, a.engine.mainModes().length], [0, 0]);
  });
});

test('a main mode that has used as many message ids as are remembered makes way for a new one', () => {
  const mainMode = mainModePolicy({ deadPeerDetection: { idleSeconds: 1, retrySeconds: 1, retries: 3 } });
  const { net, a, b } = twoHosts(1, { maxDelayMs: 1 }, { mainMode });
  net.acquire(a);
  net.run(2_000);
  const [first] = a.engine.mainModes();
  assert.ok(first);
  const pairs = [...a.pairs.keys()];
  const isThere = () =>
    a.engine.mainModes().some(({ initiatorCookie }) => initiatorCookie === first.initiatorCookie);
  assert.ok(net.run(10_000_000, () => !isThere()));
  net.run(5_000);
  assert.equal(a.engine.mainModes()[0]?.state, 'established');
  assert.deepEqual([...a.pairs.keys()], pairs);
  assert.ok(b.steps.some(({ detail }) => detail.includes('DELETE')));
});

test('the number of half-open exchanges is bounded, the oldest goes, and each ends after a minute', () => {
  const { net, a, b } = twoHosts(1, {}, {}, { options: { maxHalfOpen: 50 } });
  net.manual = true;
  net.acquire(a);
  const [first] = net.wire;
  assert.ok(first);
  for (let n = 0; n < 1_000; n++) {
    const bytes = Uint8Array.from(first.bytes);
    new DataView(bytes.buffer).setUint32(0, n + 1);
    const local = { address: ipAddress(`198.51.${n >> 8}.${n & 255}`), port: 500 };
    net.deliver({ ...first, local, bytes });
  }
  assert.equal(b.engine.mainModes().length, 50);
  assert.equal(b.engine.mainModes()[0]?.peer, '198.51.3.182', 'the newest 50');
  net.nowMs += 61_000;
  net.apply(b, b.engine.tick(net.nowMs));
  assert.equal(b.engine.mainModes().length, 0);
  assert.equal(b.audits.length, 0, 'first messages alone are not worth events');
});

test('one source alone cannot push the others out', () => {
  const { net, a, b } = twoHosts(1);
  net.manual = true;
  net.acquire(a);
  const [first] = net.wire;
  assert.ok(first);
  const begin = (count: number, address: string) => {
    for (let n = 0; n < count; n++) {
      const bytes = Uint8Array.from(first.bytes);
      new DataView(bytes.buffer).setUint32(0, n + 1);
      net.deliver({ ...first, local: { address: ipAddress(address), port: 500 }, bytes });
    }
  };
  begin(990, '198.51.100.1');
  begin(20, '198.51.100.2');
  begin(5_000, '198.51.100.1');
  const peers = b.engine.mainModes().map(({ peer }) => peer);
  assert.equal(peers.length, 1_000);
  assert.equal(peers.filter(peer => peer === '198.51.100.2').length, 20);
});

test('100,000 forged sources: memory stays bounded, and an honest peer gets in between them', () => {
  const { net, a, b } = twoHosts(1);
  net.manual = true;
  net.acquire(a);
  const [first] = net.wire;
  assert.ok(first);
  let forged = 0;
  const flood = (count: number) => {
    for (let i = 0; i < count; i++) {
      const n = ++forged;
      const bytes = Uint8Array.from(first.bytes);
      new DataView(bytes.buffer).setUint32(0, n);
      const address = ipAddress(`10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`);
      // Its answers go nowhere.
      b.engine.receive({ local: first.peer, peer: { address, port: 500 }, bytes }, net.nowMs);
    }
  };
  flood(50_000);
  // Up to message 3 it has to come within 1,000 forged ones; after that, any number changes nothing.
  for (const before of [0, 450, 450, 20_000, 10_000, 10_000, 5_000, 0]) {
    flood(before);
    const ours = net.wire.filter(({ local, peer }) =>
      [local, peer].every(({ address }) => address === a.address || address === b.address),
    );
    net.wire.length = 0;
    for (const datagram of ours) net.deliver(datagram);
  }
  flood(100_000 - forged);
  net.nowMs += 1_000;
  net.apply(a, a.engine.tick(net.nowMs));
  assert.ok(a.current && b.pairs.size === 1, 'the honest peer has its pair');
  assert.equal(b.engine.statistics().isadbListSize, 1_001, 'the honest one and 1,000 half-open ones');
  net.nowMs += 120_000;
  net.apply(b, b.engine.tick(net.nowMs));
  assert.equal(b.engine.mainModes().length, 1);
});

test('refusals that leave no state behind are limited', () => {
  const { net, a, b } = twoHosts(1, {}, {}, { mainMode: undefined });
  net.manual = true;
  net.acquire(a);
  const [first] = net.wire;
  assert.ok(first);
  for (let n = 0; n < 500; n++) {
    const bytes = Uint8Array.from(first.bytes);
    new DataView(bytes.buffer).setUint32(0, n + 1);
    net.deliver({ ...first, bytes });
  }
  assert.equal(b.sent.length, 20);
  assert.equal(b.audits.length, 20);
});

test('other exchanges: aggressive mode and the like are refused, AuthIP and transactions get no answer', () => {
  const { net, a, b } = twoHosts(1);
  net.manual = true;
  net.acquire(a);
  const [first] = net.wire;
  assert.ok(first);
  for (const type of [1, 3, 4, 33, 6, 243, 244, 245, 246, 99]) {
    const bytes = Uint8Array.from(first.bytes);
    bytes[18] = type;
    net.deliver({ ...first, bytes });
  }
  assert.equal(b.sent.length, 4);
  assert.equal(b.engine.mainModes().length, 0);
});

describe('garbage', () => {
  /** Changes some bytes, cuts or extends. */
  function mutate(bytes: Uint8Array, random: () => number): Uint8Array {
    const copy = Uint8Array.from(bytes);
    const changes = 1 + (random() % 4);
    for (let change = 0; change < changes; change++) copy[random() % copy.length] = random() & 0xff;
    if (random() % 4 === 0) return copy.subarray(0, random() % copy.length);
    // Keep half of them plausible: the length in the header fits.
    if (random() % 2 === 0 && copy.length >= 28) new DataView(copy.buffer).setUint32(24, copy.length);
    return copy;
  }

  /**
   * One negotiation, message by message; `mutants` changed copies of all messages so far are delivered before or
   * after each real one. What they provoke is not delivered.
   */
  function besiege(
    seed: number,
    mutants: number,
    when: 'before' | 'after',
  ): { net: Simulation; a: Host; b: Host; delivered: number } {
    const random = generator(seed);
    const { net, a, b } = twoHosts(seed, { maxDelayMs: 1 });
    net.manual = true;
    net.acquire(a);
    const corpus: IkeDatagram[] = [];
    let delivered = 0;
    const attack = () => {
      const answers = net.wire.splice(0);
      for (let n = 0; n < mutants; n++) {
        const base = corpus[random() % corpus.length];
        assert.ok(base);
        net.deliver({ ...base, bytes: mutate(base.bytes, random) });
        delivered++;
      }
      net.wire.splice(0, net.wire.length, ...answers);
    };
    for (let datagram = net.wire.shift(); datagram; datagram = net.wire.shift()) {
      corpus.push(datagram);
      if (when === 'before') {
        attack();
        // What is refused in clear is limited: by now it is told again.
        net.nowMs += 1_000;
      }
      net.deliver(datagram);
      if (when === 'after') attack();
    }
    return { net, a, b, delivered };
  }

  test('mutated messages beside the real ones: nothing is thrown, state stays bounded, the pair is made and works', () => {
    const { net, a, b, delivered } = besiege(20_261, 3_000, 'after');
    assert.equal(delivered, 27_000);
    net.run(100);
    assert.ok(works(a, b));
    for (const host of [a, b]) {
      assert.ok(host.engine.statistics().invalidPackets > 1_000);
      assert.ok(host.engine.mainModes().length <= 1_002, `${host.engine.mainModes().length}`);
      assert.ok(host.pairs.size <= 2);
    }
    net.nowMs += 61_000;
    for (const host of [a, b]) net.apply(host, host.engine.tick(net.nowMs));
    assert.ok(
      a.engine.mainModes().length <= 2 && b.engine.mainModes().length <= 2,
      'all that was half-open is gone',
    );
  });

  test('mutated messages before the real ones may spoil a negotiation, but nothing else', () => {
    let delivered = 0;
    for (let seed = 1; seed <= 150; seed++) {
      const siege = besiege(seed, 60, 'before');
      delivered += siege.delivered;
      const { net, a, b } = siege;
      net.manual = false;
      net.run(200_000, () => a.acquired.length + a.failures.length > 0);
      assert.equal(a.engine.statistics().activeAcquire, 0, `seed ${seed}: it has ended`);
      net.run(70_000);
      net.acquire(a);
      net.run(200_000, () => works(a, b));
      assert.ok(works(a, b), `seed ${seed}: the next one succeeds`);
    }
    assert.ok(delivered > 15_000, `${delivered}`);
  });

  test('20,000 random datagrams', () => {
    const random = generator(4_500);
    const { net, a } = twoHosts(1);
    for (let n = 0; n < 20_000; n++) {
      const bytes = Uint8Array.from({ length: random() % 300 }, () => random() & 0xff);
      if (n % 2 === 0 && bytes.length > 28) {
        bytes[17] = 0x10;
        bytes[18] = [2, 5, 32][random() % 3] ?? 2;
        bytes[19] = (random() % 2) * 1;
        new DataView(bytes.buffer).setUint32(24, bytes.length);
      }
      net.deliver({
        local: { address: ipAddress('192.0.2.2'), port: 500 },
        peer: { address: a.address, port: 500 },
        bytes,
      });
    }
    const { invalidPackets, invalidCookies } = a.engine.statistics();
    assert.ok(invalidPackets + invalidCookies > 15_000, `${invalidPackets} ${invalidCookies}`);
    assert.equal(a.engine.statistics().isadbListSize, 0);
  });
});

test('the engine keeps no reference to a datagram it was given', () => {
  const { net, a, b } = twoHosts(1, {}, { methods: [esp3des] });
  const deliver = net.deliver.bind(net);
  net.deliver = datagram => {
    const bytes = Buffer.from(datagram.bytes);
    deliver({ ...datagram, bytes });
    bytes.fill(0xee);
  };
  net.acquire(a);
  net.run(5_000);
  assert.ok(works(a, b));
});
