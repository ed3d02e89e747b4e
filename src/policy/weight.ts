import { prefixLengthOf, type Selector } from '../wire/ip/selector.js';
import type { FilterAction } from './model.js';

/** Last tie-break between filters on the same traffic. */
const actionRank: Record<FilterAction['kind'], number> = { block: 2, permit: 1, negotiate: 0 };

/**
 * How specific a filter is, larger first (`policy-semantics.md` 3): mask lengths together, then the destination's
 * alone, then protocol, destination port and source port given; then tunnel before transport, and block before permit
 * before negotiate. Filters of the same weight are matched in the order they were created.
 */
export function filterWeight(selector: Selector, action: FilterAction['kind'], tunnel: boolean): number {
  const source = prefixLengthOf(selector.source) ?? 0;
  const destination = prefixLengthOf(selector.destination) ?? 0;
  // Each criterion is a digit before the next, in a system whose base is the number of values that one can have.
  let weight = source + destination;
  weight = weight * 129 + destination;
  weight = weight * 2 + (selector.protocol === 0 ? 0 : 1);
  weight = weight * 2 + (selector.destinationPort === 0 ? 0 : 1);
  weight = weight * 2 + (selector.sourcePort === 0 ? 0 : 1);
  weight = weight * 2 + (tunnel ? 1 : 0);
  return weight * 3 + actionRank[action];
}
