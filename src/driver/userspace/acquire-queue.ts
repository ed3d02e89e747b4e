import type { PacketAddress } from '../../wire/ip/ip.js';
import type { FilterId } from '../api.js';
import { addressKey } from '../packet-selector.js';

/** Bounds of what waits: packets and bytes per filter and peer, and bytes over all of them. */
export interface QueueLimits {
  readonly packets: number;
  readonly bytes: number;
  readonly totalBytes: number;
}

/** No negotiation takes longer; whoever was to report its end is gone. */
const longestWaitMs = 120_000;
/** `acquire` is repeated at most this often. */
const askAgainMs = 1000;

interface Waiting {
  readonly filterId: FilterId;
  readonly peer: PacketAddress;
  readonly since: number;
  readonly packets: Uint8Array[];
  bytes: number;
  askedAtMs: number;
}

/** Packets that wait for a security association, per filter and peer. */
export class AcquireQueue {
  readonly #limits: QueueLimits;
  readonly #waiting = new Map<string, Waiting>();
  #bytes = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** Filters and peers that something waits for. */
  get size(): number {
    return this.#waiting.size;
  }

  /** When the longest waiting packets are given up; `undefined` when none waits. */
  get nextTimeoutMs(): number | undefined {
    const [oldest] = this.#waiting.values();
    return oldest === undefined ? undefined : oldest.since + longestWaitMs;
  }

  /** Keeps a copy of a packet. `kept` is false when there is no room; `ask` when IKE is to be asked (again). */
  add(
    filterId: FilterId,
    peer: PacketAddress,
    packet: Uint8Array,
    nowMs: number,
  ): { kept: boolean; ask: boolean } {
    const key = `${filterId} ${addressKey(peer)}`;
    const waiting = this.#waiting.get(key) ?? {
      filterId,
      peer,
      since: nowMs,
      packets: [],
      bytes: 0,
      askedAtMs: Number.NEGATIVE_INFINITY,
    };
    const kept =
      waiting.packets.length < this.#limits.packets &&
      waiting.bytes + packet.length <= this.#limits.bytes &&
      this.#bytes + packet.length <= this.#limits.totalBytes;
    if (kept) {
      this.#waiting.set(key, waiting);
      waiting.packets.push(Uint8Array.from(packet));
      waiting.bytes += packet.length;
      this.#bytes += packet.length;
    }
    const ask = this.#waiting.has(key) && nowMs >= waiting.askedAtMs + askAgainMs;
    if (ask) waiting.askedAtMs = nowMs;
    return { kept, ask };
  }

  /** Takes out what waits for a peer under a filter, or under any filter, in order of arrival. */
  take(filterId: FilterId | undefined, peer: PacketAddress): Uint8Array[] {
    return this.#takeWhere(
      waiting => waiting.peer === peer && (filterId === undefined || waiting.filterId === filterId),
    );
  }

  /** Takes out everything. */
  takeAll(): Uint8Array[] {
    return this.#takeWhere(() => true);
  }

  /** Takes out what has waited too long. */
  takeTimedOut(nowMs: number): Uint8Array[] {
    return this.#takeWhere(waiting => nowMs >= waiting.since + longestWaitMs);
  }

  #takeWhere(wanted: (waiting: Waiting) => boolean): Uint8Array[] {
    const taken: Uint8Array[] = [];
    for (const [key, waiting] of this.#waiting) {
      if (!wanted(waiting)) continue;
      this.#waiting.delete(key);
      this.#bytes -= waiting.bytes;
      taken.push(...waiting.packets);
    }
    return taken;
  }
}
