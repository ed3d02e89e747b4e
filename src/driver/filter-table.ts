import { type Ipv4Flow, type Ipv4Selector, matchesIpv4 } from './packet-selector.js';

/**
 * Addresses are filed under prefixes of 32, 24, 16, 8 or 0 bits, the longest that a filter's range fits into. These
 * classes are the bits 1, 2, 4, 8 and 16.
 */
const widestClass = 16;

/** Flows whose answer is remembered, and the words that one takes: addresses, ports, protocol. */
const rememberedFlows = 4096;
const flowWords = 4;
/** No protocol number: an entry not used yet. */
const unused = 0xffff_ffff;

/** The fields by which a group of filters is filed. */
interface Group {
  readonly sourceClass: number;
  readonly destinationClass: number;
  readonly sourceMask: number;
  readonly destinationMask: number;
  readonly byProtocol: boolean;
  readonly bySourcePort: boolean;
  readonly byDestinationPort: boolean;
  /** Index of its first filter in matching order. */
  readonly first: number;
}

/**
 * Finds the first of many IPv4 filters that a packet matches, at a cost that hardly grows with their number (tuple space
 * search). Filters of like shape (how long their address prefixes are, whether they name protocol and ports) form
 * a group; within a group the packet's own fields, cut to that shape, say in which bucket of one hash table
 * its filters are. Groups are tried in the order of their first filter, without those whose prefixes the packet's
 * addresses cannot have, and the search ends when no later group can hold an earlier filter. Every filter of a bucket is compared in full, so ranges that are no prefixes, and
 * hash collisions, are only slower. The answers for the latest flows are remembered, one per hash value, so that a flow's
 * later packets cost the same with any set of filters.
 */
export class FilterTable {
  readonly #selectors: readonly (Ipv4Selector | undefined)[];
  readonly #groups: readonly Group[];
  readonly #sources: PrefixSet;
  readonly #destinations: PrefixSet;
  /** Index of the first filter of each bucket, and of the next one in the same bucket; -1 ends. Ascending. */
  readonly #buckets: Int32Array;
  readonly #next: Int32Array;
  readonly #mask: number;
  readonly #flows = new Uint32Array(rememberedFlows * flowWords).fill(unused);
  readonly #answers = new Int32Array(rememberedFlows);

  /** `selectors` in matching order; `undefined` entries match nothing. */
  constructor(selectors: readonly (Ipv4Selector | undefined)[]) {
    this.#selectors = selectors;
    const size = 2 ** Math.ceil(Math.log2(Math.max(16, selectors.length * 2)));
    this.#mask = size - 1;
    this.#buckets = new Int32Array(size).fill(-1);
    this.#next = new Int32Array(selectors.length).fill(-1);
    this.#sources = new PrefixSet(size);
    this.#destinations = new PrefixSet(size);
    const groups = new Map<string, Group>();
    selectors.forEach((selector, index) => {
      if (selector === undefined) return;
      const group = groupOf(selector, index);
      this.#sources.add(selector.sourceFirst, group.sourceClass);
      this.#destinations.add(selector.destinationFirst, group.destinationClass);
      const key = `${group.sourceClass} ${group.destinationClass} ${group.byProtocol} ${group.bySourcePort} ${group.byDestinationPort}`;
      if (!groups.has(key)) groups.set(key, group);
    });
    this.#groups = [...groups.values()];
    // From the last to the first, so that each filter is put before the later ones of its bucket.
    for (let index = selectors.length - 1; index >= 0; index--) {
      const selector = selectors[index];
      if (selector === undefined) continue;
      const bucket = this.#bucketOf(
        groupOf(selector, index),
        selector.sourceFirst,
        selector.destinationFirst,
        selector.protocol,
        selector.sourcePort,
        selector.destinationPort,
      );
      this.#next[index] = this.#buckets[bucket] ?? -1;
      this.#buckets[bucket] = index;
    }
  }

  /** Index of the first filter that matches; -1 when none does. */
  match(flow: Ipv4Flow): number {
    const ports = ((flow.sourcePort << 16) | flow.destinationPort) >>> 0;
    const hash = mix(mix(flow.source, flow.destination), ports ^ flow.protocol);
    const entry = (hash ^ (hash >>> 16)) & (rememberedFlows - 1);
    const at = entry * flowWords;
    const flows = this.#flows;
    if (
      flows[at] === flow.source &&
      flows[at + 1] === flow.destination &&
      flows[at + 2] === ports &&
      flows[at + 3] === flow.protocol
    )
      return this.#answers[entry] ?? -1;
    const answer = this.#search(flow);
    flows[at] = flow.source;
    flows[at + 1] = flow.destination;
    flows[at + 2] = ports;
    flows[at + 3] = flow.protocol;
    this.#answers[entry] = answer;
    return answer;
  }

  #search(flow: Ipv4Flow): number {
    let found = this.#selectors.length;
    const sourceClasses = this.#sources.classesOf(flow.source);
    const destinationClasses = this.#destinations.classesOf(flow.destination);
    for (const group of this.#groups) {
      if (group.first >= found) break;
      if ((group.sourceClass & sourceClasses) === 0 || (group.destinationClass & destinationClasses) === 0)
        continue;
      const bucket = this.#bucketOf(
        group,
        flow.source,
        flow.destination,
        flow.protocol,
        flow.sourcePort,
        flow.destinationPort,
      );
      for (
        let index = this.#buckets[bucket] ?? -1;
        index >= 0 && index < found;
        index = this.#next[index] ?? -1
      ) {
        const selector = this.#selectors[index];
        if (selector !== undefined && matchesIpv4(selector, flow)) found = index;
      }
    }
    return found === this.#selectors.length ? -1 : found;
  }

  #bucketOf(
    group: Group,
    source: number,
    destination: number,
    protocol: number,
    sourcePort: number,
    destinationPort: number,
  ): number {
    let hash = mix(source & group.sourceMask, destination & group.destinationMask);
    if (group.byProtocol) hash = mix(hash, protocol);
    if (group.bySourcePort) hash = mix(hash, sourcePort);
    if (group.byDestinationPort) hash = mix(hash, destinationPort ^ 0x5bd1_e995);
    return (hash ^ (hash >>> 16)) & this.#mask;
  }
}

