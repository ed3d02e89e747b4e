import type { IpAddress } from '../../wire/ip/address.js';
import type { XfrmAcquire } from '../../wire/netlink/xfrm.js';
import type { DriverEvent, DriverFilter, FilterId } from '../api.js';
import { acquireEvent } from './events.js';

/** Acquires of the same filter and peer are told this often. */
const intervalMs = 1_000;
/** Peers are few; a flood of packets to invented ones must not fill the memory. */
const mostKept = 4096;

/** What the kernel asked for, by filter and peer, while nobody has answered. */
export class Acquires {
  readonly #waiting = new Map<string, { readonly acquire: XfrmAcquire; readonly toldAtMs: number }>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Takes one for a filter. Returns the event to be told, unless it was told lately. */
  add(acquire: XfrmAcquire, filter: DriverFilter, nowMs: number): DriverEvent | undefined {
    const event = acquireEvent(acquire, filter);
    const key = keyOf(filter.id, event.peer);
    const toldAtMs = this.#waiting.get(key)?.toldAtMs;
    if (toldAtMs !== undefined && nowMs - toldAtMs < intervalMs) return undefined;
    const [oldest] = this.#waiting.keys();
    if (oldest !== undefined && this.#waiting.size >= mostKept) this.#waiting.delete(oldest);
    this.#waiting.set(key, { acquire, toldAtMs: nowMs });
    return event;
  }

  find(filterId: FilterId, peer: IpAddress): XfrmAcquire | undefined {
    return this.#waiting.get(keyOf(filterId, peer))?.acquire;
  }

  /** Takes away the one that has its answer, if there is one. */
  take(filterId: FilterId, peer: IpAddress): XfrmAcquire | undefined {
    const acquire = this.find(filterId, peer);
    this.#waiting.delete(keyOf(filterId, peer));
    return acquire;
  }
}

function keyOf(filterId: FilterId, peer: IpAddress): string {
  return `${filterId} ${peer}`;
}
