import { fragmentPart, largestReassembly, reassembled } from '../../wire/ip/fragment.js';
import type { IpHeader } from '../../wire/ip/ip.js';

/** RFC 1122 3.3.2 and RFC 8200 4.5 ask for 60 seconds and more; the other fragments are already on this host. */
const timeoutMs = 15_000;
const mostPackets = 64;
const mostFragments = 128;

interface Unfinished {
  readonly sinceMs: number;
  /** Of the fragment that came first. */
  readonly header: IpHeader;
  /** The first fragment's header as decoded, and its bytes: it has the header of the whole. */
  first: { readonly header: IpHeader; readonly bytes: Uint8Array } | undefined;
  readonly pieces: { readonly offset: number; readonly bytes: Uint8Array }[];
  /** Known once the last fragment is there. */
  totalBytes: number | undefined;
}

/**
 * Puts fragments of packets together (RFC 791 3.2, RFC 8200 4.5), a bounded number at a time: the oldest go first.
 * Overlapping fragments void their packet (RFC 5722; in IPv4 honest senders never meet that rule); one that came twice, as
 * networks sometimes do it, is ignored (RFC 8200 4.5).
 */
export class Reassembler {
  readonly #partials = new Map<string, Unfinished>();
  readonly #onGivenUp: (header: IpHeader, nowMs: number) => void;

  /** `onGivenUp` hears of each packet that will not become whole, by the header of one of its fragments. */
  constructor(onGivenUp: (header: IpHeader, nowMs: number) => void = () => {}) {
    this.#onGivenUp = onGivenUp;
  }

  /** When the oldest unfinished packet is given up; `undefined` when there is none. */
  get nextTimeoutMs(): number | undefined {
    const [oldest] = this.#partials.values();
    return oldest === undefined ? undefined : oldest.sinceMs + timeoutMs;
  }

  /** Takes a fragment; returns the whole packet once it is complete, in new memory. `context` keeps flows apart. */
  add(packet: Uint8Array, header: IpHeader, nowMs: number, context = ''): Uint8Array | undefined {
    const { identification, offset, more, payload } = fragmentPart(packet, header);
    // IPv6 tells fragments apart without the protocol (RFC 8200 4.5).
    const protocol = header.family === 4 ? header.protocol : '6';
    const key = `${header.source} ${header.destination} ${protocol} ${identification} ${context}`;
    const partial = this.#partials.get(key) ?? this.#begin(key, header, nowMs);
    if (isThere(partial, offset, payload, more)) return undefined;
    const bytes = Uint8Array.from(payload);
    const end = offset + bytes.length;
    if (end > largestReassembly(header) || !fits(partial, more, offset, end)) {
      this.#giveUp(key, header, nowMs);
      return undefined;
    }
    if (offset === 0)
      partial.first = { header, bytes: Uint8Array.from(packet.subarray(0, header.headerBytes)) };
    if (!more) partial.totalBytes = end;
    partial.pieces.push({ offset, bytes });
    const whole = assemble(partial);
    if (whole !== undefined) this.#partials.delete(key);
    return whole;
  }

  /** Gives up packets whose fragments stay away. */
  expire(nowMs: number): void {
    for (const [key, { sinceMs, header }] of this.#partials) {
      if (nowMs < sinceMs + timeoutMs) break;
      this.#giveUp(key, header, nowMs);
    }
  }

  #giveUp(key: string, header: IpHeader, nowMs: number): void {
    this.#partials.delete(key);
    this.#onGivenUp(header, nowMs);
  }

  #begin(key: string, header: IpHeader, nowMs: number): Unfinished {
    const [oldest] = this.#partials;
    if (this.#partials.size >= mostPackets && oldest !== undefined)
      this.#giveUp(oldest[0], oldest[1].header, nowMs);
    const partial: Unfinished = {
      sinceMs: nowMs,
      header,
      first: undefined,
      pieces: [],
      totalBytes: undefined,
    };
    this.#partials.set(key, partial);
    return partial;
  }
}

function isThere(
  { pieces, totalBytes }: Unfinished,
  offset: number,
  payload: Uint8Array,
  more: boolean,
): boolean {
  const same = pieces.find(piece => piece.offset === offset);
  if (same === undefined || more !== (offset + payload.length !== totalBytes)) return false;
  return Buffer.compare(same.bytes, payload) === 0;
}

function fits(partial: Unfinished, more: boolean, offset: number, end: number): boolean {
  if (partial.pieces.length >= mostFragments) return false;
  if (end === offset || (more && end % 8 !== 0)) return false;
  const total = partial.totalBytes ?? (more ? undefined : end);
  if (total !== undefined) {
    if (!more && total !== end) return false;
    if (end > total || partial.pieces.some(piece => piece.offset + piece.bytes.length > total)) return false;
  }
  return partial.pieces.every(piece => piece.offset >= end || piece.offset + piece.bytes.length <= offset);
}

function assemble({ first, pieces, totalBytes }: Unfinished): Uint8Array | undefined {
  if (first === undefined || totalBytes === undefined) return undefined;
  const present = pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
  if (present !== totalBytes || totalBytes > largestReassembly(first.header)) return undefined;
  const payload = new Uint8Array(totalBytes);
  for (const piece of pieces) payload.set(piece.bytes, piece.offset);
  return reassembled(first.bytes, first.header, payload);
}
