/** Time and timers, injected so that the agent runs under a virtual clock in tests. */
export interface Clock {
  nowMs(): number;
  /** Calls `run` once at `atMs` (at once when that is past); returns a function that cancels it. */
  at(atMs: number, run: () => void): () => void;
}

/** The longest delay `setTimeout` takes. */
const longestDelayMs = 0x7fff_ffff;

/** The wall clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  at(atMs, run) {
    const timer = setTimeout(run, Math.min(Math.max(0, atMs - Date.now()), longestDelayMs));
    return () => clearTimeout(timer);
  },
};
