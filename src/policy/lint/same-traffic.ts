/** Filters written for the very same traffic. */
import { finding, type PolicyFinding } from '../findings.js';
import type { Filter } from '../model.js';
import { type Check, type NamedRule, placeOf } from './check.js';
import { reversed, trafficKey } from './traffic-key.js';

export const sameTrafficCheck: Check = {
  name: 'same-traffic',
  run({ rules }) {
    const findings: PolicyFinding[] = [];
    const first = new Map<string, { readonly named: NamedRule; readonly filter: Filter }>();
    for (const named of rules) {
      if (!named.rule.active) continue;
      for (const filter of named.rule.filterList?.filters ?? []) {
        let before: NamedRule | undefined;
        for (const key of waysOf(named, filter)) {
          const known = first.get(key);
          if (known === undefined) first.set(key, { named, filter });
          else if (known.filter !== filter) before ??= known.named;
        }
        if (before !== undefined) findings.push(sameFinding(named, filter, before));
      }
    }
    return findings;
  },
};

function waysOf({ rule }: NamedRule, filter: Filter): string[] {
  const there = trafficKey(filter);
  return filter.mirrored && rule.tunnelEndpoint === undefined
    ? [there, trafficKey(reversed(filter))]
    : [there];
}

function sameFinding(named: NamedRule, filter: Filter, before: NamedRule): PolicyFinding {
  const [kind, kindBefore] = [named.rule.action.kind, before.rule.action.kind];
  if (before.rule === named.rule || kind === kindBefore)
    return finding(
      'duplicate-filter',
      placeOf(named, filter),
      `${before.name} covers the same traffic`,
      'delete one of the filters',
    );
  return finding(
    'contradiction',
    placeOf(named, filter),
    `this is to ${kind}, but ${before.name} is to ${kindBefore} the same traffic`,
    'delete one of the filters; block wins over permit, permit over negotiate',
  );
}
