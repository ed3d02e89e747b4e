import type { FilterChange, PlannedFilter, PolicyPlan } from '../agent/plan.js';

/** Why a policy changes nothing although it may differ; nothing where it is simply in force. */
export function printOverridden({ overriddenBy }: PolicyPlan): string[] {
  return overriddenBy === undefined
    ? []
    : [`The directory's policy '${overriddenBy}' is in force, before any local policy.`];
}

/** A plan line by line: filters that come (+), go (-) and change (~), and the SAs that end. */
export function printPlan(plan: PolicyPlan): string[] {
  const { filters, changes, mainModes, quickModes } = plan;
  const left = filters.added + filters.removed + filters.changed - changes.length;
  return [
    ...changes.flatMap(printChange),
    ...(left > 0 ? [`… and ${left} more filters`] : []),
    ...mainModes.map(({ local, peer }) => `- main mode SA ${local} - ${peer}`),
    ...quickModes.map(
      ({ local, peer, mode, traffic }) => `- quick mode SA ${local} - ${peer} ${mode}, ${traffic}`,
    ),
    `${filters.added} filters to add, ${filters.removed} to remove, ${filters.changed} to change, ${filters.unchanged} stay; ${mainModes.length} main mode and ${quickModes.length} quick mode SAs to delete.`,
  ];
}

function printChange({ direction, traffic, before, after, differs }: FilterChange): string[] {
  const what = `${direction} ${traffic}`;
  if (before === undefined) return after === undefined ? [] : [`+ ${what}: ${described(after)}`];
  if (after === undefined) return [`- ${what}: ${described(before)}`];
  return [`~ ${what}: ${described(before)} -> ${described(after)}`, `    differs in ${differs.join(', ')}`];
}

function described({ policy, rule, action }: PlannedFilter): string {
  return `${action} (${policy}${rule === undefined ? '' : ` / ${rule}`})`;
}
