import { uptime } from 'node:os';

/** Where a `SteadyClock` reads. All in milliseconds. */
export interface ClockSources {
  /** Since this process began, without the time the machine slept. */
  monotonicMs(): number;
  /** Since the machine began, with the time it slept; it may be coarse. */
  uptimeMs(): number;
  /** What the calendar says, which somebody may set at any time. */
  calendarMs(): number;
}

/** How often the machine is asked whether it slept. */
const sleepCheckMs = 1_000;
/** Less than this is no sleep but the coarseness of the sources. */
const shortestSleepMs = 1_000;

/**
 * The time lifetimes, timers and retransmissions go by: milliseconds since 1970 as they were when the process began,
 * and what has passed since, asleep or not. It never goes back or jumps when the calendar is set, so that neither ends an
 * SA early nor holds up a negotiation. What people read is translated by `calendarMs`.
 */
export class SteadyClock {
  readonly #sources: ClockSources;
  readonly #originMs: number;
  readonly #bootMs: number;
  #asleepMs = 0;
  #checkedAtMs: number;

  constructor(sources: ClockSources) {
    const monotonicMs = sources.monotonicMs();
    this.#sources = sources;
    this.#originMs = sources.calendarMs() - monotonicMs;
    this.#bootMs = sources.uptimeMs() - monotonicMs;
    this.#checkedAtMs = monotonicMs;
  }

  nowMs(): number {
    const monotonicMs = this.#sources.monotonicMs();
    if (monotonicMs - this.#checkedAtMs >= sleepCheckMs) {
      this.#checkedAtMs = monotonicMs;
      const asleepMs = this.#sources.uptimeMs() - monotonicMs - this.#bootMs;
      if (asleepMs - this.#asleepMs >= shortestSleepMs) this.#asleepMs = asleepMs;
    }
    return this.#originMs + monotonicMs + this.#asleepMs;
  }

  /** What the calendar says of a time of this clock, as it is set now. */
  calendarMs(atMs: number): number {
    return Math.round(this.#sources.calendarMs() - this.nowMs() + atMs);
  }

  /** The time of this clock that the calendar calls so, as it is set now; of the future, nothing is known. */
  ofCalendarMs(calendarMs: number): number {
    const nowMs = this.nowMs();
    return Math.min(nowMs, nowMs - this.#sources.calendarMs() + calendarMs);
  }
}

/** This machine's. */
export const steadyClock = new SteadyClock({
  monotonicMs: () => performance.now(),
  uptimeMs: () => uptime() * 1_000,
  calendarMs: () => Date.now(),
});
