import type { IpAddress } from '../../wire/ip/address.js';
import { printSelector, type Selector } from '../../wire/ip/selector.js';
import type { XfrmPolicy } from '../../wire/netlink/xfrm-policy.js';
import type { DriverFilter, FilterId, SaPair } from '../api.js';
import { PairPlaces } from '../pair-places.js';
import { exemptPolicies, type XfrmHost } from './exemptions.js';
import { FilterNumbers } from './marks.js';
import {
  filterPolicies,
  type PlacedFilter,
  permittedThrough,
  type TunnelTraffic,
  tunnelLocals,
  tunnelTraffic,
} from './policies.js';

/** The filters in force, each in its place, and where pairs belong among them. */
export class XfrmRules {
  readonly #numbers = new FilterNumbers();
  #placed: readonly PlacedFilter[] = [];
  #byId = new Map<FilterId, PlacedFilter>();
  #places = new PairPlaces([]);
  #tunnelLocals: ReadonlyMap<string, IpAddress> = new Map();
  #secured: readonly TunnelTraffic[] = [];

  /** Replaces the filters. */
  set(filters: readonly DriverFilter[]): void {
    this.#numbers.set(filters);
    this.#placed = filters.map((filter, place) => ({ filter, place, number: this.#numbers.of(filter.id) }));
    this.#byId = new Map(this.#placed.map(placed => [placed.filter.id, placed]));
    this.#places = new PairPlaces(filters);
    this.#tunnelLocals = tunnelLocals(filters);
    this.#secured = tunnelTraffic(filters);
  }

  /** All, in matching order. */
  get placed(): readonly PlacedFilter[] {
    return this.#placed;
  }

  find(id: FilterId): PlacedFilter | undefined {
    return this.#byId.get(id);
  }

  byNumber(number: number): DriverFilter | undefined {
    return this.#numbers.filter(number);
  }

  /** The policies of all filters, and of what none of them sees. */
  policies(host: XfrmHost): XfrmPolicy[] {
    return [...exemptPolicies(host), ...this.#placed.flatMap(placed => this.#policiesOf(placed, host))];
  }

  /** The policies of one filter. */
  policiesOf(id: FilterId, host: XfrmHost): XfrmPolicy[] {
    const placed = this.find(id);
    return placed === undefined ? [] : this.#policiesOf(placed, host);
  }

  /** The filter in whose place a pair's policies stand; `undefined`: there is none for its traffic. */
  placeOf(pair: SaPair, direction: DriverFilter['direction']): PlacedFilter | undefined {
    const place = this.#places.placeOf(pair, direction);
    return place === undefined ? undefined : this.#placed[place];
  }

  /** What a filter sees on its way through that leaves in clear. */
  permittedThrough(placed: PlacedFilter | undefined): readonly Selector[] {
    return placed === undefined ? [] : permittedThrough(placed, this.#secured);
  }

  #policiesOf(placed: PlacedFilter, host: XfrmHost): XfrmPolicy[] {
    const local = this.#tunnelLocals.get(printSelector(placed.filter.selector));
    return filterPolicies(placed, host, {
      ...(local === undefined ? {} : { local }),
      secured: this.#secured,
    });
  }
}
