import { steadyClock } from '../steady-clock.js';

/** The longest delay `setTimeout` takes. */
const longestDelayMs = 0x7fff_ffff;

/** The engine's clock. */
export function nowMs(): number {
  return steadyClock.nowMs();
}

/** Calls the engine when it asked to be woken. */
export class WakeTimer {
  readonly #nextWakeMs: () => number | undefined;
  readonly #tick: () => void;
  #timer: NodeJS.Timeout | undefined;
  #atMs = Number.POSITIVE_INFINITY;

  constructor(nextWakeMs: () => number | undefined, tick: () => void) {
    this.#nextWakeMs = nextWakeMs;
    this.#tick = tick;
  }

  /** Sets the timer anew when the engine wants to be woken earlier than it would be. */
  arm(): void {
    const wakeMs = this.#nextWakeMs();
    if (wakeMs === undefined || wakeMs >= this.#atMs) return;
    clearTimeout(this.#timer);
    this.#atMs = wakeMs;
    const delayMs = Math.min(longestDelayMs, Math.max(0, Math.ceil(wakeMs - nowMs())));
    this.#timer = setTimeout(() => {
      this.#atMs = Number.POSITIVE_INFINITY;
      this.#tick();
      this.arm();
    }, delayMs);
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#atMs = Number.NEGATIVE_INFINITY;
  }
}
