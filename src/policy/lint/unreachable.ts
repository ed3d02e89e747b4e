/**
 * Filters that are left no packet, because more specific ones together cover all of their traffic: two halves of a
 * subnet before the subnet, say.
 */

import type { DriverFilter } from '../../driver/api.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { addressBytes, addressFromBytes } from '../../wire/ip/address.js';
import { type AddressRange, prefixLengthOf, rangeCovers, subnetRange } from '../../wire/ip/selector.js';
import type { ExpandedFilter } from '../expand.js';
import { packetWords } from '../filter-index.js';
import { finding, type PolicyFinding } from '../findings.js';
import type { Filter, Policy } from '../model.js';
import type { Packet } from '../packet.js';
import { type Check, placeOf, type Traffic } from './check.js';
import { packetOf, type UnusedValues, unusedValues } from './sample-packet.js';

/** Packets looked up for all filters together; what is not settled by then counts as reachable. */
const mostLookUps = 3_000_000;
/** Packets looked up for one filter. */
const mostLookUpsEach = 20_000;
/** The progress bar moves after so many filters. */
const progressEvery = 1_000;

type Expanded = ExpandedFilter<{ readonly policy: Policy }>;

export const unreachableCheck: Check = {
  name: 'unreachable',
  run(input) {
    const traffic = input.traffic();
    const { filters } = traffic.expansion;
    const unused = unusedValues(filters.map(({ filter }) => filter));
    if (unused === undefined) return [];
    const search = new Search(traffic, unused);
    /** What the specific filters of a filter came to; `undefined` once one of them has a packet of its own. */
    const covered = new Map<Filter, { readonly expanded: Expanded; readonly example: Example } | undefined>();
    filters.forEach((expanded, place) => {
      if (place % progressEvery === 0) input.progress(place / filters.length);
      const { origin } = expanded;
      if (covered.has(origin) && covered.get(origin) === undefined) return;
      const example = search.coveredBy(place);
      covered.set(origin, example && { expanded, example });
    });
    const findings: PolicyFinding[] =
      search.unsettled === 0
        ? []
        : [
            finding(
              'partly-checked',
              {},
              `${search.unsettled === 1 ? '1 filter' : `${search.unsettled} filters`} may be left no packet by others: settling that takes too many look-ups`,
              'ask "policy explain" about packets of theirs, or say the same with fewer filters',
            ),
          ];
    for (const [origin, found] of covered) {
      if (found === undefined) continue;
      const others = [...found.example.deciders].slice(0, 3).map(({ rule }) => input.named(rule).name);
      findings.push(
        finding(
          'unreachable',
          placeOf(input.named(found.expanded.rule), origin),
          `it never decides: more specific filters (of ${[...new Set(others)].join(', ')}) cover all of its traffic`,
          'delete it, or the filters that are not meant to come first',
          found.example.packet,
        ),
      );
    }
    return findings;
  },
};

/** A packet of a filter that others decide about, and those that cover it. */
interface Example {
  readonly packet: Packet;
  readonly deciders: ReadonlySet<Expanded>;
}

/**
 * Whether earlier filters cover a filter. Only filters for any protocol or port can cover what nobody names, so a
 * filter has packets of its own exactly if it has one with the unused values; what is left are two address ranges,
 * halved until one filter covers a piece or a packet is found that nobody takes.
 */
class Search {
  readonly #traffic: Traffic;
  readonly #unused: UnusedValues;
  #budget = mostLookUps;
  /** Filters given up on. */
  unsettled = 0;

  constructor(traffic: Traffic, unused: UnusedValues) {
    this.#traffic = traffic;
    this.#unused = unused;
  }

  /** What covers the filter at a place; `undefined` when it decides about some packet, or that is not settled. */
  coveredBy(place: number): Example | undefined {
    const expanded = this.#traffic.expansion.filters[place];
    if (expanded === undefined) return undefined;
    const { filter } = expanded;
    const { source, destination } = filter.selector;
    // Most filters keep their first or their last packet.
    const corners: readonly (readonly [IpAddress, IpAddress])[] = [
      [source.last, destination.last],
      [source.first, destination.first],
      [source.first, destination.last],
      [source.last, destination.first],
    ];
    for (const [from, to] of corners)
      if (this.#decider(filter, packetOf(filter, this.#unused, from, to)) === place) return undefined;
    const deciders = new Set<Expanded>();
    const budget = Math.min(this.#budget, mostLookUpsEach);
    const before = this.#budget;
    const isCovered = this.#covers(place, filter, source, destination, deciders, before - budget);
    if (!isCovered) {
      if (this.#budget <= before - budget) this.unsettled++;
      return undefined;
    }
    return { packet: packetOf(filter, this.#unused, source.first, destination.first), deciders };
  }

  #covers(
    place: number,
    filter: DriverFilter,
    source: AddressRange,
    destination: AddressRange,
    deciders: Set<Expanded>,
    budgetLeft: number,
  ): boolean {
    if (this.#budget <= budgetLeft) return false;
    const decider = this.#decider(filter, packetOf(filter, this.#unused, source.first, destination.first));
    const by = decider === undefined ? undefined : this.#traffic.expansion.filters[decider];
    if (decider === undefined || decider >= place || by === undefined) return false;
    deciders.add(by);
    const coversSource = rangeCovers(by.filter.selector.source, source);
    if (coversSource && rangeCovers(by.filter.selector.destination, destination)) return true;
    if (!coversSource)
      return halves(source).every(half =>
        this.#covers(place, filter, half, destination, deciders, budgetLeft),
      );
    return halves(destination).every(half => this.#covers(place, filter, source, half, deciders, budgetLeft));
  }

  /** Filters for adapters of another kind than this filter's leave it the packets of its own. */
  #decider({ connectionType }: DriverFilter, packet: Packet): number | undefined {
    this.#budget--;
    const { filters } = this.#traffic.expansion;
    return this.#traffic.index.match(packetWords(packet), place => {
      const other = filters[place]?.filter.connectionType;
      return other !== undefined && other !== connectionType;
    });
  }
}

/** The two halves of a subnet, the upper one first: low addresses are taken most often. */
function halves(range: AddressRange): readonly AddressRange[] {
  const prefixLength = prefixLengthOf(range);
  if (prefixLength === undefined || range.first === range.last) return [range];
  const bytes = Uint8Array.from(addressBytes(range.first));
  const byte = prefixLength >> 3;
  bytes[byte] = (bytes[byte] ?? 0) | (0x80 >> (prefixLength & 7));
  return [subnetRange(addressFromBytes(bytes), prefixLength + 1), subnetRange(range.first, prefixLength + 1)];
}
