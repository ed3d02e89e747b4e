/** The policy's frame: its name, and rules that get in one another's way by name or kind. */
import { finding, type PolicyFinding } from '../findings.js';
import { type Check, type NamedRule, placeOf } from './check.js';

export const ruleListCheck: Check = {
  name: 'rule-list',
  run: ({ policy, rules }) => [
    ...(policy.name.trim() === '' ? [finding('no-name', {}, 'the policy has no name', 'give it one')] : []),
    ...repeated(rules),
    ...rules.flatMap(shapeFindings),
  ],
};

function repeated(rules: readonly NamedRule[]): PolicyFinding[] {
  const findings: PolicyFinding[] = [];
  const ids = new Set<string>();
  const names = new Set<string>();
  for (const named of rules) {
    const { id, name } = named.rule;
    if (ids.has(id))
      findings.push(
        finding('duplicate-rule-id', placeOf(named), `another rule has the id ${id}`, 'delete one of them'),
      );
    ids.add(id);
    const folded = name?.toLowerCase();
    if (folded === undefined) continue;
    if (names.has(folded))
      findings.push(
        finding(
          'duplicate-rule-name',
          placeOf(named),
          'another rule has this name',
          'rename one: -r changes only the first',
        ),
      );
    names.add(folded);
  }
  if (rules.filter(({ rule }) => rule.active && rule.filterList === undefined).length > 1)
    findings.push(
      finding(
        'several-default-rules',
        {},
        'there are several default response rules',
        'only the first counts',
      ),
    );
  return findings;
}

function shapeFindings(named: NamedRule): PolicyFinding[] {
  const { filterList, action } = named.rule;
  if (filterList?.filters.length === 0)
    return [finding('no-filters', placeOf(named), 'its filter list is empty', 'give it filters with -f')];
  if (filterList === undefined && action.kind !== 'negotiate')
    return [
      finding(
        'default-rule-action',
        placeOf(named),
        'the default response rule can only negotiate',
        'use a rule with filters',
      ),
    ];
  return [];
}
