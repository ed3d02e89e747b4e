import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SteadyClock } from '../../src/driver/steady-clock.js';

/** A machine whose clocks a test moves. */
function machine() {
  const at = { monotonicMs: 5_000, uptimeMs: 905_000, calendarMs: 1_700_000_000_000 };
  const clock = new SteadyClock({
    monotonicMs: () => at.monotonicMs,
    uptimeMs: () => at.uptimeMs,
    calendarMs: () => at.calendarMs,
  });
  const pass = (ms: number, awake = true) => {
    if (awake) at.monotonicMs += ms;
    at.uptimeMs += ms;
    at.calendarMs += ms;
  };
  return { at, clock, pass };
}

test('it begins with the calendar and goes on as time does', () => {
  const { clock, pass } = machine();
  assert.equal(clock.nowMs(), 1_700_000_000_000);
  pass(1_234);
  assert.equal(clock.nowMs(), 1_700_000_001_234);
});

test('setting the calendar moves what people read, and nothing else', () => {
  const { at, clock, pass } = machine();
  const establishedAtMs = clock.nowMs();
  for (const jumpMs of [86_400_000, -10 * 86_400_000]) {
    const before = clock.nowMs();
    at.calendarMs += jumpMs;
    pass(1_500);
    assert.equal(clock.nowMs(), before + 1_500);
  }
  assert.equal(clock.calendarMs(clock.nowMs()), at.calendarMs);
  assert.equal(clock.calendarMs(establishedAtMs), at.calendarMs - 3_000, 'three seconds ago');
  assert.equal(clock.ofCalendarMs(at.calendarMs - 3_000), establishedAtMs);
  assert.equal(
    clock.ofCalendarMs(at.calendarMs + 9_000),
    clock.nowMs(),
    'the calendar was set back meanwhile',
  );
});

test('time asleep counts; coarse sources are no sleep', () => {
  const { at, clock, pass } = machine();
  const before = clock.nowMs();
  pass(7_200_000, false);
  pass(1_000);
  assert.equal(clock.nowMs(), before + 7_201_000);
  for (const wobbleMs of [400, -900, 700]) {
    at.uptimeMs += wobbleMs;
    const earlier = clock.nowMs();
    pass(1_000);
    assert.equal(clock.nowMs(), earlier + 1_000);
  }
});
