/** Checks that look at the filters of several rules together. */
import { describeFilter, describeHost, describeRule } from './describe.js';
import { finding, type PolicyFinding } from './findings.js';
import type { Filter, Rule } from './model.js';

interface Way {
  /** The traffic, as comparable text. */
  readonly text: string;
  readonly rule: Rule;
  readonly ruleName: string;
  readonly filter: Filter;
}

/** Filters on the very same traffic, and tunnels without a way back. */
export function trafficFindings(rules: readonly Rule[]): PolicyFinding[] {
  const ways = rules.flatMap((rule, i) =>
    rule.active
      ? (rule.filterList?.filters ?? []).flatMap(filter =>
          waysOf(filter, rule).map(text => ({ text, rule, ruleName: describeRule(rule, i), filter })),
        )
      : [],
  );
  return [...sameTraffic(ways), ...lonelyTunnels(ways)];
}

function sameTraffic(ways: readonly Way[]): PolicyFinding[] {
  const findings: PolicyFinding[] = [];
  const first = new Map<string, Way>();
  const reported = new Set<Filter>();
  for (const way of ways) {
    const before = first.get(way.text);
    if (before === undefined) first.set(way.text, way);
    if (before === undefined || before.filter === way.filter || reported.has(way.filter)) continue;
    reported.add(way.filter);
    const where = {
      rule: way.ruleName,
      ruleId: way.rule.id,
      filter: describeFilter(way.filter),
      filterId: way.filter.id,
    };
    const same = before.rule === way.rule || before.rule.action.kind === way.rule.action.kind;
    findings.push(
      same
        ? finding(
            'duplicate-filter',
            where,
            `${before.ruleName} covers the same traffic`,
            'delete one of the filters',
          )
        : finding(
            'contradiction',
            where,
            `this is to ${way.rule.action.kind}, but ${before.ruleName} is to ${before.rule.action.kind} the same traffic`,
            'delete one of the filters; block wins over permit, permit over negotiate',
          ),
    );
  }
  return findings;
}

/** A tunnel takes two rules: one for each direction, each with the endpoint its packets travel towards. */
function lonelyTunnels(ways: readonly Way[]): PolicyFinding[] {
  return ways
    .filter(({ rule }) => rule.tunnelEndpoint !== undefined)
    .flatMap(way => {
      const where = {
        rule: way.ruleName,
        ruleId: way.rule.id,
        filter: describeFilter(way.filter),
        filterId: way.filter.id,
      };
      const back = wayText(reversed(way.filter));
      const partner = ways.find(({ text, rule }) => text === back && rule.tunnelEndpoint !== undefined);
      if (partner === undefined)
        return [
          finding(
            'tunnel-partner',
            where,
            'no tunnel rule covers the way back',
            `add a rule with -f ${describeFilter(reversed(way.filter))} and the other endpoint behind -t`,
          ),
        ];
      const [end, otherEnd] = [way, partner].map(
        ({ rule }) => rule.tunnelEndpoint && describeHost(rule.tunnelEndpoint),
      );
      return end === otherEnd
        ? [
            finding(
              'tunnel-same-end',
              where,
              `the way back has the same tunnel endpoint, ${end}`,
              "outbound traffic names the peer's address behind -t, inbound this computer's",
            ),
          ]
        : [];
    });
}

function waysOf(filter: Filter, rule: Rule): string[] {
  const there = wayText(filter);
  const back = wayText(reversed(filter));
  return filter.mirrored && rule.tunnelEndpoint === undefined && back !== there ? [there, back] : [there];
}

function wayText(filter: Filter): string {
  return describeFilter({ ...filter, mirrored: false });
}

function reversed(filter: Filter): Filter {
  return {
    ...filter,
    source: filter.destination,
    destination: filter.source,
    sourcePort: filter.destinationPort,
    destinationPort: filter.sourcePort,
  };
}
