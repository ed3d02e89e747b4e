import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pairsFit, twoHosts } from './harness.js';

test('main mode and quick mode between two engines', () => {
  const { net, a, b } = twoHosts(1);
  const id = net.acquire(a);
  net.run(5_000);
  assert.deepEqual(a.failures, []);
  assert.equal(a.acquired[0]?.requestId, id);
  const [ours, theirs] = [a.current, b.current];
  assert.ok(ours && theirs && pairsFit(ours, theirs));
  assert.deepEqual(
    a.steps
      .filter(({ direction }) => direction !== 'note')
      .map(({ direction, message, detail }) => `${direction} ${message}: ${detail}`),
    [
      'sent main mode 1: SA VID*5',
      'received main mode 2: SA VID*5',
      'sent main mode 3: KE NONCE NAT-D*2',
      'received main mode 4: KE NONCE NAT-D*2',
      'sent main mode 5: ID HASH NOTIFY(INITIAL-CONTACT)',
      'received main mode 6: ID HASH',
      'sent quick mode 1: HASH SA NONCE ID*2',
      'received quick mode 2: HASH SA NONCE ID*2',
      'sent quick mode 3: HASH',
    ],
  );
});
