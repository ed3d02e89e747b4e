/** Random bytes fetched in bulk: a call of the system's generator costs microseconds, a packet's IV needs 8 or 16. */
export class RandomPool {
  readonly #random: (length: number) => Uint8Array;
  #bytes: Uint8Array = new Uint8Array(0);
  #used = 0;

  constructor(random: (length: number) => Uint8Array) {
    this.#random = random;
  }

  /** Writes `length` (at most 4,096) fresh random bytes at `at`. */
  fill(into: Uint8Array, at: number, length: number): void {
    if (this.#used + length > this.#bytes.length) {
      this.#bytes = this.#random(4096);
      this.#used = 0;
    }
    for (let i = 0; i < length; i++) into[at + i] = this.#bytes[this.#used + i] ?? 0;
    this.#used += length;
  }

  /** A fresh random number of 32 bits. */
  u32(): number {
    const bytes = new Uint8Array(4);
    this.fill(bytes, 0, bytes.length);
    return new DataView(bytes.buffer).getUint32(0);
  }
}
