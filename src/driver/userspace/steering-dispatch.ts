/**
 * From filters to nftables chains: one rule after the other while filters are few; where they are many, a look-up
 * of the far address first, which leads to a chain with only the filters that can match it.
 */
import { addressFamily, type IpAddress } from '../../wire/ip/address.js';
import { addressOf, packetAddress } from '../../wire/ip/ip.js';
import { type AddressRange, prefixLengthOf, printRange, type Selector } from '../../wire/ip/selector.js';
import type { DriverFilter } from '../api.js';

/** The nftables rules of one filter. */
export interface FilterRules {
  readonly filter: DriverFilter;
  readonly lines: readonly string[];
}

export interface RuleChain {
  readonly name: string;
  readonly lines: readonly string[];
}

/** Up to this many filters are simply tried one after the other. */
const linearFilters = 16;

/** The nftables match of a selector, with a space behind it; all traffic is all of its family. */
export function matchOf(selector: Selector): string {
  const { source, destination, protocol, sourcePort, destinationPort } = selector;
  const family = addressFamily(source.first) === 4 ? 'ip' : 'ip6';
  const ports = sourcePort !== 0 || destinationPort !== 0;
  const terms = [
    matchRange(`${family} saddr`, source),
    matchRange(`${family} daddr`, destination),
    ...(protocol !== 0 ? [`meta l4proto ${protocol}`] : ports ? ['meta l4proto { tcp, udp }'] : []),
    ...(sourcePort !== 0 ? [`th sport ${sourcePort}`] : []),
    ...(destinationPort !== 0 ? [`th dport ${destinationPort}`] : []),
  ].filter(term => term !== '');
  const addressed = terms[0]?.startsWith('ip') ?? false;
  const nfproto = addressed ? [] : [`meta nfproto ${family === 'ip' ? 'ipv4' : 'ipv6'}`];
  return [...nfproto, ...terms].map(term => `${term} `).join('');
}

/** Empty for all addresses of a family. */
export function matchRange(field: string, range: AddressRange, print = printRange): string {
  const everything = range.first !== range.last && prefixLengthOf(range) === 0;
  return everything ? '' : `${field} ${print(range)}`;
}

/** The chain `name` that applies `rules` in order, and the chains it goes to. Chains come before their users. */
export function dispatch(name: 'inbound' | 'outbound', rules: readonly FilterRules[]): RuleChain[] {
  if (rules.length <= linearFilters) return [{ name, lines: rules.flatMap(rule => rule.lines) }];
  const field = name === 'outbound' ? 'daddr' : 'saddr';
  const far = (filter: DriverFilter) =>
    name === 'outbound' ? filter.selector.destination : filter.selector.source;
  const chains: RuleChain[] = [];
  const names = new Map<string, string>();
  const lines = ([4, 6] as const).flatMap(family => {
    const ofFamily = rules.filter(rule => addressFamily(far(rule.filter).first) === family);
    const elements = intervals(ofFamily.map(rule => far(rule.filter))).map(({ first, last, members }) => {
      const key = `${family} ${members.join(',')}`;
      const target = names.get(key) ?? `${name}-${names.size}`;
      if (!names.has(key)) {
        names.set(key, target);
        chains.push({ name: target, lines: members.flatMap(member => ofFamily[member]?.lines ?? []) });
      }
      return `${printRange({ first, last })} : goto ${target}`;
    });
    if (elements.length === 0) return [];
    return [`${family === 4 ? 'ip' : 'ip6'} ${field} vmap { ${elements.join(', ')} }`];
  });
  return [...chains, { name, lines }];
}

interface Interval {
  readonly first: IpAddress;
  readonly last: IpAddress;
  /** Indexes of the ranges that cover it, ascending; never empty. */
  readonly members: readonly number[];
}

/** Cuts the addresses of a family into intervals within which the same ranges apply. */
function intervals(ranges: readonly AddressRange[]): Interval[] {
  const starts = new Map<bigint, number[]>();
  const ends = new Map<bigint, number[]>();
  const add = (map: Map<bigint, number[]>, at: bigint, index: number) => {
    const list = map.get(at);
    if (list === undefined) map.set(at, [index]);
    else list.push(index);
  };
  for (const [index, range] of ranges.entries()) {
    add(starts, BigInt(packetAddress(range.first)), index);
    add(ends, BigInt(packetAddress(range.last)) + 1n, index);
  }
  const isIpv4 = ranges.every(range => addressFamily(range.first) === 4);
  const toAddress = (value: bigint) => addressOf(isIpv4 ? Number(value) : value);
  const cuts = [...new Set([...starts.keys(), ...ends.keys()])].sort((a, b) => (a < b ? -1 : 1));
  const active = new Set<number>();
  return cuts.flatMap((cut, i) => {
    for (const index of ends.get(cut) ?? []) active.delete(index);
    for (const index of starts.get(cut) ?? []) active.add(index);
    const next = cuts[i + 1];
    if (active.size === 0 || next === undefined) return [];
    const members = [...active].sort((a, b) => a - b);
    return [{ first: toAddress(cut), last: toAddress(next - 1n), members }];
  });
}
