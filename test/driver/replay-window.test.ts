import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ReplayWindow } from '../../src/driver/replay-window.js';
import { SeededRandom } from '../support/random.js';

/** The definition, word for word: every number ever accepted is remembered. */
class NaiveWindow {
  readonly #size: number;
  readonly #seen = new Set<number>();
  #top = 0;

  constructor(size: number) {
    this.#size = size;
  }

  check(sequence: number): boolean {
    if (sequence === 0) return false;
    if (sequence > this.#top) return true;
    return sequence + this.#size > this.#top && !this.#seen.has(sequence);
  }

  accept(sequence: number): boolean {
    this.#seen.add(sequence);
    const newest = sequence > this.#top;
    if (newest) this.#top = sequence;
    return newest;
  }
}

const last = 2 ** 32 - 1;

describe('replay window', () => {
  for (const size of [1, 31, 32, 33, 64, 100, 1024, 4096]) {
    test(`${size} packets: agrees with the definition`, () => {
      const random = new SeededRandom(size);
      for (let round = 0; round < 20; round++) {
        const window = new ReplayWindow(size);
        const naive = new NaiveWindow(size);
        let around = random.chance(0.3) ? last - random.int(3 * size + 100) : random.int(200);
        for (let step = 0; step < 1000; step++) {
          around = Math.min(last, around + random.pick([0, 0, 1, 1, 2, random.int(2 * size + 70)]));
          const sequence = Math.min(last, Math.max(0, around - random.int(size + 40)));
          const expected = naive.check(sequence);
          assert.equal(window.check(sequence), expected, `round ${round} step ${step}: ${sequence}`);
          if (expected) assert.equal(window.accept(sequence), naive.accept(sequence));
        }
      }
    });
  }

  test('a checked but unproven number moves nothing', () => {
    const window = new ReplayWindow(64);
    window.accept(10);
    assert.equal(window.check(100_000), true);
    assert.equal(window.top, 10);
    assert.equal(window.check(9), true);
  });

  test('a number at the edge of the window', () => {
    const window = new ReplayWindow(64);
    window.accept(164);
    assert.equal(window.check(101), true);
    assert.equal(window.check(100), false);
    assert.equal(window.check(164), false);
    assert.equal(window.check(165), true);
  });

  test('size 0 accepts everything and still knows the newest', () => {
    const window = new ReplayWindow(0);
    assert.equal(window.check(0), true);
    assert.equal(window.accept(5), true);
    assert.equal(window.check(5), true);
    assert.equal(window.accept(4), false);
    assert.equal(window.top, 5);
  });
});
