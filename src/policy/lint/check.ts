import type { IpAddress } from '../../wire/ip/address.js';
import { describeFilter, describeRule } from '../describe.js';
import type { ExemptionLevel } from '../exemptions.js';
import { type ExpandContext, type Expansion, expandPolicies } from '../expand.js';
import { FilterIndex } from '../filter-index.js';
import type { FindingPlace, PolicyFinding } from '../findings.js';
import type { Filter, Policy, Rule } from '../model.js';

/** What checks know of the computer that the policy is for. */
export interface LintContext extends ExpandContext {
  readonly noDefaultExempt?: ExemptionLevel;
  readonly broadcastAddresses?: readonly IpAddress[];
  /** The remote shell that the policy is checked from. */
  readonly shell?: ShellConnection;
}

/** A TCP connection to this computer. */
export interface ShellConnection {
  readonly client: IpAddress;
  readonly clientPort: number;
  readonly server: IpAddress;
  readonly serverPort: number;
}

/** A rule with the words for it. */
export interface NamedRule {
  readonly rule: Rule;
  /** `rule 'Peer'`. */
  readonly name: string;
}

/** What a check works on. */
export interface LintInput {
  readonly policy: Policy;
  readonly rules: readonly NamedRule[];
  /** One of `rules`, for checks that start from specific filters. */
  named(rule: Rule): NamedRule;
  readonly context: LintContext;
  /** The specific filters on this computer; worked out when first asked for. */
  traffic(): Traffic;
  /** Says that a share, 0 to 1, of the check is done. */
  progress(share: number): void;
}

/** The policy as this computer would enforce it. */
export interface Traffic {
  readonly expansion: Expansion<{ readonly policy: Policy }>;
  readonly index: FilterIndex;
}

/** One check: a file of this folder each. */
export interface Check {
  /** Its file's name. */
  readonly name: string;
  run(input: LintInput): readonly PolicyFinding[];
}

/** Prepares a policy for the checks. */
export function lintInput(
  policy: Policy,
  context: LintContext,
  progress: (share: number) => void = () => {},
): LintInput {
  let traffic: Traffic | undefined;
  const rules = policy.rules.map((rule, place) => ({ rule, name: describeRule(rule, place) }));
  const byRule = new Map(rules.map(named => [named.rule, named]));
  return {
    policy,
    rules,
    named: rule => byRule.get(rule) ?? { rule, name: describeRule(rule, 0) },
    context,
    progress,
    traffic: () => {
      traffic ??= trafficOf(policy, context);
      return traffic;
    },
  };
}

function trafficOf(policy: Policy, context: ExpandContext): Traffic {
  const expansion = expandPolicies([{ policy }], context);
  return { expansion, index: new FilterIndex(expansion.filters.map(({ filter }) => filter)) };
}

/** The place of a rule, or of one of its filters. */
export function placeOf({ rule, name }: NamedRule, filter?: Filter): FindingPlace {
  return {
    rule: name,
    ruleId: rule.id,
    ...(filter === undefined ? {} : { filter: describeFilter(filter), filterId: filter.id }),
  };
}
