/** Sending a request until it is answered, and answering repeated requests (ike.md 11). */
import { createHash } from 'node:crypto';
import type { Timer, TimerQueue } from './timers.js';

/** Windows' back-off: the pauses after each transmission; after the last one the request has failed. */
export const retransmissionPausesMs = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 32_000] as const;

/** The time, and who wakes us; a `Context` is one. */
interface Clock {
  readonly timers: TimerQueue;
  readonly nowMs: number;
}

/** A request under way: sent at once, repeated with growing pauses until `stop`, given up in the end. */
export class Retransmission {
  readonly #clock: Clock;
  readonly #send: (retransmission: number) => void;
  readonly #giveUp: () => void;
  readonly #pausesMs: readonly number[];
  #timer: Timer | undefined;
  #sent = 0;

  constructor(
    clock: Clock,
    /** Called with 0 for the first transmission. */
    send: (retransmission: number) => void,
    giveUp: () => void,
    pausesMs: readonly number[] = retransmissionPausesMs,
  ) {
    this.#clock = clock;
    this.#send = send;
    this.#giveUp = giveUp;
    this.#pausesMs = pausesMs;
    this.#next();
  }

  /** How often the request was sent. */
  get transmissions(): number {
    return this.#sent;
  }

  stop(): void {
    this.#clock.timers.cancel(this.#timer);
  }

  #next(): void {
    const pauseMs = this.#pausesMs[this.#sent];
    if (pauseMs === undefined) {
      this.#giveUp();
      return;
    }
    // The timer first: sending may end the exchange, and then stops it. From now on, which may be later than it was due:
    // who was asleep or held up does not catch up on what it missed.
    const { timers, nowMs } = this.#clock;
    this.#timer = timers.schedule(nowMs + pauseMs, () => this.#next());
    this.#send(this.#sent++);
  }
}

/** A repeated request is answered again at most this often, so that nobody can use us as an amplifier. */
const answerPauseMs = 500;

interface Seen {
  readonly reply: (() => void) | undefined;
  answeredAtMs: number;
}

/**
 * The datagrams an exchange has dealt with, each with what answered it. A datagram seen before is answered from
 * here, byte for byte as the first time, and reaches no other state.
 */
export class DuplicateFilter {
  readonly #seen = new Map<string, Seen>();
  readonly #capacity: number;

  constructor(capacity = 8) {
    this.#capacity = capacity;
  }

  /** Whether `datagram` was dealt with before; if so its answer is sent again. */
  handle(datagram: Uint8Array, nowMs: number): boolean {
    const seen = this.#seen.get(fingerprint(datagram));
    if (seen === undefined) return false;
    if (seen.reply !== undefined && nowMs - seen.answeredAtMs >= answerPauseMs) {
      seen.answeredAtMs = nowMs;
      seen.reply();
    }
    return true;
  }

  /** Remembers a datagram that has been dealt with; the oldest is forgotten when there are too many. */
  remember(datagram: Uint8Array, nowMs: number, reply?: () => void): void {
    const key = fingerprint(datagram);
    this.#seen.delete(key);
    this.#seen.set(key, { reply, answeredAtMs: nowMs });
    const oldest = this.#seen.keys().next();
    if (this.#seen.size > this.#capacity && !oldest.done) this.#seen.delete(oldest.value);
  }
}

function fingerprint(datagram: Uint8Array): string {
  return createHash('sha1').update(datagram).digest('base64');
}
