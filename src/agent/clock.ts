import { steadyClock } from '../driver/steady-clock.js';

/** Time and timers, injected so that the agent runs under a virtual clock in tests. */
export interface Clock {
  /** Never jumps, whoever sets the calendar. */
  nowMs(): number;
  /** What the calendar says of a time of this clock. */
  calendarMs(atMs: number): number;
  /** Calls `run` once at `atMs` (at once when that is past); returns a function that cancels it. */
  at(atMs: number, run: () => void): () => void;
}

/** The longest delay `setTimeout` takes. */
const longestDelayMs = 0x7fff_ffff;

/** This machine's. */
export const systemClock: Clock = {
  nowMs: () => Math.floor(steadyClock.nowMs()),
  calendarMs: atMs => steadyClock.calendarMs(atMs),
  at(atMs, run) {
    const delayMs = Math.ceil(atMs - steadyClock.nowMs());
    const timer = setTimeout(run, Math.min(Math.max(0, delayMs), longestDelayMs));
    return () => clearTimeout(timer);
  },
};
