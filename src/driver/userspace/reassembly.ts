import { encodeIpv4, type Ipv4Header, ipv4Options, ipv4Payload } from '../../wire/ip/packet.js';

/** RFC 1122 3.3.2 asks for 60 to 120 seconds; the other fragments are already on this host. */
const timeoutMs = 15_000;
const mostPackets = 64;
const mostFragments = 128;
const largestPayload = 65_535 - 20;

interface Unfinished {
  readonly sinceMs: number;
  /** Of the first fragment: it has the header of the whole. */
  first: { header: Ipv4Header; options: Uint8Array } | undefined;
  readonly pieces: { offset: number; bytes: Uint8Array }[];
  /** Known once the last fragment is there. */
  totalBytes: number | undefined;
}

/**
 * Puts fragments of IPv4 packets together (RFC 791 3.2), a bounded number at a time: the oldest go first. Overlapping
 * fragments void their packet (RFC 5722's rule for IPv6, which honest senders never meet).
 */
export class Reassembler {
  readonly #partials = new Map<string, Unfinished>();

  /** When the oldest unfinished packet is given up; `undefined` when there is none. */
  get nextTimeoutMs(): number | undefined {
    const [oldest] = this.#partials.values();
    return oldest === undefined ? undefined : oldest.sinceMs + timeoutMs;
  }

  /** Takes a fragment; returns the whole packet once it is complete, in new memory. `context` keeps flows apart. */
  add(packet: Uint8Array, header: Ipv4Header, nowMs: number, context = ''): Uint8Array | undefined {
    const { source, destination, protocol, identification } = header;
    const key = `${source} ${destination} ${protocol} ${identification} ${context}`;
    const partial = this.#partials.get(key) ?? this.#begin(key, nowMs);
    const bytes = Uint8Array.from(ipv4Payload(packet, header));
    const offset = header.fragmentOffset;
    const end = offset + bytes.length;
    if (!this.#fits(partial, header, offset, end)) {
      this.#partials.delete(key);
      return undefined;
    }
    if (offset === 0) partial.first = { header, options: Uint8Array.from(ipv4Options(packet, header)) };
    if (!header.moreFragments) partial.totalBytes = end;
    partial.pieces.push({ offset, bytes });
    const whole = assemble(partial);
    if (whole !== undefined) this.#partials.delete(key);
    return whole;
  }

  /** Gives up packets whose fragments stay away; returns how many. */
  expire(nowMs: number): number {
    let given = 0;
    for (const [key, partial] of this.#partials) {
      if (nowMs < partial.sinceMs + timeoutMs) break;
      this.#partials.delete(key);
      given++;
    }
    return given;
  }

  #begin(key: string, nowMs: number): Unfinished {
    const [oldest] = this.#partials.keys();
    if (this.#partials.size >= mostPackets && oldest !== undefined) this.#partials.delete(oldest);
    const partial: Unfinished = { sinceMs: nowMs, first: undefined, pieces: [], totalBytes: undefined };
    this.#partials.set(key, partial);
    return partial;
  }

  #fits(partial: Unfinished, header: Ipv4Header, offset: number, end: number): boolean {
    if (end > largestPayload || partial.pieces.length >= mostFragments) return false;
    if (end === offset || (header.moreFragments && end % 8 !== 0)) return false;
    const total = partial.totalBytes ?? (header.moreFragments ? undefined : end);
    if (total !== undefined) {
      if (!header.moreFragments && total !== end) return false;
      if (end > total || partial.pieces.some(piece => piece.offset + piece.bytes.length > total))
        return false;
    }
    return partial.pieces.every(piece => piece.offset >= end || piece.offset + piece.bytes.length <= offset);
  }
}

function assemble(partial: Unfinished): Uint8Array | undefined {
  const { first, pieces, totalBytes } = partial;
  if (first === undefined || totalBytes === undefined) return undefined;
  const present = pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
  if (present !== totalBytes || totalBytes > largestPayload - first.options.length) return undefined;
  const payload = new Uint8Array(totalBytes);
  for (const piece of pieces) payload.set(piece.bytes, piece.offset);
  return encodeIpv4({ ...first.header, moreFragments: false, fragmentOffset: 0 }, payload, first.options);
}
