import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MainModePolicy } from '../../src/ike/api.js';
import { notifyPayload } from '../../src/ike/informational-send.js';
import { withResponderLifetime } from '../../src/ike/main-mode-lifetime.js';
import { chooseMainMode, mainModeSa } from '../../src/ike/main-mode-proposal.js';
import { fromHex } from '../../src/wire/bytes.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { hostRange } from '../../src/wire/ip/selector.js';
import {
  decodePayloads,
  encodeMessage,
  encodePayloads,
  firstPayloadType,
} from '../../src/wire/isakmp/message.js';
import { notifyTypes } from '../../src/wire/isakmp/numbers.js';
import { mainModePolicy, twoHosts } from './harness.js';

const deadPeerDetection: NonNullable<MainModePolicy['deadPeerDetection']> = {
  idleSeconds: 30,
  retrySeconds: 10,
  retries: 3,
};
const watching = { mainMode: mainModePolicy({ deadPeerDetection }) };

describe('dead peer detection', () => {
  const probes = (steps: readonly { detail: string; direction: string }[], direction = 'sent') =>
    steps.filter(step => step.direction === direction && step.detail.includes('NOTIFY(R-U-THERE)')).length;

  test('a silent but living peer is asked every 30 s and answers', () => {
    const { net, a, b } = twoHosts(1, {}, watching);
    net.acquire(a);
    net.run(301_000);
    assert.ok(probes(a.steps) >= 9 && probes(a.steps) <= 10, `${probes(a.steps)} probes`);
    assert.equal(b.steps.filter(({ detail }) => detail.includes('R-U-THERE-ACK')).length, probes(a.steps));
    assert.equal(a.pairs.size, 1);
    assert.equal(probes(b.steps), 0, 'the other side was not told to ask');
  });

  test('traffic is a sign of life', () => {
    const { net, a } = twoHosts(1, {}, watching, { traffic: true });
    net.run(301_000);
    assert.equal(probes(a.steps), 0);
  });

  test('a dead peer: three probes, then everything with it ends, without a Delete', () => {
    const { net, a } = twoHosts(1, {}, watching);
    net.acquire(a);
    net.run(5_000);
    const sent = a.sent.length;
    net.translate = () => undefined;
    net.run(61_000);
    assert.equal(a.sent.length - sent, 3);
    assert.deepEqual([a.pairs.size, a.engine.mainModes().length], [0, 0]);
    assert.match(a.removed[0]?.reason ?? '', /dead peer detection/);
    assert.deepEqual(
      a.audits.slice(-2).map(({ id }) => id),
      [542, 543],
    );
    assert.equal(a.engine.nextWakeMs(), undefined);
  });

  test('a reading of the last packet that wavers by a millisecond is no sign of life', () => {
    const { net, a } = twoHosts(1, {}, watching);
    net.acquire(a);
    net.run(5_000);
    let reads = 0;
    const heardAtMs = net.nowMs;
    a.lastInboundAtMs.get = () => heardAtMs + (reads++ % 3);
    const sent = a.sent.length;
    net.translate = () => undefined;
    net.run(61_000);
    assert.equal(a.sent.length - sent, 3);
    assert.equal(a.pairs.size, 0);
  });

  test('a peer that does not speak it is never asked', () => {
    const { net, a } = twoHosts(1, {}, watching, { options: { vendorProfile: 'windows-2003' } });
    net.acquire(a);
    net.run(100_000);
    assert.equal(probes(a.steps), 0);
    assert.equal(a.pairs.size, 1);
  });
});

test('a peer that deletes the pair as soon as it is made: the request fails, and nothing is left', () => {
  const { net, a, b } = twoHosts(1);
  net.acquire(a);
  net.run(2_000, () => b.active.length > 0);
  const [made] = b.active;
  assert.ok(made);
  net.apply(b, b.engine.closePair(made, net.nowMs, 'it cannot be installed'));
  net.run(2_000);
  assert.deepEqual([a.acquired, a.active, [...a.pairs]], [[], [], []]);
  assert.deepEqual(
    a.failures.map(({ reason, mode, message, point }) => ({ reason, mode, message, point })),
    [{ reason: 'peer-deleted', mode: 'quick', message: 'quick mode 3', point: 'peer' }],
  );
});

