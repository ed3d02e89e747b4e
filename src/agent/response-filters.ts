import type { DriverFilter, FilterId, PairId, SaPair } from '../driver/api.js';
import { mirrorSelector } from '../wire/ip/selector.js';

/**
 * A pair without a filter came of the default response rule (`policy-semantics.md` 2.2): filters for exactly its
 * traffic live as long as the pair.
 */
export class ResponseFilters {
  readonly #byPair = new Map<PairId, readonly DriverFilter[]>();

  /** Whether filters came with the pair. */
  add({ id, filterId, selector }: SaPair): boolean {
    if (filterId !== undefined) return false;
    const common = {
      policyId: '{DEFAULT-RESPONSE}',
      action: 'secure',
      acceptUnsecured: false,
      allowFallback: false,
    } as const;
    this.#byPair.set(id, [
      { id: `${id} out` as FilterId, direction: 'outbound', selector, ...common },
      { id: `${id} in` as FilterId, direction: 'inbound', selector: mirrorSelector(selector), ...common },
    ]);
    return true;
  }

  /** Whether filters went with the pair. */
  remove(pairId: PairId): boolean {
    return this.#byPair.delete(pairId);
  }

  all(): readonly DriverFilter[] {
    return [...this.#byPair.values()].flat();
  }
}
