const bitsPerWord = 32;

/**
 * The anti-replay window of one inbound SA (RFC 4303 3.4.3, without extended sequence numbers). Bits live in a ring of
 * 32-bit words, one word more than the window needs, so that moving forward clears whole words.
 *
 * `check` before the ICV is verified, `accept` after: only genuine packets move the window.
 */
export class ReplayWindow {
  readonly #size: number;
  readonly #words: Uint32Array;
  #top = 0;

  /** `size` in packets; 0 switches the check off. */
  constructor(size: number) {
    this.#size = size;
    this.#words = new Uint32Array(size === 0 ? 0 : Math.ceil(size / bitsPerWord) + 1);
  }

  /** The newest sequence number accepted; 0 before the first. */
  get top(): number {
    return this.#top;
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

  /** Records a genuine packet. Returns whether it is the newest so far. The number must have passed `check`. */
  accept(sequence: number): boolean {
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