test('a peer that ends everything while its last word is awaited: the request is begun anew, and does not hang', () => {
  const windows = { options: { vendorProfile: 'windows-2003' } } as const;
  const { net, a, b } = twoHosts(1, { maxDelayMs: 1 }, windows, windows);
  let lost = false;
  net.translate = datagram => {
    // CONNECTED is the one short quick mode message that the responder sends.
    const isConnected =
      datagram.local.address === b.address && datagram.bytes[18] === 32 && datagram.bytes.length < 100;
    lost ||= isConnected;
    return isConnected ? undefined : datagram;
  };
  net.acquire(a);
  net.run(3_000, () => lost);
  net.apply(b, b.engine.closeAll(net.nowMs, 'over'));
  net.translate = datagram => datagram;
  net.run(120_000);
  assert.equal(a.engine.statistics().activeAcquire, 0);
  assert.equal(a.acquired.length, 1);
  assert.ok(a.current && b.current);
});

describe('INITIAL-CONTACT', () => {
  for (const vendorProfile of ['ipseckit', 'windows-2003'] as const)
    test(`a restarted peer (${vendorProfile}): its old SAs go once it has authenticated`, () => {
      const { net, a, b } = twoHosts(1, {}, { options: { vendorProfile } });
      net.acquire(a);
      net.run(2_000);
      const old = b.current;
      assert.ok(old);
      net.hosts.splice(net.hosts.indexOf(a), 1);
      const restarted = net.addHost(a.address, b.address, { options: { vendorProfile } });
      net.manual = true;
      net.wire.length = 0;
      net.acquire(restarted);
      for (let message = 1; message <= 4; message++) {
        const [datagram] = net.wire.splice(0, 1);
        assert.ok(datagram);
        net.deliver(datagram);
        assert.ok(b.pairs.has(old.id), 'nothing unauthenticated removes an SA');
      }
      const fifth = net.wire.shift();
      assert.ok(fifth);
      net.deliver(fifth);
      assert.equal(b.pairs.has(old.id), false);
      assert.match(b.removed[0]?.reason ?? '', /started anew/);
      assert.equal(b.engine.mainModes().length, 1);
    });

  test('a peer that meets a second address of ours loses nothing of what it has with the first', () => {
    const { net, a, b } = twoHosts(1, {}, watching);
    const second = ipAddress('192.0.2.3');
    a.aliases.add(second);
    for (const peer of [a.address, second]) {
      const selector = { ...b.quickModePolicy().selector, destination: hostRange(peer) };
      net.acquire(b, { peer, quickMode: b.quickModePolicy(selector) });
      net.run(30_000);
    }
    assert.deepEqual([...a.pairs.values()].map(({ local }) => local).sort(), [a.address, second]);
    assert.deepEqual(a.removed, []);
    // When it is dead for one of them, the other finds that out for itself.
    net.translate = datagram => (datagram.local.address === a.address ? undefined : datagram);
    net.run(120_000);
    assert.deepEqual(
      [...a.pairs.values()].map(({ local }) => local),
      [second],
    );
  });

  test('is said on first contact only', () => {
    const { net, a } = twoHosts(1, {}, { mainMode: mainModePolicy({ quickModeLimit: 1 }) });
    net.acquire(a);
    net.run(2_000);
    net.acquire(a, { quickMode: a.quickModePolicy({ ...a.quickModePolicy().selector, protocol: 6 }) });
    net.run(2_000);
    const fifths = a.steps.filter(({ message }) => message === 'main mode 5').map(({ detail }) => detail);
    assert.deepEqual(fifths, ['ID HASH NOTIFY(INITIAL-CONTACT)', 'ID HASH']);
    assert.equal(a.active.length, 2);
  });
});

