import { type Ipv6Flow, type Ipv6Selector, matchesIpv6 } from './packet-selector.js';

/** Addresses are filed under prefixes of whole groups of 16 bits: 128, 112, 96 … 0, the longest a range fits into. */
const groupBits = 16;
const addressBits = 128;
/** Flows whose answer is remembered. */
const rememberedFlows = 4096;

/** Filters of like shape, found by what they share with a packet. */
interface Group {
  readonly sourceShift: bigint;
  readonly destinationShift: bigint;
  readonly byProtocol: boolean;
  readonly bySourcePort: boolean;
  readonly byDestinationPort: boolean;
  /** Index of its first filter in matching order. */
  readonly first: number;
  /** Indexes of filters by their key, ascending. */
  readonly filters: Map<string, number[]>;
}

/**
 * What `FilterTable` is to IPv4: finds the first filter that a packet matches, at a cost that grows with the number of
 * shapes that filters have, not with the number of filters. The answers for the latest flows are remembered.
 */
export class Ipv6FilterTable {
  readonly #selectors: readonly (Ipv6Selector | undefined)[];
  readonly #groups: readonly Group[];
  readonly #answers = new Map<string, number>();

  /** `selectors` in matching order; `undefined` entries match nothing. */
  constructor(selectors: readonly (Ipv6Selector | undefined)[]) {
    this.#selectors = selectors;
    const groups = new Map<string, Group>();
    selectors.forEach((selector, index) => {
      if (selector === undefined) return;
      const shape = groupOf(selector, index);
      const name = `${shape.sourceShift} ${shape.destinationShift} ${shape.byProtocol} ${shape.bySourcePort} ${shape.byDestinationPort}`;
      const group = groups.get(name) ?? shape;
      groups.set(name, group);
      const { sourceFirst, destinationFirst, protocol, sourcePort, destinationPort } = selector;
      const key = keyIn(group, sourceFirst, destinationFirst, protocol, sourcePort, destinationPort);
      const filters = group.filters.get(key);
      if (filters === undefined) group.filters.set(key, [index]);
      else filters.push(index);
    });
    this.#groups = [...groups.values()];
  }

  /** Index of the first filter that matches; -1 when none does. */
  match(flow: Ipv6Flow): number {
    if (this.#groups.length === 0) return -1;
    const { source, destination, protocol, sourcePort, destinationPort } = flow;
    const key = `${source.toString(16)} ${destination.toString(16)} ${protocol} ${sourcePort} ${destinationPort}`;
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    if (this.#answers.size >= rememberedFlows) this.#answers.clear();
    const answer = this.#search(flow);
    this.#answers.set(key, answer);
    return answer;
  }

  #search(flow: Ipv6Flow): number {
    let found = this.#selectors.length;
    for (const group of this.#groups) {
      if (group.first >= found) break;
      const { source, destination, protocol, sourcePort, destinationPort } = flow;
      const key = keyIn(group, source, destination, protocol, sourcePort, destinationPort);
      for (const index of group.filters.get(key) ?? []) {
        if (index >= found) break;
        const selector = this.#selectors[index];
        if (selector !== undefined && matchesIpv6(selector, flow)) found = index;
      }
    }
    return found === this.#selectors.length ? -1 : found;
  }
}

function groupOf(selector: Ipv6Selector, index: number): Group {
  return {
    sourceShift: shiftOf(selector.sourceFirst, selector.sourceLast),
    destinationShift: shiftOf(selector.destinationFirst, selector.destinationLast),
    byProtocol: selector.protocol !== 0,
    bySourcePort: selector.sourcePort !== 0,
    byDestinationPort: selector.destinationPort !== 0,
    first: index,
    filters: new Map(),
  };
}

/** The bits in which addresses of a range may differ, rounded up. */
function shiftOf(first: bigint, last: bigint): bigint {
  let shift = 0;
  while (shift < addressBits && first >> BigInt(shift) !== last >> BigInt(shift)) shift += groupBits;
  return BigInt(shift);
}

function keyIn(
  group: Group,
  source: bigint,
  destination: bigint,
  protocol: number,
  sourcePort: number,
  destinationPort: number,
): string {
  const addresses = `${(source >> group.sourceShift).toString(16)} ${(destination >> group.destinationShift).toString(16)}`;
  return `${addresses} ${group.byProtocol ? protocol : ''} ${group.bySourcePort ? sourcePort : ''} ${group.byDestinationPort ? destinationPort : ''}`;
}
