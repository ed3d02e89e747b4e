/** HMAC over packets (RFC 2104) with the hashes of ESP and AH, cut to the ICV's length (RFC 2403, 2404, 4868). */
import { hash as digestOf, timingSafeEqual } from 'node:crypto';
import { writeU32 } from '../wire/ip/packet.js';
import { type HashId, hash as hashRow } from './algorithms.js';

const innerPad = 0x36;
const outerPad = 0x5c;
const largestBlockBytes = 128;
/** AH covers whole packets: the longest in IPv6, whose length does not count the header, and a number's upper half (ESN). */
const largestMessageBytes = 40 + 65_535 + 4;

/**
 * Where every HMAC is computed: the padded key right before the message, so that each HMAC is two one-shot hashes
 * with text results, which costs half of an `Hmac` object in Node 20. One for all SAs: an HMAC is loaded
 * and finished without a pause.
 */
const workspace = Buffer.alloc(largestBlockBytes + largestMessageBytes);
const message = workspace.subarray(largestBlockBytes);

/**
 * Lengths, other than `icvBytes`, to which somebody cuts HMACs in ESP and AH: 96 bits, which early implementations took for
 * every hash (HMAC-SHA-256 above all), half of each digest (RFC 4868), and the whole.
 */
export function otherIcvLengths(hash: HashId, icvBytes: number): readonly number[] {
  const { digestBytes } = hashRow(hash);
  const lengths = new Set([12, 16, 24, 32, digestBytes]);
  return [...lengths].filter(bytes => bytes !== icvBytes && bytes <= digestBytes);
}

/** The HMAC of one SA. `load` a message, perhaps `append` to it, then `sign` or `verify` it before anything else is loaded. */
export class PacketMac {
  readonly icvBytes: number;
  readonly #hashName: string;
  readonly #blockBytes: number;
  readonly #innerKey: Buffer;
  /** Key ⊕ opad, then room for the inner digest. */
  readonly #outer: Buffer;
  readonly #digest: Buffer;
  readonly #expected: Buffer;
  readonly #received: Buffer;
  #messageBytes = 0;

  /**
   * `icvBytes` is for peers that cut elsewhere than the algorithm's table says. Throws `RangeError` for a key of the
   * wrong length.
   */
  constructor(hash: HashId, key: Uint8Array, icvBytes: number = hashRow(hash).icvBytes) {
    const { name, digestBytes, opensslName } = hashRow(hash);
    if (key.length !== digestBytes)
      throw new RangeError(`${name} wants a key of ${digestBytes} bytes, not ${key.length}`);
    this.icvBytes = icvBytes;
    this.#hashName = opensslName;
    this.#blockBytes = digestBytes > 32 ? 128 : 64;
    this.#innerKey = Buffer.alloc(this.#blockBytes, innerPad);
    this.#outer = Buffer.alloc(this.#blockBytes + digestBytes, outerPad);
    key.forEach((byte, i) => {
      this.#innerKey[i] = byte ^ innerPad;
      this.#outer[i] = byte ^ outerPad;
    });
    this.#digest = Buffer.alloc(digestBytes);
    this.#expected = this.#digest.subarray(0, icvBytes);
    this.#received = Buffer.alloc(icvBytes);
  }

  /** Copies the message `bytes[start..end)`; the returned copy may be changed before `sign` or `verify`. */
  load(bytes: Uint8Array, start: number, end: number): Uint8Array {
    this.#innerKey.copy(workspace, largestBlockBytes - this.#blockBytes);
    this.#messageBytes = end - start;
    message.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
    return message;
  }

  /** Appends 32 bits to the loaded message. */
  append(value: number): void {
    writeU32(message, this.#messageBytes, value);
    this.#messageBytes += 4;
  }

  /** Writes the ICV of the loaded message at `at`. */
  sign(into: Uint8Array, at: number): void {
    this.#compute();
    for (let i = 0; i < this.icvBytes; i++) into[at + i] = this.#digest[i] ?? 0;
  }

  /** Whether `bytes[at..]` is the ICV of the loaded message; takes the same time wherever they differ. */
  verify(bytes: Uint8Array, at: number): boolean {
    this.#compute();
    for (let i = 0; i < this.icvBytes; i++) this.#received[i] = bytes[at + i] ?? 0;
    return timingSafeEqual(this.#expected, this.#received);
  }

  #compute(): void {
    const start = largestBlockBytes - this.#blockBytes;
    const end = largestBlockBytes + this.#messageBytes;
    const innerDigest = digestOf(this.#hashName, workspace.subarray(start, end), 'binary');
    this.#outer.write(innerDigest, this.#blockBytes, 'binary');
    this.#digest.write(digestOf(this.#hashName, this.#outer, 'binary'), 'binary');
  }
}
