import type { PacketAddress } from '../../wire/ip/ip.js';
import type { FilterId } from '../api.js';

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
/** What keeping a packet costs besides its bytes: many short ones must not take many times the memory. */
const keepingBytes = 256;

interface WaitingPacket {
  readonly bytes: Uint8Array;
  readonly flow: string;
}

interface Waiting {
  readonly since: number;
  packets: WaitingPacket[];
  bytes: number;
  askedAtMs: number;
}

/** What waits under one filter, by peer; the first one longest. */
interface WaitingUnder {
  readonly peers: Map<PacketAddress, Waiting>;
  cost: number;
}

/**
 * Packets that wait for a security association, per filter and peer. Nobody can fill it for others: where there is no room,
 * the filter under which most waits, and with one peer the flow that has most, give way.
 */
export class AcquireQueue {
  readonly #limits: QueueLimits;
  readonly #filters = new Map<FilterId, WaitingUnder>();
  #cost = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** Filters and peers that something waits for. */
  get size(): number {
    return [...this.#filters.values()].reduce((sum, { peers }) => sum + peers.size, 0);
  }

  /** When the longest waiting packets are given up; `undefined` when none waits. */
  get nextTimeoutMs(): number | undefined {
    let oldest: number | undefined;
    for (const { peers } of this.#filters.values())
      for (const { since } of peers.values()) {
        oldest = Math.min(since, oldest ?? since);
        break;
      }
    return oldest === undefined ? undefined : oldest + longestWaitMs;
  }

  /**
   * Keeps a copy of a packet of a flow. `dropped` is what there is no room for, this one or others; `ask` when IKE is to be
   * asked (again).
   */
  add(
    filterId: FilterId,
    peer: PacketAddress,
    flow: string,
    packet: Uint8Array,
    nowMs: number,
  ): { readonly dropped: readonly Uint8Array[]; readonly ask: boolean } {
    const before = this.#filters.get(filterId)?.peers.get(peer);
    const dropped = this.#makeRoom(filterId, before, flow, packet.length);
    const kept = dropped !== undefined;
    const waiting = kept ? this.#keep(filterId, peer, flow, packet, nowMs) : before;
    const ask = waiting !== undefined && nowMs >= waiting.askedAtMs + askAgainMs;
    if (ask) waiting.askedAtMs = nowMs;
    if (!kept) return { dropped: [packet], ask };
    return { dropped: [...dropped, ...this.#pushOut(waiting)], ask };
  }

  /** Takes out what waits for a peer under a filter, or under any filter, in order of arrival. */
  take(filterId: FilterId | undefined, peer: PacketAddress): Uint8Array[] {
    const under = filterId === undefined ? [...this.#filters.keys()] : [filterId];
    return under.flatMap(id => this.#remove(id, peer));
  }

  /** Takes out everything. */
  takeAll(): Uint8Array[] {
    return this.#takeWhere(() => true);
  }

  /** Takes out what has waited too long. */
  takeTimedOut(nowMs: number): Uint8Array[] {
    return this.#takeWhere(waiting => nowMs >= waiting.since + longestWaitMs);
  }

  /** What other flows give up for a packet of this one; `undefined`: none has so much more that it should. */
  #makeRoom(
    filterId: FilterId,
    waiting: Waiting | undefined,
    flow: string,
    bytes: number,
  ): Uint8Array[] | undefined {
    const { packets: most, bytes: mostBytes } = this.#limits;
    if (bytes > mostBytes || bytes + keepingBytes > this.#limits.totalBytes) return undefined;
    if (waiting === undefined) return [];
    let left = waiting.packets;
    let leftBytes = waiting.bytes;
    const dropped: Uint8Array[] = [];
    while (left.length >= most || leftBytes + bytes > mostBytes) {
      const victim = newestOfLargest(left, flow);
      if (victim === undefined) return undefined;
      left = left.filter(packet => packet !== victim);
      leftBytes -= victim.bytes.length;
      dropped.push(victim.bytes);
    }
    this.#account(filterId, -(waiting.bytes - leftBytes) - keepingBytes * dropped.length);
    waiting.packets = left;
    waiting.bytes = leftBytes;
    return dropped;
  }

  #keep(filterId: FilterId, peer: PacketAddress, flow: string, packet: Uint8Array, nowMs: number): Waiting {
    const under = this.#filters.get(filterId) ?? { peers: new Map<PacketAddress, Waiting>(), cost: 0 };
    this.#filters.set(filterId, under);
    const waiting = under.peers.get(peer) ?? {
      since: nowMs,
      packets: [],
      bytes: 0,
      askedAtMs: Number.NEGATIVE_INFINITY,
    };
    under.peers.set(peer, waiting);
    waiting.packets.push({ bytes: Uint8Array.from(packet), flow });
    waiting.bytes += packet.length;
    this.#account(filterId, packet.length + keepingBytes);
    return waiting;
  }

  /** Down to the limit of all: under the filter with most, who waits longest; never `kept`, which has just come. */
  #pushOut(kept: Waiting | undefined): Uint8Array[] {
    const dropped: Uint8Array[] = [];
    while (this.#cost > this.#limits.totalBytes) {
      const [heaviest] = [...this.#filters].sort(([, a], [, b]) => b.cost - a.cost);
      const peer = heaviest && longestWaiting(heaviest[1], kept);
      if (heaviest === undefined || peer === undefined) break;
      dropped.push(...this.#remove(heaviest[0], peer));
    }
    return dropped;
  }

  #takeWhere(wanted: (waiting: Waiting) => boolean): Uint8Array[] {
    return [...this.#filters].flatMap(([filterId, { peers }]) =>
      [...peers].flatMap(([peer, waiting]) => (wanted(waiting) ? this.#remove(filterId, peer) : [])),
    );
  }

  #remove(filterId: FilterId, peer: PacketAddress): Uint8Array[] {
    const peers = this.#filters.get(filterId)?.peers;
    const waiting = peers?.get(peer);
    if (peers === undefined || waiting === undefined) return [];
    peers.delete(peer);
    this.#account(filterId, -waiting.bytes - keepingBytes * waiting.packets.length);
    if (peers.size === 0) this.#filters.delete(filterId);
    return waiting.packets.map(({ bytes }) => bytes);
  }

  #account(filterId: FilterId, cost: number): void {
    const under = this.#filters.get(filterId);
    if (under !== undefined) under.cost += cost;
    this.#cost += cost;
  }
}

function longestWaiting({ peers }: WaitingUnder, except: Waiting | undefined): PacketAddress | undefined {
  for (const [peer, waiting] of peers) if (waiting !== except) return peer;
  return undefined;
}

/** The newest packet of the flow with most, if it still has no fewer than `newcomer` when each has one less and one more. */
function newestOfLargest(packets: readonly WaitingPacket[], newcomer: string): WaitingPacket | undefined {
  const counts = new Map<string, number>();
  for (const { flow } of packets) counts.set(flow, (counts.get(flow) ?? 0) + 1);
  const most = Math.max(0, ...counts.values());
  if (most - 1 < (counts.get(newcomer) ?? 0) + 1) return undefined;
  return packets.findLast(({ flow }) => counts.get(flow) === most);
}
