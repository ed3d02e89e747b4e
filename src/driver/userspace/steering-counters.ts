/** What nftables counted by the rules of filters, read from what `nft -j` prints. Pure. */
import type { DriverFilter, FilterId } from '../api.js';
import { filterComment, translatedComment } from './steering.js';

/** Packets that nftables counted, by the rules of filters. */
export interface SteeringCounters {
  readonly filters: ReadonlyMap<FilterId, number>;
  /** Of these, dropped ones, by filters that dropped any. */
  readonly drops: ReadonlyMap<FilterId, number>;
  readonly blocked: number;
  readonly clearButSecured: number;
}

/** Nothing counted yet. */
export const noCounters: SteeringCounters = {
  filters: new Map(),
  drops: new Map(),
  blocked: 0,
  clearButSecured: 0,
};

/** Counts per filter from what `nft -j list table` printed about the rules of `filters`. */
export function countersOf(json: string, filters: readonly DriverFilter[]): SteeringCounters {
  const indexes = new Map(filters.map((_, index) => [filterComment(index), index]));
  const counts = new Map<FilterId, number>();
  const dropped = new Map<FilterId, number>();
  let blocked = 0;
  let clearButSecured = 0;
  for (const { comment, packets, drops } of countedRules(JSON.parse(json))) {
    if (comment === translatedComment) clearButSecured += packets;
    const filter = filters[indexes.get(comment) ?? -1];
    if (filter === undefined) continue;
    counts.set(filter.id, (counts.get(filter.id) ?? 0) + packets);
    if (!drops || packets === 0) continue;
    dropped.set(filter.id, (dropped.get(filter.id) ?? 0) + packets);
    if (filter.direction === 'inbound' && filter.action === 'secure') clearButSecured += packets;
    else blocked += packets;
  }
  return { filters: counts, drops: dropped, blocked, clearButSecured };
}

/** Packets counted by each element of the soft set, from what `nft -j list set` printed. */
export function softCountersOf(json: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of arrayIn(JSON.parse(json), 'nftables'))
    for (const element of arrayIn(memberOf(item, 'set'), 'elem')) {
      const detail = memberOf(element, 'elem');
      const [peer, local] = arrayIn(memberOf(detail, 'val'), 'concat');
      const packets = memberOf(memberOf(detail, 'counter'), 'packets');
      if (typeof packets === 'number') counts.set(`${peer} . ${local}`, packets);
    }
  return counts;
}

function* countedRules(listing: unknown): Generator<{ comment: string; packets: number; drops: boolean }> {
  for (const item of arrayIn(listing, 'nftables')) {
    const rule = memberOf(item, 'rule');
    const comment = memberOf(rule, 'comment');
    const statements = arrayIn(rule, 'expr');
    const counter = statements
      .map(statement => memberOf(statement, 'counter'))
      .find(value => value !== undefined);
    const packets = memberOf(counter, 'packets');
    if (typeof comment !== 'string' || typeof packets !== 'number') continue;
    yield { comment, packets, drops: statements.some(statement => hasMember(statement, 'drop')) };
  }
}

function hasMember(value: unknown, name: string): value is object {
  return typeof value === 'object' && value !== null && name in value;
}

function memberOf(value: unknown, name: string): unknown {
  return hasMember(value, name) ? new Map<string, unknown>(Object.entries(value)).get(name) : undefined;
}

function arrayIn(value: unknown, name: string): readonly unknown[] {
  const member = memberOf(value, name);
  return Array.isArray(member) ? member : [];
}

/** What two readings counted together. */
export function addCounters(a: SteeringCounters, b: SteeringCounters): SteeringCounters {
  return {
    filters: addCounts(a.filters, b.filters),
    drops: addCounts(a.drops, b.drops),
    blocked: a.blocked + b.blocked,
    clearButSecured: a.clearButSecured + b.clearButSecured,
  };
}

function addCounts(a: SteeringCounters['filters'], b: SteeringCounters['filters']): Map<FilterId, number> {
  const sums = new Map(a);
  for (const [id, packets] of b) sums.set(id, (sums.get(id) ?? 0) + packets);
  return sums;
}
