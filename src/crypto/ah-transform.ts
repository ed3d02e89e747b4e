/** AH's ICV over a whole IP packet (RFC 2402 3.3.3, RFC 4302 3.3.3). */
import { ahFixedBytes, maskMutableIpv4 } from '../wire/ah.js';
import { maskMutableIpv6 } from '../wire/ah-ipv6.js';
import type { HashId } from './algorithms.js';
import { otherIcvLengths, PacketMac } from './packet-mac.js';

export interface AhOptions {
  /** ICV length where it is not the table's. */
  readonly icvBytes?: number | undefined;
  /** Sequence numbers have 64 bits: the ICV covers those that are not sent (RFC 4302 2.5.1). */
  readonly extendedSequence?: boolean;
}

/** The ICV of one AH SA. A packet is `bytes[start..end)` with the AH right behind `headerBytes` of IP header. */
export class AhTransform {
  readonly icvBytes: number;
  readonly #mac: PacketMac;
  readonly #extended: boolean;
  readonly #otherMacs: () => readonly PacketMac[];

  /** Throws `RangeError` for a key of the wrong length. */
  constructor(hash: HashId, key: Uint8Array, { icvBytes, extendedSequence = false }: AhOptions = {}) {
    this.#mac = new PacketMac(hash, key, icvBytes);
    this.#extended = extendedSequence;
    this.icvBytes = this.#mac.icvBytes;
    this.#otherMacs = () =>
      otherIcvLengths(hash, this.icvBytes).map(bytes => new PacketMac(hash, key, bytes));
  }

  /** Fills in the ICV of a packet that is otherwise ready to be sent. Throws `WireError` for malformed IP options or extension headers. */
  seal(bytes: Uint8Array, start: number, end: number, headerBytes: number, sequenceHigh = 0): void {
    this.#load(this.#mac, bytes, start, end, headerBytes, sequenceHigh);
    this.#mac.sign(bytes, start + headerBytes + ahFixedBytes);
  }

  /** Whether the ICV is right. Throws `WireError` for malformed IP options or extension headers. */
  verify(packet: Uint8Array, end: number, headerBytes: number, sequenceHigh = 0): boolean {
    this.#load(this.#mac, packet, 0, end, headerBytes, sequenceHigh);
    return this.#mac.verify(packet, headerBytes + ahFixedBytes);
  }

  /**
   * The ICV length, other than the agreed one, under which the packet would be genuine; for diagnosis only. Throws
   * `WireError` for malformed IP options or extension headers.
   */
  otherIcvBytes(packet: Uint8Array, end: number, headerBytes: number, sequenceHigh = 0): number | undefined {
    const icvStart = headerBytes + ahFixedBytes;
    return this.#otherMacs().find(other => {
      if (end < icvStart + other.icvBytes) return false;
      this.#load(other, packet, 0, end, headerBytes, sequenceHigh);
      return other.verify(packet, icvStart);
    })?.icvBytes;
  }

  /** Padding behind the ICV stays as it is: it is covered (RFC 4302 3.3.3.2.1). */
  #load(
    mac: PacketMac,
    bytes: Uint8Array,
    start: number,
    end: number,
    headerBytes: number,
    sequenceHigh: number,
  ): void {
    const copy = mac.load(bytes, start, end);
    if ((copy[0] ?? 0) >>> 4 === 6) maskMutableIpv6(copy, headerBytes);
    else maskMutableIpv4(copy, headerBytes);
    const icvStart = headerBytes + ahFixedBytes;
    copy.fill(0, icvStart, icvStart + mac.icvBytes);
    // Behind the packet, where nothing is sent (RFC 4302 3.3.3.2.2).
    if (this.#extended) mac.append(sequenceHigh);
  }
}
