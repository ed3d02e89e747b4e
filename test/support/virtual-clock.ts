import type { Clock } from '../../src/agent/clock.js';

/** A clock that stands still until a test moves it. */
export class VirtualClock implements Clock {
  #nowMs = 1_000_000;
  /** How far the calendar is ahead: setting it moves nothing else. */
  calendarAheadMs = 0;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  calendarMs(atMs: number): number {
    return atMs + this.calendarAheadMs;
  }

  at(atMs: number, run: () => void): () => void {
    const timer = { atMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer);
    };
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Moves on by `byMs`, running timers in order; `between` runs after each, and promises settle. */
  async advance(byMs: number, between: () => void = () => {}): Promise<void> {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      between();
      await new Promise(setImmediate);
      const next = this.#timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter(timer => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
    }
    this.#nowMs = endMs;
  }
}
