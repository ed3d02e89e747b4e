import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DuplicateFilter, Retransmission } from '../../src/ike/retransmission.js';
import { TimerQueue } from '../../src/ike/timers.js';
import { generator } from './harness.js';

const runAll = (timers: TimerQueue, untilMs: number) => {
  for (let run = timers.takeDue(untilMs); run; run = timers.takeDue(untilMs)) run();
};

/** A clock that a test sets forward. */
class TestClock {
  readonly timers = new TimerQueue();
  nowMs = 0;

  /** Runs all that is due until then, each when it is due. */
  runTo(untilMs: number): void {
    for (let atMs = this.timers.nextMs(); atMs !== undefined && atMs <= untilMs; atMs = this.timers.nextMs())
      this.jumpTo(atMs);
    this.nowMs = untilMs;
  }

  /** As after a sleep: all that was due meanwhile runs late. */
  jumpTo(nowMs: number): void {
    this.nowMs = nowMs;
    runAll(this.timers, nowMs);
  }
}

describe('timer queue', () => {
  test('10,000 timers, a third cancelled, run in order of time', () => {
    const random = generator(1);
    const timers = new TimerQueue();
    const ran: number[] = [];
    const expected: number[] = [];
    for (let n = 0; n < 10_000; n++) {
      const atMs = random() % 100_000;
      const timer = timers.schedule(atMs, () => ran.push(atMs));
      if (random() % 3 === 0) timers.cancel(timer);
      else expected.push(atMs);
    }
    expected.sort((x, y) => x - y);
    assert.equal(timers.nextMs(), expected[0]);
    runAll(timers, 50_000);
    assert.equal(timers.nextMs(), expected[ran.length]);
    runAll(timers, 100_000);
    assert.deepEqual(ran, expected);
    assert.equal(timers.nextMs(), undefined);
  });

  test('what was cancelled is not kept until it would have been due', () => {
    const timers = new TimerQueue();
    const order: number[] = [];
    for (let n = 0; n < 10_000; n++) {
      const timer = timers.schedule(28_800_000 - n, () => order.push(n));
      if (n % 100 !== 0) timers.cancel(timer);
    }
    assert.ok(timers.size < 300, `${timers.size}`);
    runAll(timers, 28_800_000);
    assert.deepEqual(
      order,
      Array.from({ length: 100 }, (_, n) => 9_900 - 100 * n),
    );
  });

  test('nothing runs early or twice', () => {
    const timers = new TimerQueue();
    let runs = 0;
    const timer = timers.schedule(5, () => runs++);
    runAll(timers, 4);
    assert.equal(runs, 0);
    runAll(timers, 5);
    runAll(timers, 100);
    timers.cancel(timer);
    timers.cancel(undefined);
    assert.equal(runs, 1);
  });
});

describe('retransmission', () => {
  test('stops when told, also from within the transmission', () => {
    const clock = new TestClock();
    const sent: number[] = [];
    let gaveUp = false;
    const request = new Retransmission(
      clock,
      n => sent.push(n),
      () => {
        gaveUp = true;
      },
      [10, 20],
    );
    clock.runTo(15);
    assert.deepEqual(sent, [0, 1]);
    request.stop();
    clock.runTo(1_000);
    assert.deepEqual([sent, gaveUp, request.transmissions], [[0, 1], false, 2]);
  });

  test('gives up after the last pause', () => {
    const clock = new TestClock();
    let gaveUp = 0;
    new Retransmission(
      clock,
      () => {},
      () => gaveUp++,
      [10, 20],
    );
    clock.runTo(29);
    assert.equal(gaveUp, 0);
    clock.runTo(30);
    assert.equal(gaveUp, 1);
  });

  test('after a sleep it goes on with one transmission, and waits for an answer again', () => {
    const clock = new TestClock();
    const sent: number[] = [];
    let gaveUp = false;
    new Retransmission(
      clock,
      () => sent.push(clock.nowMs),
      () => {
        gaveUp = true;
      },
      [10, 20, 40],
    );
    clock.jumpTo(120_000);
    assert.deepEqual([sent, gaveUp], [[0, 120_000], false]);
    clock.runTo(200_000);
    assert.deepEqual([sent, gaveUp], [[0, 120_000, 120_020], true]);
  });
});

test('duplicate filter: remembers by content, a bounded number, answers with restraint', () => {
  const filter = new DuplicateFilter(2);
  let answers = 0;
  const first = Uint8Array.of(1, 2, 3);
  assert.equal(filter.handle(first, 0), false);
  filter.remember(first, 0, () => answers++);
  assert.equal(filter.handle(Uint8Array.of(1, 2, 3), 100), true);
  assert.equal(answers, 0);
  assert.equal(filter.handle(first, 500), true);
  assert.equal(filter.handle(first, 900), true);
  assert.equal(filter.handle(first, 1_000), true);
  assert.equal(answers, 2);
  filter.remember(Uint8Array.of(4), 0);
  filter.remember(Uint8Array.of(5), 0);
  assert.equal(filter.handle(first, 5_000), false, 'the oldest is forgotten');
});
