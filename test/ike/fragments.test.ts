import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FragmentBudget, FragmentQueues } from '../../src/ike/fragments.js';
import type { SecurityMethod } from '../../src/policy/model.js';
import { assembleMessage, decodeHeader, encodePayloads } from '../../src/wire/isakmp/message.js';
import { headerFlags, payloadTypes } from '../../src/wire/isakmp/numbers.js';
import type { FragmentPayload } from '../../src/wire/isakmp/payloads.js';
import { vendorIds } from '../../src/wire/isakmp/vendor-ids.js';
import { type HostOptions, keysMatch, twoHosts } from './harness.js';

const piece = (number: number, text: string, last = false, fragmentId = 1): FragmentPayload => ({
  kind: 'fragment',
  fragmentId,
  number,
  flags: last ? 1 : 0,
  data: Buffer.from(text),
});
const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

describe('fragment queues', () => {
  test('pieces in any order, repeated ones ignored', () => {
    const queues = new FragmentQueues();
    assert.equal(queues.add('x', piece(3, 'c', true), 0), undefined);
    assert.equal(queues.add('x', piece(1, 'a'), 0), undefined);
    assert.equal(queues.add('x', piece(1, 'A'), 0), undefined);
    assert.equal(text(queues.add('x', piece(2, 'b'), 0)), 'abc');
    assert.equal(
      text(queues.add('x', piece(3, 'c', true), 0)),
      'abc',
      'any piece again is the message again',
    );
    assert.equal(text(queues.add('x', piece(1, 'whole', true), 0)), 'whole', 'of another message it is not');
  });

  test('messages of different exchanges or ids do not mix', () => {
    const queues = new FragmentQueues();
    queues.add('x', piece(1, 'a'), 0);
    queues.add('y', piece(1, 'b'), 0);
    queues.add('x', piece(1, 'c', false, 2), 0);
    assert.equal(text(queues.add('y', piece(2, '2', true), 0)), 'b2');
    assert.equal(text(queues.add('x', piece(2, '2', true), 0)), 'a2');
  });

  test('contradictions and excess discard everything', () => {
    const queues = new FragmentQueues();
    queues.add('x', piece(2, 'b', true), 0);
    queues.add('x', piece(3, 'c', true), 0);
    assert.equal(queues.add('x', piece(1, 'a'), 0), undefined, 'two last ones');
    queues.add('z', piece(5, 'e'), 0);
    assert.equal(queues.add('z', piece(1, 'a', true), 0), undefined, 'a number beyond the last');
    assert.equal(queues.add('z', piece(0, ''), 0), undefined);
    assert.equal(queues.add('z', piece(65, 'x', true), 0), undefined);
  });

  test('all exchanges that are not finished hold no more than 4 MB together: the oldest lose theirs', () => {
    const budget = new FragmentBudget();
    const data = 'x'.repeat(60_000);
    const all = Array.from({ length: 200 }, (_, i) => {
      const queues = new FragmentQueues();
      queues.add('x', piece(1, data, false, i), 0);
      budget.note(queues);
      return queues;
    });
    const held = all.map(({ bytes }) => bytes);
    const total = held.reduce((sum, bytes) => sum + bytes, 0);
    assert.ok(total <= 4_194_304 && total > 4_000_000, `${total}`);
    assert.equal(held[0], 0);
    assert.equal(held.at(-1), 60_000);
    // What is established counts no more.
    for (const queues of all) budget.release(queues);
    const last = all.at(-1);
    assert.ok(last);
    budget.note(last);
    assert.equal(last.bytes, 60_000);
  });

  test('old pieces are forgotten', () => {
    const queues = new FragmentQueues();
    queues.add('x', piece(1, 'a'), 0);
    assert.equal(queues.add('x', piece(2, 'b', true), 71_000), undefined);
  });
});

