import type { SaLifetime } from './api.js';

/** Which limit was reached. */
export type ExpiryCause = 'seconds' | 'kilobytes' | 'sequence';

export interface Expiry {
  readonly kind: 'softExpired' | 'hardExpired';
  readonly cause: ExpiryCause;
}

/** Limits in milliseconds of the clock, bytes and packets. */
interface Limits {
  readonly atMs: number;
  readonly bytes: number;
  readonly sequence: number;
}

/** RFC 2407 4.5: a kilobyte of lifetime. */
const kilobyte = 1024;
/** Three quarters of the numbers used up: time to negotiate before there are none left (`esp-ah.md` 4). */
const softSequence = 2 ** 31 + 2 ** 30;
/** The last sequence number: it may be sent, and nothing after it (RFC 4303 3.3.3). */
export const lastSequence = 2 ** 32 - 1;
/** The last extended one that is counted exactly: 285 years of a million packets a second. */
const lastExtendedSequence = Number.MAX_SAFE_INTEGER;

/** Watches one pair's lifetime: tells once when the soft limit is reached and once when the hard one is. */
export class Lifetime {
  readonly #soft: Limits;
  readonly #hard: Limits;
  #state: 'fresh' | 'soft' | 'hard' = 'fresh';

  constructor(lifetime: SaLifetime, installedAtMs: number, extendedSequence = false) {
    const limit = (value: number, unit: number) => (value === 0 ? Number.POSITIVE_INFINITY : value * unit);
    this.#soft = {
      atMs: installedAtMs + limit(lifetime.softSeconds, 1000),
      bytes: limit(lifetime.softKilobytes, kilobyte),
      sequence: extendedSequence ? lastExtendedSequence : softSequence,
    };
    this.#hard = {
      atMs: installedAtMs + limit(lifetime.hardSeconds, 1000),
      bytes: limit(lifetime.hardKilobytes, kilobyte),
      sequence: extendedSequence ? lastExtendedSequence : lastSequence,
    };
  }

  /** Whether the hard limit was reached: the pair must not be used. */
  get isOver(): boolean {
    return this.#state === 'hard';
  }

  /** When the next limit in seconds is due; infinite when there is none. */
  get nextAtMs(): number {
    if (this.#state === 'hard') return Number.POSITIVE_INFINITY;
    return this.#state === 'soft' ? this.#hard.atMs : Math.min(this.#soft.atMs, this.#hard.atMs);
  }

  /** The limit that is newly reached, if any. `bytes` and `sequence` are those of the busier direction. */
  check(nowMs: number, bytes: number, sequence: number): Expiry | undefined {
    if (this.#state === 'hard') return undefined;
    const hard = causeOf(this.#hard, nowMs, bytes, sequence);
    if (hard !== undefined) {
      this.#state = 'hard';
      return { kind: 'hardExpired', cause: hard };
    }
    if (this.#state === 'soft') return undefined;
    const soft = causeOf(this.#soft, nowMs, bytes, sequence);
    if (soft === undefined) return undefined;
    this.#state = 'soft';
    return { kind: 'softExpired', cause: soft };
  }
}

function causeOf(limits: Limits, nowMs: number, bytes: number, sequence: number): ExpiryCause | undefined {
  if (nowMs >= limits.atMs) return 'seconds';
  if (bytes >= limits.bytes) return 'kilobytes';
  return sequence >= limits.sequence ? 'sequence' : undefined;
}
