/** Memory in which a vector of packets is built; reused as soon as the vector has been handed over. */
export class PacketArena {
  readonly bytes: Buffer;
  #used = 0;

  /** `size` in bytes; a vector larger than this goes out in parts. */
  constructor(size: number) {
    this.bytes = Buffer.alloc(size);
  }

  /** Whether `length` more bytes fit before the next `reset`. */
  hasRoom(length: number): boolean {
    return this.#used + length <= this.bytes.length;
  }

  /** Takes `length` bytes and returns where they begin. There must be room. */
  take(length: number): number {
    const start = this.#used;
    this.#used += length;
    return start;
  }

  reset(): void {
    this.#used = 0;
  }
}
