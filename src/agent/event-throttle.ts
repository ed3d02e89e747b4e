/**
 * Anyone on the network can make a negotiation fail, so failures reach the disk at a bounded rate: `burst` at once,
 * `perSecond` in the long run. What was held back is counted, and said with the next one let through.
 */
export class EventThrottle {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filledAtMs = 0;
  #heldBack = 0;

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** How many were held back before this one; `undefined` when this one is held back too. */
  admit(nowMs: number): number | undefined {
    const refill = (Math.max(0, nowMs - this.#filledAtMs) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#burst, this.#tokens + refill);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) {
      this.#heldBack++;
      return undefined;
    }
    this.#tokens -= 1;
    const heldBack = this.#heldBack;
    this.#heldBack = 0;
    return heldBack;
  }
}