for (const [how, withHeader, keptFlags] of [
  ['with their header', true, 0],
  ['with their header, the flags in each as racoon sends them', true, headerFlags.ENCRYPTED],
  ['read to the letter of [MS-IKEE]', false, 0],
] as const)
  test(`a negotiation whose messages arrive in shuffled fragments, ${how}`, () => {
    const { net, a, b } = twoHosts(1);
    net.manual = true;
    net.acquire(a);
    let fragmentId = 0;
    for (let datagram = net.wire.shift(); datagram; datagram = net.wire.shift()) {
      const { bytes } = datagram;
      const header = decodeHeader(bytes);
      const isCut = withHeader || (header.flags & headerFlags.ENCRYPTED) !== 0;
      if (!isCut || bytes.length < 100 || header.responderCookie.every(byte => byte === 0)) {
        net.deliver(datagram);
        continue;
      }
      fragmentId++;
      const cut = withHeader ? bytes : bytes.subarray(28);
      const count = Math.ceil(cut.length / 50);
      const fragments = Array.from({ length: count }, (_, i) =>
        assembleMessage(
          { ...header, flags: header.flags & keptFlags },
          payloadTypes.FRAGMENT,
          encodePayloads([
            {
              kind: 'fragment',
              fragmentId,
              number: i + 1,
              flags: i === count - 1 ? 1 : 0,
              data: cut.subarray(50 * i, 50 * (i + 1)),
            },
          ]),
        ),
      );
      for (const fragment of fragments.sort(() => net.chance() - 0.5))
        net.deliver({ ...datagram, bytes: fragment });
    }
    assert.ok(fragmentId >= (withHeader ? 4 : 3), 'messages were fragmented');
    net.run(100);
    assert.ok(a.current && b.current && keysMatch(a.current, b.current));
  });

/** An offer of several thousand bytes. */
const manyMethods: SecurityMethod[] = Array.from({ length: 40 }, (_, i) => ({
  esp: { encryption: '3des', hash: 'sha1' },
  lifetimeSeconds: 3_600 + i,
}));

describe('sending fragments', () => {
  const nextPayloadOffset = 16;
  const isFragment = ({ bytes }: { bytes: Uint8Array }) => bytes[nextPayloadOffset] === payloadTypes.FRAGMENT;

  function negotiate(options: HostOptions, peer: HostOptions = {}) {
    const hosts = twoHosts(3, {}, { methods: manyMethods, ...options }, { methods: manyMethods, ...peer });
    hosts.net.acquire(hosts.a);
    return hosts;
  }

  test('what needs more than a packet of 1,280 bytes is cut at once, and joined by the peer', () => {
    const { net, a, b } = negotiate({});
    net.run(2_000);
    assert.ok(a.current && b.current && keysMatch(a.current, b.current));
    const fragments = a.sent.filter(isFragment);
    assert.ok(fragments.length > 1);
    for (const { bytes } of a.sent) assert.ok(bytes.length + 20 + 8 <= 1_280, `${bytes.length} bytes`);
    assert.match(a.steps.find(({ message }) => message === 'quick mode 1')?.detail ?? '', / in \d fragments/);
  });

  test('what stays unanswered for 3 s is cut to packets of 576 bytes, and may be joined across repetitions', () => {
    const { net, a, b } = negotiate({});
    // A path that loses everything larger, and of the small ones each second.
    let small = 0;
    net.translate = datagram => {
      if (datagram.bytes.length + 28 > 576) return undefined;
      return isFragment(datagram) && small++ % 2 === 1 ? undefined : datagram;
    };
    net.run(20_000);
    assert.ok(a.current && b.current && keysMatch(a.current, b.current));
    const last = a.sent.findLast(isFragment);
    assert.ok(last && last.bytes.length <= 548);
  });

  test('like Windows 2003: only messages with an ID, only after 3 s, packets of 576 bytes', () => {
    const { net, a, b } = negotiate({ options: { vendorProfile: 'windows-2003' } });
    net.translate = datagram => (datagram.bytes.length + 28 > 576 ? undefined : datagram);
    net.run(2_000);
    assert.equal(a.sent.some(isFragment), false);
    assert.ok(a.sent.some(({ bytes }) => bytes.length > 1_280));
    net.run(5_000);
    assert.ok(a.current && b.current && keysMatch(a.current, b.current));
    assert.ok(a.sent.filter(isFragment).every(({ bytes }) => bytes.length <= 548));
  });

  test('a peer that did not announce it gets whole messages', () => {
    const { net, a } = negotiate({});
    const { fragmentation } = vendorIds;
    net.translate = datagram => {
      const bytes = Buffer.from(datagram.bytes);
      const at = bytes.indexOf(fragmentation.bytes);
      if (at >= 0) bytes[at] = 0;
      return { ...datagram, bytes };
    };
    net.run(2_000);
    assert.equal(a.sent.some(isFragment), false);
  });
});