describe('the Windows profile between two of us', () => {
  const windows = { options: { vendorProfile: 'windows-2003' } } as const;

  test('Windows vendor IDs, the fourth quick mode message, reliable deletes', () => {
    const { net, a, b } = twoHosts(1, {}, windows, windows);
    net.acquire(a);
    net.run(2_000);
    assert.ok(a.engine.mainModes()[0]?.vendorIds.includes('MS NT5 ISAKMPOAKLEY (Windows Server 2003)'));
    assert.ok(
      a.steps.some(
        ({ direction, message, detail }) =>
          direction === 'received' && message === 'quick mode 4' && detail === 'HASH NOTIFY(CONNECTED)',
      ),
    );
    const pair = a.current;
    assert.ok(pair);
    let lost = 0;
    net.translate = datagram => (datagram.bytes[18] === 5 && lost++ < 2 ? undefined : datagram);
    net.apply(a, a.engine.closePair(pair.id, net.nowMs, 'over'));
    net.run(10_000);
    assert.equal(b.pairs.size, 0, 'the Delete was repeated until it arrived');
    assert.ok(
      b.steps.some(({ direction, detail }) => direction === 'received' && detail === 'HASH NONCE DELETE'),
    );
    assert.ok(a.steps.some(({ detail }) => detail === 'the peer confirmed a delete'));
    const deletes = a.steps.filter(
      ({ direction, detail }) => direction === 'sent' && detail === 'HASH NONCE DELETE',
    ).length;
    net.run(60_000);
    assert.equal(
      a.steps.filter(({ direction, detail }) => direction === 'sent' && detail === 'HASH NONCE DELETE')
        .length,
      deletes,
    );
  });

  test('main mode 2 is repeated with Windows pauses until message 3 comes, and given up in the end', () => {
    const { net, a, b } = twoHosts(1, {}, {}, windows);
    net.translate = datagram => (datagram.local.address === b.address ? undefined : datagram);
    net.acquire(a);
    net.run(10, () => b.sent.length > 0);
    const firstMs = net.nowMs;
    // Only what it sends by itself: the initiator is silent from here on.
    net.translate = () => undefined;
    net.run(200_000);
    const sentAtSeconds = b.steps
      .filter(({ direction, message }) => direction === 'sent' && message === 'main mode 2')
      .map(({ atMs }) => Math.round((atMs - firstMs) / 1_000));
    assert.deepEqual(sentAtSeconds, [0, 1, 3, 7, 15, 31, 63]);
    assert.equal(b.engine.mainModes().length, 0);
    assert.equal(b.engine.nextWakeMs(), undefined);
  });

  test('towards others it behaves like everybody', () => {
    const { net, a, b } = twoHosts(1, {}, windows);
    net.acquire(a);
    net.run(2_000);
    const pair = a.current;
    assert.ok(pair);
    net.apply(a, a.engine.closePair(pair.id, net.nowMs, 'over'));
    net.run(2_000);
    assert.equal(b.pairs.size, 0);
    assert.ok(b.steps.some(({ direction, detail }) => direction === 'received' && detail === 'HASH DELETE'));
    assert.ok(!b.steps.some(({ message }) => message === 'quick mode 4'));
  });

  test('a commit bit in message 2 holds our traffic until the peer is ready, at most a second', () => {
    for (const connected of [true, false]) {
      const { net, a, b } = twoHosts(1, { maxDelayMs: 1 }, windows, windows);
      net.translate = datagram => {
        const bytes = Uint8Array.from(datagram.bytes);
        const isQuickMode = bytes[18] === 32;
        if (!isQuickMode || datagram.local.address !== b.address) return datagram;
        // Message 2 has the bit; message 4 may be lost.
        if (bytes.length > 100) assert.equal(bytes[19], 3);
        else if (!connected) return undefined;
        return datagram;
      };
      net.acquire(a);
      const startMs = net.nowMs;
      net.run(500, () => a.pairs.size > 0);
      assert.equal(a.active.length, 0, 'held');
      net.run(5_000, () => a.active.length > 0);
      const heldMs = net.nowMs - startMs;
      assert.ok(connected ? heldMs < 100 : heldMs >= 1_000 && heldMs < 1_200, `${heldMs} ms`);
    }
  });
});

