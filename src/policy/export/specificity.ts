/**
 * Policies of the kernel have an order where a Windows policy has specificity. strongSwan puts what passes in front
 * of everything and what is dropped behind, so traffic that passes or is dropped has to be given its place.
 */
import { addressFamily } from '../../wire/ip/address.js';
import { rangeCovers, subnetRange } from '../../wire/ip/selector.js';
import type { NoteBook } from '../note.js';
import { type Flow, type FlowAddress, flowFamily, flowPrefix } from './flow.js';
import type { Plan } from './plan.js';

/** Smaller is matched earlier; strongSwan's own priorities lie between these. */
const inFront = 1_000;
const behind = 2_000_000;
/** Comparing each with each ends where it would take long; then all are taken to overlap. */
const mostComparisons = 5_000_000;

/** A priority for each of `plan.shunts`, in that order. */
export function shuntPriorities({ shunts, connections }: Plan, book: NoteBook): number[] {
  // What only answers has nothing in the kernel until a peer asks.
  const secured = connections.flatMap(({ children, responderOnly }) => (responderOnly ? [] : children));
  const ranks = specificityRanks([...shunts, ...secured]);
  const few = shunts.length * secured.length <= mostComparisons;
  return shunts.map((shunt, i) => {
    const rank = ranks[i] ?? 0;
    const met = secured.flatMap((flow, j) =>
      !few || overlap(shunt, flow) ? [ranks[shunts.length + j] ?? 0] : [],
    );
    const earlier = met.some(other => other < rank);
    const later = met.some(other => other > rank);
    if (earlier && later)
      book.add(
        'changed',
        `'${shunt.name}' lies between secured traffic in specificity, and is matched behind it`,
      );
    return (earlier ? behind : inFront) + rank;
  });
}

/** A flow, and what happens to it where it is not secured. */
export type RankedFlow = Flow & { readonly action?: 'pass' | 'drop' };

/** The place of each flow when the most specific comes first (`policy-semantics.md` 3). */
export function specificityRanks(flows: readonly RankedFlow[]): number[] {
  const weights = flows.map(flow =>
    [
      bits(flow.local.address) + bits(flow.remote.address),
      flow.protocol === 0 ? 0 : 1,
      flow.remote.port === 0 ? 0 : 1,
      flow.local.port === 0 ? 0 : 1,
      flow.action === 'drop' ? 2 : flow.action === 'pass' ? 1 : 0,
    ].reduce((weight, value) => weight * 300 + value, 0),
  );
  const order = [...weights.keys()].sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0));
  const ranks: number[] = [];
  for (const [rank, index] of order.entries()) ranks[index] = rank;
  return ranks;
}

function bits(address: FlowAddress): number {
  if (address.kind === 'any') return 0;
  return address.kind === 'subnet' ? address.prefixLength : flowFamily(address) === 6 ? 128 : 32;
}

function overlap(a: Flow, b: Flow): boolean {
  const compatible = (one: number, other: number) => one === 0 || other === 0 || one === other;
  return (
    compatible(a.protocol, b.protocol) &&
    compatible(a.local.port, b.local.port) &&
    compatible(a.remote.port, b.remote.port) &&
    meet(a.local.address, b.local.address) &&
    meet(a.remote.address, b.remote.address)
  );
}

function meet(a: FlowAddress, b: FlowAddress): boolean {
  const [one, other] = [rangeOf(a), rangeOf(b)];
  // This computer's address may be in anything.
  if (one === undefined || other === undefined) return true;
  if (addressFamily(one.first) !== addressFamily(other.first)) return false;
  return rangeCovers(one, other) || rangeCovers(other, one);
}

function rangeOf(address: FlowAddress) {
  if (address.kind !== 'host' && address.kind !== 'subnet') return undefined;
  return subnetRange(address.address, Number(flowPrefix(address)?.split('/')[1]));
}
