/** Filters that are not in force as written: no traffic of this computer is in them, or another one covers it exactly. */
import { finding, type PolicyFinding } from '../findings.js';
import type { Filter, Rule } from '../model.js';
import { type Check, placeOf } from './check.js';
import { packetOf } from './sample-packet.js';
import { reversed, trafficKey } from './traffic-key.js';

const somePort = { protocol: 254, port: 40_000 };

export const notInForceCheck: Check = {
  name: 'not-in-force',
  run(input) {
    const findings: PolicyFinding[] = [];
    // Each local address brings a note of its own: one finding for a filter and what covers it.
    const seen = new Map<Filter, Set<Rule | undefined>>();
    for (const { rule, filter, covered } of input.traffic().expansion.notes) {
      const by = covered?.by.rule;
      const known = seen.get(filter) ?? new Set();
      seen.set(filter, known);
      if (known.has(by) || (covered !== undefined && readAlike(filter, covered.by.origin))) continue;
      known.add(by);
      if (covered === undefined || by === undefined)
        findings.push(
          finding(
            'not-enforced',
            placeOf(input.named(rule), filter),
            'no address of this computer is in it, so nothing is enforced',
            rule.connectionType === 'all'
              ? 'check its addresses: one side must be this computer, unless it permits, blocks or tunnels'
              : `there is no such adapter now: the rule is for ${rule.connectionType === 'lan' ? 'LAN' : 'dial-up'} adapters only`,
          ),
        );
      else
        findings.push(
          finding(
            'shadowed',
            placeOf(input.named(rule), filter),
            `${input.named(by).name} covers the same ${covered.traffic.direction} traffic on this computer and decides: it is to ${by.action.kind}`,
            'delete one of the filters, or make this one more specific',
            packetOf(covered.traffic, somePort),
          ),
        );
    }
    return findings;
  },
};

/** Two filters written for the same traffic are found as written; said once is enough. */
function readAlike(one: Filter, other: Filter): boolean {
  const key = trafficKey(one);
  return key === trafficKey(other) || key === trafficKey(reversed(other));
}
