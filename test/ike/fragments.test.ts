import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FragmentQueues } from '../../src/ike/fragments.js';
import { assembleMessage, decodeHeader, encodePayloads } from '../../src/wire/isakmp/message.js';
import { payloadTypes } from '../../src/wire/isakmp/numbers.js';
import type { FragmentPayload } from '../../src/wire/isakmp/payloads.js';
import { keysMatch, twoHosts } from './harness.js';

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
    assert.equal(text(queues.add('x', piece(1, 'whole', true), 0)), 'whole');
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

  test('old pieces are forgotten', () => {
    const queues = new FragmentQueues();
    queues.add('x', piece(1, 'a'), 0);
    assert.equal(queues.add('x', piece(2, 'b', true), 71_000), undefined);
  });
});

test('a negotiation whose messages arrive in shuffled fragments', () => {
  const { net, a, b } = twoHosts(1);
  net.manual = true;
  net.acquire(a);
  let fragmentId = 0;
  for (let datagram = net.wire.shift(); datagram; datagram = net.wire.shift()) {
    const { bytes } = datagram;
    const header = decodeHeader(bytes);
    if (bytes.length < 100 || header.responderCookie.every(byte => byte === 0)) {
      net.deliver(datagram);
      continue;
    }
    fragmentId++;
    const count = Math.ceil(bytes.length / 50);
    const fragments = Array.from({ length: count }, (_, i) =>
      assembleMessage(
        { ...header, flags: 0 },
        payloadTypes.FRAGMENT,
        encodePayloads([
          {
            kind: 'fragment',
            fragmentId,
            number: i + 1,
            flags: i === count - 1 ? 1 : 0,
            data: bytes.subarray(50 * i, 50 * (i + 1)),
          },
        ]),
      ),
    );
    for (const fragment of fragments.sort(() => net.chance() - 0.5))
      net.deliver({ ...datagram, bytes: fragment });
  }
  assert.ok(fragmentId >= 4, 'messages were fragmented');
  net.run(100);
  assert.ok(a.current && b.current && keysMatch(a.current, b.current));
});
