import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Lifetime, lastSequence } from '../../src/driver/lifetime.js';

const none = { softSeconds: 0, hardSeconds: 0, softKilobytes: 0, hardKilobytes: 0 };

describe('lifetime', () => {
  test('seconds: soft once, hard once, and when to look again', () => {
    const lifetime = new Lifetime({ ...none, softSeconds: 10, hardSeconds: 20 }, 5_000);
    assert.equal(lifetime.nextAtMs, 15_000);
    assert.equal(lifetime.check(14_999, 0, 0), undefined);
    assert.deepEqual(lifetime.check(15_000, 0, 0), { kind: 'softExpired', cause: 'seconds' });
    assert.equal(lifetime.check(15_001, 0, 0), undefined);
    assert.equal(lifetime.nextAtMs, 25_000);
    assert.deepEqual(lifetime.check(25_000, 0, 0), { kind: 'hardExpired', cause: 'seconds' });
    assert.equal(lifetime.isOver, true);
    assert.equal(lifetime.check(90_000, 0, 0), undefined);
    assert.equal(lifetime.nextAtMs, Number.POSITIVE_INFINITY);
  });

  test('kilobytes of 1,024 bytes', () => {
    const lifetime = new Lifetime({ ...none, softKilobytes: 2, hardKilobytes: 3 }, 0);
    assert.equal(lifetime.check(1, 2047, 0), undefined);
    assert.deepEqual(lifetime.check(1, 2048, 0), { kind: 'softExpired', cause: 'kilobytes' });
    assert.deepEqual(lifetime.check(1, 3072, 0), { kind: 'hardExpired', cause: 'kilobytes' });
  });

  test('sequence numbers run out whatever was agreed', () => {
    const lifetime = new Lifetime(none, 0);
    assert.equal(lifetime.nextAtMs, Number.POSITIVE_INFINITY);
    assert.equal(lifetime.check(1, 1e15, 2 ** 31), undefined);
    assert.deepEqual(lifetime.check(1, 0, 2 ** 31 + 2 ** 30), { kind: 'softExpired', cause: 'sequence' });
    assert.equal(lifetime.check(1, 0, lastSequence - 1), undefined);
    assert.deepEqual(lifetime.check(1, 0, lastSequence), { kind: 'hardExpired', cause: 'sequence' });
  });

  test('extended sequence numbers do not', () => {
    const lifetime = new Lifetime({ ...none, softKilobytes: 2 }, 0, true);
    assert.equal(lifetime.check(1, 0, 2 ** 32), undefined);
    assert.equal(lifetime.check(1, 0, 2 ** 52), undefined);
    assert.deepEqual(lifetime.check(1, 2048, 2 ** 52), { kind: 'softExpired', cause: 'kilobytes' });
  });

  test('hard before soft when both are past', () => {
    const lifetime = new Lifetime({ ...none, softSeconds: 1, hardSeconds: 2 }, 0);
    assert.deepEqual(lifetime.check(2_000, 0, 0), { kind: 'hardExpired', cause: 'seconds' });
  });
});
