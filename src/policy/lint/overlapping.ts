/**
 * Filters that share some traffic, neither containing the other, and do different things to it. Which one decides
 * follows from their specificity, which is not always what one had in mind.
 *
 * Prefixes either contain one another or have nothing in common, and protocols and ports are given or any. So two
 * filters share traffic exactly if they agree on what both of them give. Filters that give the same fields to the same
 * length form a shape; two shapes are compared by filing one under what both give, and looking the other up there.
 */

import type { DriverFilter } from '../../driver/api.js';
import { addressFamily } from '../../wire/ip/address.js';
import { prefixLengthOf, type Selector } from '../../wire/ip/selector.js';
import type { ExpandedFilter } from '../expand.js';
import { type AddressWords, addressWords, packetWords } from '../filter-index.js';
import { finding, type PolicyFinding } from '../findings.js';
import type { Policy, Rule } from '../model.js';
import type { Packet } from '../packet.js';
import { type Check, type LintInput, placeOf } from './check.js';
import { packetOf, sampleAddress, unusedValues } from './sample-packet.js';

/** Filters filed and looked up at most; policies with hundreds of shapes are not compared to the end. */
const mostSteps = 4_000_000;

type Expanded = ExpandedFilter<{ readonly policy: Policy }>;

/** How long each field of a filter is given: prefix lengths, and 1 for a protocol or port. */
interface Shape {
  readonly lengths: readonly [
    source: number,
    destination: number,
    protocol: number,
    sourcePort: number,
    destinationPort: number,
  ];
  readonly members: Member[];
}

interface Member {
  readonly place: number;
  readonly source: AddressWords;
  readonly destination: AddressWords;
  readonly selector: Selector;
  readonly action: DriverFilter['action'];
}

/** Two filters that share traffic, by their places; the first one decides there. */
interface Overlap {
  readonly winner: number;
  readonly loser: number;
}

export const overlapCheck: Check = {
  name: 'overlapping',
  run(input) {
    const { expansion, index } = input.traffic();
    const { filters } = expansion;
    const unused = unusedValues(filters.map(({ filter }) => filter));
    if (unused === undefined) return [];
    const byRule = new Map<Rule, Shown>();
    let isCut = false;
    for (const { winner, loser } of overlaps(filters, input, () => {
      isCut = true;
    })) {
      const [first, second] = [filters[winner], filters[loser]];
      if (first === undefined || second === undefined || areApart(first, second)) continue;
      const known = byRule.get(second.rule);
      if (known !== undefined) {
        known.count++;
        continue;
      }
      const { direction } = first.filter;
      const selector = sharedTraffic(first.filter.selector, second.filter.selector);
      const packet = packetOf({ direction, selector }, unused);
      // The filter as written may have yet another, more specific part that decides after all.
      const decider = index.match(packetWords(packet));
      if (decider !== undefined && filters[decider]?.origin !== second.origin)
        byRule.set(second.rule, { first, second, packet, count: 1 });
    }
    const found = [...byRule.values()].map(shown => overlapFinding(input, shown));
    return isCut ? [...found, cutFinding] : found;
  },
};

const cutFinding = finding(
  'partly-checked',
  {},
  'not all filters are compared for traffic they share: they give their fields in too many ways',
  'ask "policy explain" about packets that matter, or say the same with fewer kinds of filters',
);

/** Whether one is for LAN and the other for dial-up adapters only. */
function areApart({ filter: one }: Expanded, { filter: other }: Expanded): boolean {
  return (
    one.connectionType !== undefined &&
    other.connectionType !== undefined &&
    one.connectionType !== other.connectionType
  );
}

/** The overlap that stands for all in which a rule loses. */
interface Shown {
  readonly first: Expanded;
  readonly second: Expanded;
  readonly packet: Packet;
  count: number;
}

function overlapFinding(input: LintInput, { first, second, packet, count }: Shown): PolicyFinding {
  const there = placeOf(input.named(first.rule), first.origin);
  const more = count > 1 ? ` (and ${count - 1} more such pairs in this rule)` : '';
  return finding(
    'overlapping',
    placeOf(input.named(second.rule), second.origin),
    `${there.rule}, filter '${there.filter}', shares some of its traffic and is looked at first: it is to ${first.rule.action.kind}, this to ${second.rule.action.kind}${more}`,
    'if that is not meant, add a filter for exactly the shared traffic',
    packet,
  );
}

