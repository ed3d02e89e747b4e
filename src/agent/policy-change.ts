import type { FilterId } from '../driver/api.js';
import type { PolicyChange } from '../ike/api.js';
import { type ActiveFilter, type ActivePolicy, mainModeMeaning } from './active-policy.js';

/** What of `before` still holds in `after`: SAs negotiated under the rest are stale. */
export function policyChange(before: ActivePolicy, after: ActivePolicy): PolicyChange {
  const changed = changedFilters(before.filters, after.filters);
  const sameResponse = before.defaultResponseMeaning === after.defaultResponseMeaning;
  return {
    keepsMainMode: ({ local, peer }, policy) => after.allowsMainMode(local, peer, policy),
    keepsFilter: filterId => (filterId === undefined ? sameResponse : !changed.has(filterId)),
  };
}

/** Filters of `before` that are gone or read differently in `after`. */
export function changedFilters(
  before: readonly ActiveFilter[],
  after: readonly ActiveFilter[],
): ReadonlySet<FilterId> {
  const meaningNow = new Map(after.map(active => [active.filter.id, meaningOf(active)]));
  return new Set(
    before
      .filter(active => meaningNow.get(active.filter.id) !== meaningOf(active))
      .map(active => active.filter.id),
  );
}

/** Everything about a filter that an SA was negotiated under, as comparable text. */
function meaningOf({ filter, rule, source }: ActiveFilter): string {
  return JSON.stringify([filter, rule.action, mainModeMeaning(source, rule)]);
}
