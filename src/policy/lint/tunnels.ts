/** Tunnel rules: one-way filters, all protocols, and a partner for the way back. */
import { describeFilter, describeHost } from '../describe.js';
import { finding, type PolicyFinding } from '../findings.js';
import type { Filter } from '../model.js';
import { type Check, type NamedRule, placeOf } from './check.js';
import { reversed, trafficKey } from './traffic-key.js';

export const tunnelCheck: Check = {
  name: 'tunnels',
  run({ rules }) {
    const tunnels = rules.filter(({ rule }) => rule.tunnelEndpoint !== undefined);
    return [...tunnels.flatMap(ruleFindings), ...partnerFindings(tunnels)];
  },
};

function ruleFindings(named: NamedRule): PolicyFinding[] {
  const { action, filterList } = named.rule;
  const findings = (filterList?.filters ?? []).flatMap(filter => filterFindings(named, filter));
  if (action.kind !== 'negotiate')
    findings.push(
      finding(
        'tunnel-action',
        placeOf(named),
        `a tunnel rule cannot ${action.kind}`,
        'leave -t out, or negotiate',
      ),
    );
  else if (action.acceptUnsecured || action.allowFallback)
    findings.push(
      finding(
        'tunnel-clear',
        placeOf(named),
        'a tunnel that also takes clear text protects nothing',
        'leave -soft and INPASS out',
      ),
    );
  return findings;
}

function filterFindings(named: NamedRule, filter: Filter): PolicyFinding[] {
  const findings: PolicyFinding[] = [];
  if (filter.mirrored)
    findings.push(
      finding(
        'tunnel-mirrored',
        placeOf(named, filter),
        "a tunnel's filters have one direction, this one is mirrored",
        "write '=', and a second rule with the other endpoint for the way back",
      ),
    );
  if (filter.protocol !== 0)
    findings.push(
      finding(
        'tunnel-selector',
        placeOf(named, filter),
        'tunnels by protocol or port are not dependable: fragments have no ports, and peers may refuse',
        'tunnel all protocols between the two networks',
      ),
    );
  return findings;
}

/** A tunnel takes two rules: one for each direction, each with the endpoint its packets travel towards. */
function partnerFindings(tunnels: readonly NamedRule[]): PolicyFinding[] {
  const ways = tunnels
    .filter(({ rule }) => rule.active)
    .flatMap(named => (named.rule.filterList?.filters ?? []).map(filter => ({ named, filter })));
  const firstOn = new Map<string, NamedRule>();
  for (const { named, filter } of ways)
    if (!firstOn.has(trafficKey(filter))) firstOn.set(trafficKey(filter), named);
  return ways.flatMap(({ named, filter }) => {
    const partner = firstOn.get(trafficKey(reversed(filter)));
    if (partner === undefined)
      return [
        finding(
          'tunnel-partner',
          placeOf(named, filter),
          'no tunnel rule covers the way back',
          `add a rule with -f ${describeFilter(reversed(filter))} and the other endpoint behind -t`,
        ),
      ];
    const [end, otherEnd] = [named, partner].map(
      ({ rule }) => rule.tunnelEndpoint && describeHost(rule.tunnelEndpoint),
    );
    if (end !== otherEnd) return [];
    return [
      finding(
        'tunnel-same-end',
        placeOf(named, filter),
        `the way back has the same tunnel endpoint, ${end}`,
        "outbound traffic names the peer's address behind -t, inbound this computer's",
      ),
    ];
  });
}
