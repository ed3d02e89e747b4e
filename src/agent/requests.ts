/** What has been asked of IKE and is not answered yet, and who waits for the answers. */
import type { FilterId, PairId } from '../driver/api.js';
import type { NegotiationFailure } from '../ike/api.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { Configuration } from '../wire/isakmp/transaction.js';

/** Somebody who waits for a result. */
export interface Waiter<Result> {
  resolve(result: Result): void;
  reject(failure: NegotiationFailure): void;
}

/** Pairs wanted for a filter and a peer. */
interface Acquire {
  readonly filterId: FilterId;
  readonly peer: IpAddress;
  readonly waiters: Waiter<PairId>[];
}

export class Requests {
  readonly #acquires = new Map<string, Acquire>();
  readonly #connects = new Map<string, Waiter<Configuration>>();
  #connectCount = 0;

  /** Notes that a pair is wanted. Whether that is new: a request for the same only waits with the one before. */
  acquire(id: string, filterId: FilterId, peer: IpAddress, waiter: Waiter<PairId> | undefined): boolean {
    const known = this.#acquires.get(id);
    const acquire = known ?? { filterId, peer, waiters: [] };
    if (waiter !== undefined) acquire.waiters.push(waiter);
    this.#acquires.set(id, acquire);
    return known === undefined;
  }

  /** Notes that a gateway's configuration is wanted; returns the id of the request. */
  connect(waiter: Waiter<Configuration>): string {
    const id = `connect ${++this.#connectCount}`;
    this.#connects.set(id, waiter);
    return id;
  }

  acquired(id: string, pairId: PairId): void {
    for (const waiter of this.#acquires.get(id)?.waiters ?? []) waiter.resolve(pairId);
    this.#acquires.delete(id);
  }

  connected(id: string, configuration: Configuration): void {
    this.#connects.get(id)?.resolve(configuration);
    this.#connects.delete(id);
  }

  /** Either has failed. Returns what the pair was wanted for, if it was one. */
  failed(id: string, failure: NegotiationFailure): Pick<Acquire, 'filterId' | 'peer'> | undefined {
    const acquire = this.#acquires.get(id);
    for (const waiter of acquire?.waiters ?? []) waiter.reject(failure);
    this.#connects.get(id)?.reject(failure);
    this.#acquires.delete(id);
    this.#connects.delete(id);
    return acquire;
  }
}
