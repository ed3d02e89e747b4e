/** How we know what is ours in the kernel, where other IPsec daemons may have states and policies too. */
import type { DriverFilter, FilterId } from '../api.js';

/** What a policy is there for. Those of one filter are looked at in this order. */
export const roles = ['permittedPair', 'permitted', 'passage', 'pair', 'soft', 'guard', 'filter'] as const;
export type Role = (typeof roles)[number];

/** The first byte of request ids, and of the `user` of selectors, that are ours. */
const ours = 0x49;
const oursBits = 24;
const roleBits = 3;
const filterNumbers = 2 ** (oursBits - roleBits);
/** Request ids of pairs have this bit, those of filters have not. */
const pairBit = 2 ** (oursBits - 1);

/** The `user` of a policy's selector: no packet is matched by it, and policies that differ in it are different ones. */
export function policyUser(filterNumber: number, role: Role): number {
  return ours * 2 ** oursBits + filterNumber * 2 ** roleBits + roles.indexOf(role);
}

/** Whether a policy is ours. */
export function isOurUser(user: number): boolean {
  return user >>> oursBits === ours;
}

/** The number of the filter that a policy of ours belongs to. */
export function filterNumberOf(user: number): number {
  return (user >>> roleBits) & (filterNumbers - 1);
}

/** What a filter's own policies want: a state that never exists, so that each packet asks for one. */
export function filterRequestId(filterNumber: number): number {
  return ours * 2 ** oursBits + filterNumber;
}

/** Whether it is one of those. */
export function isFilterRequestId(requestId: number): boolean {
  return isOurRequestId(requestId) && (requestId & pairBit) === 0;
}

/** Ties the states of a pair to its policies; `count` is a running number. */
export function pairRequestId(count: number): number {
  return ours * 2 ** oursBits + pairBit + (count % pairBit);
}

/** Whether a state is ours. */
export function isOurRequestId(requestId: number): boolean {
  return requestId >>> oursBits === ours;
}

/** The filters in force, in matching order, each with a number that it keeps while it is in force. */
export class FilterNumbers {
  readonly #numbers = new Map<FilterId, number>();
  readonly #byNumber = new Map<number, DriverFilter>();
  #next = 1;

  /** Replaces the filters. */
  set(filters: readonly DriverFilter[]): void {
    const wanted = new Set(filters.map(({ id }) => id));
    for (const [id, number] of this.#numbers)
      if (!wanted.has(id)) {
        this.#numbers.delete(id);
        this.#byNumber.delete(number);
      }
    for (const filter of filters) {
      const number = this.#numbers.get(filter.id) ?? this.#free();
      this.#numbers.set(filter.id, number);
      this.#byNumber.set(number, filter);
    }
  }

  /** 0, which is no filter's, when it is not in force. */
  of(id: FilterId): number {
    return this.#numbers.get(id) ?? 0;
  }

  filter(number: number): DriverFilter | undefined {
    return this.#byNumber.get(number);
  }

  #free(): number {
    while (this.#byNumber.has(this.#next)) this.#next = (this.#next + 1) % filterNumbers || 1;
    const number = this.#next;
    this.#next = (this.#next + 1) % filterNumbers || 1;
    return number;
  }
}
