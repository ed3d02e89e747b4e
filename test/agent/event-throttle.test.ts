import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventThrottle } from '../../src/agent/event-throttle.js';

test('a burst passes, then only so many a second, and what was held back is counted', () => {
  const throttle = new EventThrottle(2, 3);
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => throttle.admit(1_000)),
    [0, 0, 0, undefined, undefined],
  );
  assert.equal(throttle.admit(1_400), undefined);
  assert.equal(throttle.admit(1_500), 3);
  assert.equal(throttle.admit(1_500), undefined);
  assert.equal(throttle.admit(60_000), 1);
  assert.equal(throttle.admit(60_000), 0, 'the bucket is full again');
});

test('a clock that jumps back gives nothing and breaks nothing', () => {
  const throttle = new EventThrottle(1, 1);
  assert.equal(throttle.admit(5_000), 0);
  assert.equal(throttle.admit(1_000), undefined);
  assert.equal(throttle.admit(2_000), 1);
});
