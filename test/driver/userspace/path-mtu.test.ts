import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PathMtuCache } from '../../../src/driver/userspace/path-mtu.js';
import { ipAddress } from '../../../src/wire/ip/address.js';

const peer = ipAddress('192.0.2.9');

describe('PathMtuCache', () => {
  test('asks for the route once in five seconds', () => {
    const answers = [1500, 1400];
    const cache = new PathMtuCache(() => answers.shift() ?? 0);
    assert.equal(cache.get(peer, 0), 1500);
    assert.equal(cache.get(peer, 4_999), 1500);
    assert.equal(cache.get(peer, 5_000), 1400);
  });

  test('believes routers for ten minutes, never below 576, never above the route', () => {
    const cache = new PathMtuCache(() => 1500);
    cache.get(peer, 0);
    cache.learn(peer, 9000, 0);
    assert.equal(cache.get(peer, 1), 1500);
    cache.learn(peer, 1300, 0);
    assert.equal(cache.get(peer, 1), 1300);
    assert.equal(cache.get(peer, 599_999), 1300, 'outlives the route look-up');
    assert.equal(cache.get(peer, 606_000), 1500);
    cache.learn(peer, 68, 610_000);
    assert.equal(cache.get(peer, 610_000), 576);
  });

  test('ignores news of hosts we send nothing to', () => {
    const cache = new PathMtuCache(() => 1500);
    cache.learn(peer, 600, 0);
    assert.equal(cache.get(peer, 0), 1500);
  });
});
