import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilterId } from '../../../src/driver/api.js';
import { AcquireQueue } from '../../../src/driver/userspace/acquire-queue.js';

const [scanned, other] = ['scanned', 'other'] as FilterId[] as [FilterId, FilterId];
const limits = { packets: 4, bytes: 10_000, totalBytes: 100_000 };
const packet = (n: number, bytes = 1000) => new Uint8Array(bytes).fill(n);
const firsts = (packets: readonly Uint8Array[]) => packets.map(bytes => bytes[0]);

/** Packets to a thousand peers under one filter; returns how many were dropped. */
function scan(queue: AcquireQueue): number {
  let dropped = 0;
  for (let peer = 1; peer <= 1000; peer++)
    dropped += queue.add(scanned, peer, 'scan', packet(peer % 256), 0).dropped.length;
  return dropped;
}

test('a scan under one filter pushes out its own packets, the oldest first, and none of another filter', () => {
  const queue = new AcquireQueue(limits);
  queue.add(other, 5000, 'a', packet(1), 0);
  const dropped = scan(queue);
  assert.ok(queue.size < 100 && queue.size > 50, `${queue.size}`);
  assert.equal(dropped + queue.size, 1001, 'each is kept or told');
  assert.deepEqual(queue.add(other, 5001, 'b', packet(2), 0).ask, true);
  assert.deepEqual(firsts(queue.take(other, 5000)), [1]);
  assert.deepEqual(firsts(queue.take(other, 5001)), [2]);
  assert.deepEqual(queue.take(scanned, 1), []);
  assert.deepEqual(firsts(queue.take(scanned, 1000)), [1000 % 256]);
});

test('under the filter that is scanned a newcomer still gets its place', () => {
  const queue = new AcquireQueue(limits);
  scan(queue);
  const { ask, dropped } = queue.add(scanned, 7777, 'a', packet(9), 0);
  assert.deepEqual([ask, dropped.length], [true, 1]);
  assert.deepEqual(firsts(queue.take(scanned, 7777)), [9]);
});

test('of what waits for one peer a flow that has most gives way to others, its newest first', () => {
  const queue = new AcquireQueue(limits);
  for (let n = 1; n <= 6; n++) queue.add(other, 1, 'flood', packet(n), 0);
  assert.deepEqual(firsts(queue.add(other, 1, 'a', packet(10), 0).dropped), [4]);
  assert.deepEqual(firsts(queue.add(other, 1, 'b', packet(11), 0).dropped), [3]);
  assert.deepEqual(firsts(queue.add(other, 1, 'b', packet(12), 0).dropped), [12], 'it would have as many');
  assert.deepEqual(firsts(queue.add(other, 1, 'flood', packet(13), 0).dropped), [13]);
  assert.deepEqual(firsts(queue.take(other, 1)), [1, 2, 10, 11]);
});

test('what is longer than a place is dropped alone', () => {
  const queue = new AcquireQueue(limits);
  queue.add(other, 1, 'a', packet(1), 0);
  assert.deepEqual(firsts(queue.add(other, 1, 'b', packet(2, 20_000), 0).dropped), [2]);
  assert.deepEqual(firsts(queue.take(undefined, 1)), [1]);
});