/** Folds a value into a hash: two rounds of multiply and shift. */
function mix(hash: number, value: number): number {
  const product = Math.imul(hash ^ (hash >>> 15), 0x85eb_ca6b) ^ Math.imul(value, 0x9e37_79b1);
  return Math.imul(product ^ (product >>> 13), 0xc2b2_ae35);
}

/** Which prefixes occur, by class: may say yes for one that does not, never no for one that does. */
class PrefixSet {
  readonly #classes: Uint8Array;
  readonly #mask: number;

  /** `size` is a power of two. */
  constructor(size: number) {
    this.#classes = new Uint8Array(size);
    this.#mask = size - 1;
  }

  add(address: number, prefixClass: number): void {
    const at = this.#placeOf(address & maskOfClass(prefixClass));
    this.#classes[at] = (this.#classes[at] ?? 0) | prefixClass;
  }

  /** The classes in which a prefix of this address occurs, as bits. */
  classesOf(address: number): number {
    let classes = 0;
    for (let prefixClass = 1; prefixClass <= widestClass; prefixClass <<= 1) {
      const at = this.#placeOf(address & maskOfClass(prefixClass));
      classes |= (this.#classes[at] ?? 0) & prefixClass;
    }
    return classes;
  }

  #placeOf(prefix: number): number {
    const hash = mix(prefix, prefix);
    return (hash ^ (hash >>> 16)) & this.#mask;
  }
}

function groupOf(selector: Ipv4Selector, index: number): Group {
  const sourceClass = classOf(selector.sourceFirst, selector.sourceLast);
  const destinationClass = classOf(selector.destinationFirst, selector.destinationLast);
  return {
    sourceClass,
    destinationClass,
    sourceMask: maskOfClass(sourceClass),
    destinationMask: maskOfClass(destinationClass),
    byProtocol: selector.protocol !== 0,
    bySourcePort: selector.sourcePort !== 0,
    byDestinationPort: selector.destinationPort !== 0,
    first: index,
  };
}

/** Class of the longest prefix in which both ends of a range lie: 1 for /32, 2 for /24, … 16 for /0. */
function classOf(first: number, last: number): number {
  const sharedBits = Math.clz32(first ^ last);
  return 1 << Math.ceil((32 - sharedBits) / 8);
}

function maskOfClass(prefixClass: number): number {
  return prefixClass === widestClass ? 0 : -1 << (8 * (31 - Math.clz32(prefixClass)));
}
