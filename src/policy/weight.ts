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
  const criteria: readonly (readonly [value: number, size: number])[] = [
    [source + destination, 257],
    [destination, 129],
    [selector.protocol === 0 ? 0 : 1, 2],
    [selector.destinationPort === 0 ? 0 : 1, 2],
    [selector.sourcePort === 0 ? 0 : 1, 2],
    [tunnel ? 1 : 0, 2],
    [actionRank[action], 3],
  ];
  return criteria.reduce((weight, [value, size]) => weight * size + value, 0);
}
