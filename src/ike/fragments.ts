/**
 * Putting fragmented IKE messages together ([MS-IKEE] 2.2.3 and 3.3, ike.md 14). The pieces hold a complete
 * ISAKMP message, its header included. Everything is bounded: an attacker fills his own queues only.
 */
import { bytesEqual } from '../wire/bytes.js';
import { assembleMessage, type IsakmpHeader } from '../wire/isakmp/message.js';
import { exchangeTypes, headerFlags, payloadTypes } from '../wire/isakmp/numbers.js';
import type { FragmentPayload } from '../wire/isakmp/payloads.js';

/** Fragments of one message that we join, and make. A number is one byte; libreswan joins 16. */
export const maxFragments = 64;

const limits = { queues: 4, bytes: 65_536, ageMs: 70_000 } as const;

/** What all exchanges that are not finished may hold together. */
const unfinishedBytes = 4 * 1_024 * 1_024;

/** Of the last fragment of a message. */
export const lastFlag = 0x01;

interface Queue {
  readonly startedAtMs: number;
  readonly pieces: Map<number, Uint8Array>;
  /** Number of the last piece, once it is known. */
  last?: number;
  /** The message, once it is complete: kept to recognise its repetition. */
  whole?: Uint8Array;
}

/** The incomplete messages of one main mode. */
export class FragmentQueues {
  readonly #queues = new Map<string, Queue>();

  /**
   * Takes a piece; returns the whole message when it was the missing one, and again for every piece that comes again:
   * the sender waits for an answer then. Messages of different exchanges do not mix, though senders may give all the
   * same fragment id.
   */
  add(exchange: string, piece: FragmentPayload, nowMs: number): Uint8Array | undefined {
    for (const [key, { startedAtMs }] of this.#queues)
      if (nowMs - startedAtMs > limits.ageMs) this.#queues.delete(key);
    const key = `${exchange} ${piece.fragmentId}`;
    const known = this.#queues.get(key);
    if (known?.whole !== undefined) {
      const before = known.pieces.get(piece.number);
      if (before !== undefined && bytesEqual(before, piece.data)) return known.whole;
      this.#queues.delete(key);
    }
    const queue = this.#queues.get(key) ?? this.#open(key, nowMs);
    if (!queue.pieces.has(piece.number)) queue.pieces.set(piece.number, piece.data);
    const isLast = (piece.flags & lastFlag) !== 0;
    const contradicts = isLast && queue.last !== undefined && queue.last !== piece.number;
    if (isLast) queue.last = piece.number;
    if (contradicts || !this.#plausible(queue)) {
      this.#queues.delete(key);
      return undefined;
    }
    if (queue.last !== queue.pieces.size) return undefined;
    const order = [...queue.pieces].sort(([a], [b]) => a - b);
    queue.whole = new Uint8Array(Buffer.concat(order.map(([, data]) => data)));
    return queue.whole;
  }

  /** Bytes held. */
  get bytes(): number {
    let bytes = 0;
    for (const { pieces, whole } of this.#queues.values()) {
      bytes += whole?.length ?? 0;
      for (const data of pieces.values()) bytes += data.length;
    }
    return bytes;
  }

  clear(): void {
    this.#queues.clear();
  }

  #open(key: string, nowMs: number): Queue {
    const oldest = this.#queues.keys().next();
    if (this.#queues.size >= limits.queues && !oldest.done) this.#queues.delete(oldest.value);
    const queue: Queue = { startedAtMs: nowMs, pieces: new Map() };
    this.#queues.set(key, queue);
    return queue;
  }

  #plausible({ pieces, last = maxFragments }: Queue): boolean {
    let bytes = 0;
    for (const [number, data] of pieces) {
      if (number < 1 || number > last) return false;
      bytes += data.length;
    }
    return last <= maxFragments && bytes <= limits.bytes;
  }
}

/** The fragments that exchanges hold whose peer nobody knows yet: what has waited longest goes when they are too many. */
export class FragmentBudget {
  /** The one that has got something last is the last. */
  readonly #held = new Map<FragmentQueues, number>();
  #bytes = 0;

  /** One has got a piece. */
  note(queues: FragmentQueues): void {
    this.release(queues);
    this.#held.set(queues, queues.bytes);
    this.#bytes += queues.bytes;
    for (const oldest of this.#held.keys()) {
      if (this.#bytes <= unfinishedBytes) return;
      this.release(oldest);
      oldest.clear();
    }
  }

  /** What it holds counts no more: its exchange has ended, one way or the other. */
  release(queues: FragmentQueues): void {
    this.#bytes -= this.#held.get(queues) ?? 0;
    this.#held.delete(queues);
  }
}

/**
 * The message that pieces make: they hold its header too. Read to the letter, [MS-IKEE] leaves the header to the fragments:
 * then it is theirs, encrypted and beginning with a HASH or, in phase 1, an ID payload, as all messages that Windows cuts.
 */
export function wholeMessage(fragment: IsakmpHeader, joined: Uint8Array): Uint8Array {
  const { initiatorCookie, responderCookie, exchangeType } = fragment;
  const cookies = Buffer.concat([initiatorCookie, responderCookie]);
  if (bytesEqual(joined.subarray(0, cookies.length), cookies)) return joined;
  const first = exchangeType === exchangeTypes['Quick mode'] ? payloadTypes.HASH : payloadTypes.ID;
  return assembleMessage({ ...fragment, flags: headerFlags.ENCRYPTED }, first, joined);
}
