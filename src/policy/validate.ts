/** Checks a policy for what cannot work and what most likely is not meant. Pure; everything found is data. */
import type { PolicyFinding } from './findings.js';
import { checkStructure } from './lint/lint.js';
import type { Policy } from './model.js';

/**
 * What every change of a policy is checked for, the policy by itself; errors first, each group in the order of the
 * checks. `lintPolicy` finds more, knowing the computer that the policy is for.
 */
export function validatePolicy(policy: Policy): PolicyFinding[] {
  return checkStructure(policy);
}
