/**
 * Rules for the same peers that authenticate in different ways. Main mode comes before the peer says which traffic it has
 * in mind, so that the first rule with the peer decides how, and quick modes of the other rule cannot run under it.
 */
import type { DriverFilter } from '../../driver/api.js';
import { hostRange, printRange, rangesOverlap, type Selector } from '../../wire/ip/selector.js';
import { finding, type PolicyFinding } from '../findings.js';
import type { Rule } from '../model.js';
import { type Check, type LintInput, placeOf } from './check.js';

/** Pairs of filters compared at most; policies with thousands of filters for as many peers are not compared to the end. */
const mostComparisons = 2_000_000;

/** Hosts between which a rule negotiates. */
interface Ends {
  readonly rule: Rule;
  readonly ways: ReadonlySet<string>;
  /** Of tunnels, anything: they begin from whichever address the route uses. */
  readonly local: Selector['source'] | undefined;
  readonly peer: Selector['destination'];
}

export const samePeersCheck: Check = {
  name: 'same-peers',
  run(input) {
    const ways = waysByRule(input.policy.rules);
    if (new Set(ways.values()).size < 2) return [];
    const before: Ends[] = [];
    const found = new Map<Rule, PolicyFinding>();
    let comparisons = 0;
    for (const { filter, rule } of input.traffic().expansion.filters) {
      const own = ways.get(rule);
      if (!isOutbound(filter) || own === undefined) continue;
      const ends = { rule, ways: own, ...endsOf(filter) };
      const earlier = found.has(rule) ? undefined : before.find(other => isApart(other, ends));
      comparisons += before.length;
      if (comparisons > mostComparisons) return [...found.values(), cutFinding];
      if (earlier !== undefined) found.set(rule, differentFinding(input, earlier, ends));
      before.push(ends);
    }
    return [...found.values()];
  },
};

const cutFinding = finding(
  'partly-checked',
  {},
  'not all filters are compared for peers that they share: there are too many',
  'say the same with fewer filters: subnets in place of hosts',
);

function isOutbound({ direction, action }: DriverFilter): boolean {
  return direction === 'outbound' && action === 'secure';
}

function endsOf({ selector, tunnelEndpoint }: DriverFilter): Pick<Ends, 'local' | 'peer'> {
  if (tunnelEndpoint !== undefined) return { local: undefined, peer: hostRange(tunnelEndpoint) };
  return { local: selector.source, peer: selector.destination };
}

function haveSamePeer(one: Ends, other: Ends): boolean {
  if (!rangesOverlap(one.peer, other.peer)) return false;
  return one.local === undefined || other.local === undefined || rangesOverlap(one.local, other.local);
}

/** What a rule authenticates by, of what there is an engine for. */
function waysOf({ action, authentication }: Rule): readonly string[] {
  if (action.kind !== 'negotiate') return [];
  return authentication.flatMap(method => {
    if (method.kind === 'preshared') return [`preshared ${method.key.reveal()}`];
    return method.kind === 'certificate' ? [`certificate ${method.authority}`] : [];
  });
}

/** The same set for all rules that authenticate in the same ways; none for those that do not. */
function waysByRule(rules: readonly Rule[]): ReadonlyMap<Rule, ReadonlySet<string>> {
  const sets = new Map<string, ReadonlySet<string>>();
  const byRule = new Map<Rule, ReadonlySet<string>>();
  for (const rule of rules) {
    const ways = [...new Set(waysOf(rule))].sort();
    const key = JSON.stringify(ways);
    const known = sets.get(key) ?? new Set(ways);
    sets.set(key, known);
    if (ways.length > 0) byRule.set(rule, known);
  }
  return byRule;
}

/** Whether what authenticates a peer for the earlier rule need not be enough for the later one. */
function isApart(earlier: Ends, later: Ends): boolean {
  if (earlier.ways === later.ways || !haveSamePeer(earlier, later)) return false;
  return [...earlier.ways].some(way => !later.ways.has(way));
}

function differentFinding(input: LintInput, earlier: Ends, later: Ends): PolicyFinding {
  const peer = earlier.local === undefined ? earlier.peer : later.peer;
  const kinds = ({ ways }: Ends) => [...ways].map(way => way.split(' ', 1).join());
  // Of one kind of credentials a responder can ask for one only: those of the first rule.
  const cannotTell =
    [...later.ways].every(way => !earlier.ways.has(way)) &&
    kinds(later).every(kind => kinds(earlier).includes(kind));
  return finding(
    'authentication-differs',
    placeOf(input.named(later.rule)),
    `${input.named(earlier.rule).name}, which is looked at first for the same peers (${printRange(peer)}), ` +
      (cannotTell
        ? 'wants other credentials of the same kind: who begins a main mode has to have those, and then gets nothing of this rule'
        : 'authenticates them in another way: who runs quick modes of both under one main mode, as Windows does, is refused those of this rule'),
    'give both rules the same authentication methods',
  );
}
