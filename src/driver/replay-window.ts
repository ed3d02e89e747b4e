import { sentNumbers } from './extended-sequence.js';

const bitsPerWord = 32;

/** After so many failures in a row, and then after each pause, a packet is tried so many times 2^32 further on. */
const resynchronisation = { patience: 64, pause: 16, rounds: 3 } as const;

/** What makes a window other than that of a new SA with numbers of 32 bits. */
export interface ReplayWindowOptions {
  /** Numbers have 64 bits, of which packets tell 32. Needs a size. */
  readonly extended?: boolean;
  /** Everything up to this number has been seen. */
  readonly top?: number;
}

/**
 * The anti-replay window of one inbound SA (RFC 4303 3.4.3 and appendix A). Bits live in a ring of 32-bit words, one word
 * more than the window needs, so that moving forward clears whole words. Extended numbers are exact up to 2^53.
 *
 * `numberOf` what a packet says; `check` that before the ICV is verified, `accept` it after, or hear
 * `numbersAfterFailure`: only genuine packets move the window.
 */
export class ReplayWindow {
  readonly #size: number;
  readonly #extended: boolean;
  readonly #words: Uint32Array;
  #top = 0;
  /** Packets in a row that were not genuine. */
  #failures = 0;

  /** `size` in packets; 0 switches the check off. */
  constructor(size: number, { extended = false, top = 0 }: ReplayWindowOptions = {}) {
    this.#size = size;
    this.#extended = extended;
    this.#words = new Uint32Array(size === 0 ? 0 : Math.ceil(size / bitsPerWord) + 1);
    for (let seen = Math.max(1, top - size + 1); seen <= top; seen++) this.accept(seen);
  }

  /** The newest sequence number accepted; 0 before the first. */
  get top(): number {
    return this.#top;
  }

  /**
   * The whole number of a packet that says `sent`: with extended numbers the smallest with these low bits that is not older
   * than the window (RFC 4303 A2.1). It is wrong when 2^32 packets in a row, less those of the window, were lost:
   * `numbersAfterFailure`.
   */
  numberOf(sent: number): number {
    if (!this.#extended) return sent;
    const oldest = Math.max(0, this.#top - this.#size + 1);
    const oldestSent = oldest % sentNumbers;
    const number = oldest - oldestSent + sent;
    return sent < oldestSent ? number + sentNumbers : number;
  }

  /** Whether a packet with this number could be new: neither 0, nor older than the window, nor seen before. */
  check(sequence: number): boolean {
    if (this.#size === 0) return true;
    if (sequence === 0) return false;
    if (sequence > this.#top) return true;
    if (sequence + this.#size <= this.#top) return false;
    const word = this.#words[this.#wordOf(sequence)] ?? 0;
    return (word & this.#bitOf(sequence)) === 0;
  }

  /**
   * Notes that a packet is not genuine under this number, and says which others to try, nearest first; mostly none. Only
   * where many in a row are not, 2^32 packets or more may have been lost (RFC 4303 A3), and forged ones must cost little.
   */
  numbersAfterFailure(number: number): readonly number[] {
    if (!this.#extended) return [];
    this.#failures++;
    const { patience, pause, rounds } = resynchronisation;
    if (this.#failures < patience || (this.#failures - patience) % pause !== 0) return [];
    return Array.from({ length: rounds }, (_, i) => number + (i + 1) * sentNumbers);
  }

  /** Records a genuine packet. Returns whether it is the newest so far. The number must have passed `check`. */
  accept(sequence: number): boolean {
    this.#failures = 0;
    const newest = sequence > this.#top;
    if (newest) this.#advance(sequence);
    if (this.#size !== 0) {
      const index = this.#wordOf(sequence);
      this.#words[index] = (this.#words[index] ?? 0) | this.#bitOf(sequence);
    }
    return newest;
  }

  #advance(sequence: number): void {
    const steps = Math.floor(sequence / bitsPerWord) - Math.floor(this.#top / bitsPerWord);
    const cleared = Math.min(steps, this.#words.length);
    for (let i = 0; i < cleared; i++) this.#words[this.#wordOf(sequence - i * bitsPerWord)] = 0;
    this.#top = sequence;
  }

  #wordOf(sequence: number): number {
    return Math.floor(sequence / bitsPerWord) % this.#words.length;
  }

  #bitOf(sequence: number): number {
    return 1 << (sequence % bitsPerWord);
  }
}