/** The traffic that two overlapping selectors have in common. */
function sharedTraffic(a: Selector, b: Selector): Selector {
  const narrower = (one: Selector['source'], other: Selector['source']) =>
    (prefixLengthOf(one) ?? 0) >= (prefixLengthOf(other) ?? 0) ? one : other;
  const source = sampleAddress(narrower(a.source, b.source));
  const destination = sampleAddress(narrower(a.destination, b.destination));
  return {
    source: { first: source, last: source },
    destination: { first: destination, last: destination },
    protocol: a.protocol || b.protocol,
    sourcePort: a.sourcePort || b.sourcePort,
    destinationPort: a.destinationPort || b.destinationPort,
  };
}

/** One overlap for every filter, shape and action that it loses against. */
function* overlaps(filters: readonly Expanded[], input: LintInput, onCut: () => void): Generator<Overlap> {
  const groups = [...shapesOf(filters).values()];
  const total = groups.reduce((sum, shapes) => sum + shapes.length, 0);
  let steps = mostSteps;
  let compared = 0;
  for (const shapes of groups) {
    shapes.sort((a, b) => b.members.length - a.members.length);
    for (const [i, one] of shapes.entries()) {
      input.progress(compared++ / total);
      for (const other of shapes.slice(i + 1)) {
        if (isNested(one, other) || isNested(other, one)) continue;
        steps -= one.members.length + other.members.length;
        if (steps < 0) return onCut();
        // Of two shapes, all filters of one come before all of the other: fields given outweigh everything else.
        const firstIsFirst = (one.members[0]?.place ?? 0) < (other.members[0]?.place ?? 0);
        yield* firstIsFirst ? compare(one, other) : compare(other, one);
      }
    }
  }
}

function* compare(winners: Shape, losers: Shape): Generator<Overlap> {
  const common = winners.lengths.map((length, i) => Math.min(length, losers.lengths[i] ?? 0));
  const filed = new Map<string, Partial<Record<DriverFilter['action'], number>>>();
  for (const member of winners.members) {
    const key = keyOf(member, common);
    const firsts = filed.get(key);
    if (firsts === undefined) filed.set(key, { [member.action]: member.place });
    else firsts[member.action] ??= member.place;
  }
  for (const member of losers.members) {
    const firsts = filed.get(keyOf(member, common));
    if (firsts === undefined) continue;
    for (const action of ['block', 'permit', 'secure'] as const) {
      const winner = firsts[action];
      if (winner !== undefined && action !== member.action) yield { winner, loser: member.place };
    }
  }
}

/** What a filter says of the fields that count, cut to the lengths. */
function keyOf({ source, destination, selector }: Member, lengths: readonly number[]): string {
  const [sourceBits = 0, destinationBits = 0, protocol, sourcePort, destinationPort] = lengths;
  return `${cut(source, sourceBits)} ${cut(destination, destinationBits)} ${protocol ? selector.protocol : 0} ${sourcePort ? selector.sourcePort : 0} ${destinationPort ? selector.destinationPort : 0}`;
}

function cut(words: AddressWords, bits: number): string {
  if (words.length === 1) return bits === 0 ? '' : String((words[0] ?? 0) >>> (32 - bits));
  let text = '';
  for (const [word, value] of words.entries()) {
    const here = Math.min(32, bits - 32 * word);
    if (here > 0) text += `${value >>> (32 - here)},`;
  }
  return text;
}

/** Whether every field of `outer` is given no longer than in `inner`: then one filter can only contain the other. */
function isNested(outer: Shape, inner: Shape): boolean {
  return outer.lengths.every((length, i) => length <= (inner.lengths[i] ?? 0));
}

/** The shapes of each direction and family. */
function shapesOf(filters: readonly Expanded[]): Map<string, Shape[]> {
  const shapes = new Map<string, Shape>();
  const groups = new Map<string, Shape[]>();
  for (const [place, { filter }] of filters.entries()) {
    const { selector, direction, action } = filter;
    const lengths = [
      prefixLengthOf(selector.source) ?? 0,
      prefixLengthOf(selector.destination) ?? 0,
      selector.protocol === 0 ? 0 : 1,
      selector.sourcePort === 0 ? 0 : 1,
      selector.destinationPort === 0 ? 0 : 1,
    ] as const;
    const group = `${direction} ${addressFamily(selector.source.first)}`;
    const key = `${group} ${lengths.join(' ')}`;
    let shape = shapes.get(key);
    if (shape === undefined) {
      shape = { lengths, members: [] };
      shapes.set(key, shape);
      const known = groups.get(group);
      if (known === undefined) groups.set(group, [shape]);
      else known.push(shape);
    }
    shape.members.push({
      place,
      source: addressWords(selector.source.first),
      destination: addressWords(selector.destination.first),
      selector,
      action,
    });
  }
  return groups;
}
