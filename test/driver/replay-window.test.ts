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

  test('an SA that is not new: what was before is seen', () => {
    const window = new ReplayWindow(64, { top: 100 });
    assert.deepEqual(
      [36, 37, 100, 101].map(sequence => window.check(sequence)),
      [false, false, false, true],
    );
    window.accept(103);
    assert.deepEqual([window.check(101), window.check(102)], [true, true]);
  });
});

/** What a receiver takes a number for, word for word as RFC 4303 A2.2 has it. */
function numberByAppendix(sent: number, top: number, size: number): number {
  const topHigh = Math.floor(top / 2 ** 32);
  const topLow = top % 2 ** 32;
  const bottomLow = topLow - size + 1;
  let high: number;
  if (topLow >= size - 1) high = sent >= bottomLow ? topHigh : topHigh + 1;
  else high = sent >= bottomLow + 2 ** 32 ? topHigh - 1 : topHigh;
  // Before the first wrap there is nothing that could be older.
  return Math.max(0, high) * 2 ** 32 + sent;
}

describe('replay window with extended sequence numbers', () => {
  const starts = [0, 2 ** 32 - 40, 2 ** 32, 2 ** 32 + 5, 3 * 2 ** 32 - 200, 2 ** 40, 2 ** 45 - 100];

  for (const size of [1, 32, 64, 1000])
    test(`${size} packets: knows the number that was sent, and agrees with the definition`, () => {
      const random = new SeededRandom(size + 4303);
      for (let round = 0; round < 40; round++) {
        const start = random.pick(starts);
        const window = new ReplayWindow(size, { extended: true, top: start });
        const naive = new NaiveWindow(size);
        for (let seen = Math.max(1, start - size + 1); seen <= start; seen++) naive.accept(seen);
        let next = start;
        for (let step = 0; step < 400; step++) {
          // Now and then nearly 2^31 packets in a row are lost.
          next += random.chance(0.01)
            ? 2 ** 31 - random.int(1000)
            : random.pick([0, 0, 1, 1, 2, random.int(90)]);
          const number = Math.max(0, next - random.int(size));
          const what = `round ${round} step ${step}: ${number}, newest ${window.top}`;
          const taken = window.numberOf(number % 2 ** 32);
          assert.equal(taken, numberByAppendix(number % 2 ** 32, window.top, size), what);
          if (number > window.top - size) assert.equal(taken, number, what);
          const expected = naive.check(taken);
          assert.equal(window.check(taken), expected, what);
          // Only what was guessed rightly passes the ICV.
          if (expected && taken === number) assert.equal(window.accept(taken), naive.accept(taken), what);
        }
      }
    });

  test('crossing 2^32: the first packets of the next round, and late ones of the last', () => {
    const window = new ReplayWindow(64, { extended: true, top: 2 ** 32 - 3 });
    assert.equal(window.numberOf(0xffff_fffe), 2 ** 32 - 2);
    assert.equal(window.numberOf(0), 2 ** 32);
    assert.equal(window.check(2 ** 32), true);
    window.accept(2 ** 32 + 1);
    assert.equal(window.numberOf(0xffff_ffff), 2 ** 32 - 1);
    assert.equal(window.check(2 ** 32 - 1), true);
    assert.equal(window.check(2 ** 32 - 3), false);
    assert.equal(window.numberOf(1), 2 ** 32 + 1);
    assert.equal(window.check(2 ** 32 + 1), false);
  });

  test('after many wrong ICVs in a row a few packets are tried further on, and one that is genuine ends that', () => {
    const window = new ReplayWindow(64, { extended: true, top: 1000 });
    const tried = Array.from({ length: 200 }, (_, i) =>
      window.numbersAfterFailure(2000).length > 0 ? [i] : [],
    );
    assert.deepEqual(tried.flat(), [63, 79, 95, 111, 127, 143, 159, 175, 191]);
    for (let i = 0; i < 7; i++) window.numbersAfterFailure(2000);
    assert.deepEqual(window.numbersAfterFailure(2000), [
      2000 + 2 ** 32,
      2000 + 2 * 2 ** 32,
      2000 + 3 * 2 ** 32,
    ]);
    window.accept(2000 + 2 ** 32);
    for (let i = 0; i < 63; i++) assert.deepEqual(window.numbersAfterFailure(3000), []);
    assert.equal(window.numbersAfterFailure(3000).length, 3);
  });

  test('numbers of 32 bits mean nothing else', () => {
    const window = new ReplayWindow(64, { top: 1000 });
    for (let i = 0; i < 200; i++) assert.deepEqual(window.numbersAfterFailure(2000), []);
  });

  test('the most that may be lost: 2^32 packets less those of the window', () => {
    const window = new ReplayWindow(64, { extended: true, top: 1000 });
    assert.equal(window.numberOf(1000 - 64), 2 ** 32 + 1000 - 64);
    assert.equal(window.numberOf(1000 - 63), 1000 - 63);
  });
});
