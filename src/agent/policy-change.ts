import type { FilterId } from '../driver/api.js';
import { type ActiveFilter, mainModeMeaning } from './active-policy.js';

/** Filters of `before` that are gone or read differently in `after`: SAs negotiated for them are stale. */
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
