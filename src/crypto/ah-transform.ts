/** AH's ICV over a whole IPv4 packet (RFC 2402 3.3.3, RFC 4302 3.3.3). */
import { ahFixedBytes, maskMutableIpv4 } from '../wire/ah.js';
import type { HashId } from './algorithms.js';
import { PacketMac } from './packet-mac.js';

/** The ICV of one AH SA. A packet is `bytes[start..end)` with the AH right behind an IPv4 header of `headerBytes`. */
export class AhTransform {
  readonly icvBytes: number;
  readonly #mac: PacketMac;

  /** Throws `RangeError` for a key of the wrong length. */
  constructor(hash: HashId, key: Uint8Array, icvBytes?: number) {
    this.#mac = new PacketMac(hash, key, icvBytes);
    this.icvBytes = this.#mac.icvBytes;
  }

  /** Fills in the ICV of a packet that is otherwise ready to be sent. Throws `WireError` for malformed IP options. */
  seal(bytes: Uint8Array, start: number, end: number, headerBytes: number): void {
    this.#load(bytes, start, end, headerBytes);
    this.#mac.sign(bytes, start + headerBytes + ahFixedBytes);
  }

  /** Whether the ICV is right. Throws `WireError` for malformed IP options. */
  verify(packet: Uint8Array, end: number, headerBytes: number): boolean {
    this.#load(packet, 0, end, headerBytes);
    return this.#mac.verify(packet, headerBytes + ahFixedBytes);
  }

  /** Padding behind the ICV stays as it is: it is covered (RFC 4302 3.3.3.2.1). */
  #load(bytes: Uint8Array, start: number, end: number, headerBytes: number): void {
    const copy = this.#mac.load(bytes, start, end);
    maskMutableIpv4(copy, headerBytes);
    const icvStart = headerBytes + ahFixedBytes;
    copy.fill(0, icvStart, icvStart + this.icvBytes);
  }
}