describe('a peer that has forgotten', () => {
  test('a main mode: it says INVALID-COOKIE, and a new one is made without waiting for the timeout', () => {
    const { net, a, b } = twoHosts(1);
    net.acquire(a);
    net.run(2_000);
    const [old] = a.engine.mainModes();
    // It ends everything without telling: the messages are lost.
    net.translate = () => undefined;
    net.apply(b, b.engine.closeAll(net.nowMs, 'crash'));
    net.translate = datagram => datagram;
    net.run(1_000);
    const id = net.acquire(a, {
      quickMode: a.quickModePolicy({ ...a.quickModePolicy().selector, protocol: 6 }),
    });
    assert.ok(net.run(5_000, () => a.acquired.some(({ requestId }) => requestId === id)));
    assert.ok(
      a.steps.some(
        ({ direction, detail }) => direction === 'received' && detail === 'NOTIFY(INVALID-COOKIE)',
      ),
    );
    assert.notEqual(a.engine.mainModes().at(-1)?.initiatorCookie, old?.initiatorCookie);
  });

  test('a forged INVALID-COOKIE ends nothing', () => {
    const { net, a, b } = twoHosts(1);
    net.acquire(a);
    net.run(2_000);
    const { initiatorCookie, responderCookie } = a.engine.mainModes()[0] ?? {};
    const bytes = encodeMessage(
      {
        initiatorCookie: fromHex(initiatorCookie ?? ''),
        responderCookie: fromHex(responderCookie ?? ''),
        exchangeType: 5,
        flags: 0,
        messageId: 77,
      },
      [notifyPayload(notifyTypes['INVALID-COOKIE'])],
    );
    const ends = { local: { address: b.address, port: 500 }, peer: { address: a.address, port: 500 } };
    net.deliver({ ...ends, bytes });
    net.run(1_000);
    assert.equal(a.engine.mainModes()[0]?.state, 'established');
    assert.equal(a.pairs.size, 1);
  });
});

describe('quick modes of one main mode', () => {
  const limited = { mainMode: mainModePolicy({ quickModeLimit: 1 }) };

  test('the responder refuses one too many, with a Windows error that makes us start a new main mode', () => {
    const { net, a, b } = twoHosts(1, {}, {}, limited);
    net.acquire(a);
    net.run(2_000);
    const second = net.acquire(a, {
      quickMode: a.quickModePolicy({ ...a.quickModePolicy().selector, protocol: 6 }),
    });
    assert.ok(net.run(10_000, () => a.acquired.some(({ requestId }) => requestId === second)));
    assert.equal(a.engine.mainModes().length, 2, 'the first is not deleted');
    assert.equal(b.pairs.size, 2);
    const refusal = b.audits.find(({ id }) => id === 547);
    assert.ok(refusal?.id === 547);
    assert.match(refusal.failureReason, /may make 1 quick modes/);
  });
});

describe('RESPONDER-LIFETIME in main mode', () => {
  test('one that cannot be read changes nothing, for the proof beside it is good', () => {
    const policy = mainModePolicy();
    const offer = chooseMainMode(mainModeSa(policy, false), policy);
    assert.ok('chosen' in offer);
    const payloads = [notifyPayload(notifyTypes['RESPONDER-LIFETIME'], { data: Uint8Array.of(0, 11, 0) })];
    const chain = decodePayloads(encodePayloads(payloads), firstPayloadType(payloads));
    assert.equal(withResponderLifetime(offer.chosen, chain).lifetimeSeconds, 28_800);
  });

  for (const [profile, expected] of [
    ['ipseckit', 1_200],
    ['windows-2003', 28_800],
  ] as const)
    test(`${profile}: a responder with a shorter life ${profile === 'ipseckit' ? 'says so' : 'does not say so'}`, () => {
      const { net, a } = twoHosts(
        1,
        {},
        {},
        { mainMode: mainModePolicy({ lifetimeSeconds: 1_200 }), options: { vendorProfile: profile } },
      );
      net.acquire(a);
      net.run(2_000);
      const [mainMode] = a.engine.mainModes();
      const { establishedAtMs = 0, expiresAtMs = 0 } = mainMode ?? {};
      assert.equal((expiresAtMs - establishedAtMs) / 1_000, expected);
    });
});

test('an address of this host that has gone: all from there ends, who waits hears so, and nothing is sent', () => {
  const { net, a } = twoHosts(1);
  net.acquire(a);
  net.run(5_000);
  assert.equal(a.pairs.size, 1);
  const sent = a.sent.length;
  net.apply(a, a.engine.addressLost(a.address, net.nowMs));
  assert.equal(a.pairs.size, 0);
  assert.deepEqual(a.engine.mainModes(), []);
  assert.match(a.removed.at(-1)?.reason ?? '', /192\.0\.2\.1 is no longer an address of this host/);
  assert.equal(a.sent.length, sent);

  net.acquire(a);
  net.apply(a, a.engine.addressLost(a.address, net.nowMs));
  assert.deepEqual(
    a.failures.map(({ reason }) => reason),
    ['address-lost'],
  );
  assert.deepEqual(a.engine.mainModes(), []);
});
