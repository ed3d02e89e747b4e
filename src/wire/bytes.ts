/** Why a run of bytes could not be decoded. Stable: tests, counters and audit events refer to these words. */
export type WireErrorReason =
  | 'truncated'
  | 'bad-length'
  | 'bad-value'
  | 'bad-order'
  | 'too-many'
  | 'unsupported'
  | 'trailing-bytes';

/**
 * The one error every decoder in `wire/` throws: what was being read, why it is wrong and at which byte
 * offset of the buffer the decoder was given.
 */
export class WireError extends Error {
  readonly reason: WireErrorReason;
  /** Byte offset from the start of the outermost buffer. */
  readonly offset: number;

  constructor(reason: WireErrorReason, offset: number, what: string) {
    super(`${what} (${reason} at offset ${offset})`);
    this.name = 'WireError';
    this.reason = reason;
    this.offset = offset;
  }
}

/**
 * Reads big-endian values from a slice of a buffer. Every read is bounded by the slice; running past its end
 * throws a `WireError` whose offset counts from the outermost buffer, also in a nested reader.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  #position = 0;

  constructor(bytes: Uint8Array, baseOffset = 0) {
    this.#bytes = bytes;
    this.#base = baseOffset;
  }

  /** Offset of the next byte from the start of the outermost buffer. */
  get offset(): number {
    return this.#base + this.#position;
  }

  /** Bytes left to read. */
  get remaining(): number {
    return this.#bytes.length - this.#position;
  }

  u8(what: string): number {
    return this.#number(1, what);
  }

  u16(what: string): number {
    return this.#number(2, what);
  }

  u32(what: string): number {
    return this.#number(4, what);
  }

  /** The next `length` bytes, as a view on the same memory. */
  bytes(length: number, what: string): Uint8Array {
    this.#require(length, what);
    const start = this.#position;
    this.#position += length;
    return this.#bytes.subarray(start, this.#position);
  }

  /** All remaining bytes, as a view on the same memory. */
  rest(): Uint8Array {
    return this.bytes(this.remaining, 'rest');
  }

  /** A reader bounded to the next `length` bytes, which this reader skips. */
  slice(length: number, what: string): ByteReader {
    const offset = this.offset;
    return new ByteReader(this.bytes(length, what), offset);
  }

  /** Throws a `WireError` at the current offset. */
  fail(reason: WireErrorReason, what: string): never {
    throw new WireError(reason, this.offset, what);
  }

  #require(length: number, what: string): void {
    if (length < 0 || length > this.remaining)
      this.fail('truncated', `${what}: needs ${length} bytes, has ${this.remaining}`);
  }

  #number(size: 1 | 2 | 4, what: string): number {
    this.#require(size, what);
    const end = this.#position + size;
    let value = 0;
    while (this.#position < end) value = value * 256 + (this.#bytes[this.#position++] ?? 0);
    return value;
  }
}

/** Collects big-endian values; `finish` returns them as one buffer of exactly their length. */
export class ByteWriter {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    return this.bytes(Uint8Array.of(value & 0xff));
  }

  u16(value: number): this {
    return this.bytes(Uint8Array.of((value >>> 8) & 0xff, value & 0xff));
  }

  u32(value: number): this {
    return this.bytes(
      Uint8Array.of((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff),
    );
  }

  bytes(value: Uint8Array): this {
    this.#parts.push(value);
    this.#length += value.length;
    return this;
  }

  finish(): Uint8Array {
    const whole = new Uint8Array(this.#length);
    let position = 0;
    for (const part of this.#parts) {
      whole.set(part, position);
      position += part.length;
    }
    return whole;
  }
}

/** Lower-case hexadecimal of `bytes`. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Bytes of a hexadecimal string; white space is ignored. Throws `WireError` on anything else. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '');
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits))
    throw new WireError('bad-value', 0, `not hexadecimal: ${text.slice(0, 40)}`);
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

/** Whether two byte strings are equal. Not constant-time: use `crypto.timingSafeEqual` for secrets and MACs. */
export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
