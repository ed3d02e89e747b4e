import type { IpAddress } from '../wire/ip/address.js';
import {
  hostRange,
  mirrorSelector,
  printSelector,
  type Selector,
  selectorCovers,
} from '../wire/ip/selector.js';
import type { DriverFilter, FilterId, SaPair } from './api.js';

/** Outbound view. In transport mode the addresses are the pair's own, whatever NAT made of the identities. */
export function carriedSelector(pair: SaPair, peer: IpAddress = pair.peer): Selector {
  if (pair.mode === 'tunnel') return pair.selector;
  return { ...pair.selector, source: hostRange(pair.local), destination: hostRange(peer) };
}

/** Which filters pairs serve: the one they were negotiated for, and the one for the way back. */
export class PairPlaces {
  readonly #filters: readonly DriverFilter[];
  readonly #places = new Map<FilterId, number>();
  /** First filters of a direction by their printed selectors; made when a pair asks. */
  readonly #byTraffic = new Map<DriverFilter['direction'], ReadonlyMap<string, number>>();

  /** `filters` in matching order. */
  constructor(filters: readonly DriverFilter[]) {
    this.#filters = filters;
    filters.forEach(({ id }, place) => {
      this.#places.set(id, place);
    });
  }

  /** The place, in matching order, of the filter that a pair serves in a direction; `undefined`: none has its traffic. */
  placeOf(pair: SaPair, direction: DriverFilter['direction']): number | undefined {
    const place = pair.filterId === undefined ? undefined : this.#places.get(pair.filterId);
    const own = place === undefined ? undefined : this.#filters[place];
    if (own?.direction === direction) return place;
    const back = own && this.#inDirection(direction).get(printSelector(mirrorSelector(own.selector)));
    if (back !== undefined) return back;
    const carried = carriedSelector(pair);
    return this.#covering(direction, direction === 'outbound' ? carried : mirrorSelector(carried));
  }

  #inDirection(direction: DriverFilter['direction']): ReadonlyMap<string, number> {
    const known = this.#byTraffic.get(direction);
    if (known !== undefined) return known;
    const places = new Map<string, number>();
    this.#filters.forEach((filter, place) => {
      if (filter.direction !== direction) return;
      const traffic = printSelector(filter.selector);
      if (!places.has(traffic)) places.set(traffic, place);
    });
    this.#byTraffic.set(direction, places);
    return places;
  }

  #covering(direction: DriverFilter['direction'], carried: Selector): number | undefined {
    const place = this.#filters.findIndex(
      filter =>
        filter.direction === direction &&
        filter.action === 'secure' &&
        selectorCovers(filter.selector, carried),
    );
    return place < 0 ? undefined : place;
  }
}
