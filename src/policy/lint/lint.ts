/** Checks a policy: `policy lint` in full, and the part that every change of a policy goes through. Pure. */
import { type PolicyFinding, worstFirst } from '../findings.js';
import type { Policy } from '../model.js';
import { type Check, type LintContext, lintInput } from './check.js';
import { reviewChecks, structureChecks } from './checks.js';

/** Everything found, the worst first. `onProgress` hears what share, 0 to 1, is done. */
export function lintPolicy(
  policy: Policy,
  context: LintContext,
  onProgress: (share: number) => void = () => {},
): PolicyFinding[] {
  const checks = [...structureChecks, ...reviewChecks];
  let done = 0;
  const input = lintInput(policy, context, share => onProgress((done + share) / checks.length));
  const findings = checks.flatMap(check => {
    const found = check.run(input);
    done++;
    onProgress(done / checks.length);
    return found;
  });
  return worstFirst(findings);
}

/** What the policy as written has wrong, the worst first. */
export function checkStructure(policy: Policy, checks: readonly Check[] = structureChecks): PolicyFinding[] {
  const input = lintInput(policy, { localAddresses: [] });
  return worstFirst(checks.flatMap(check => check.run(input)));
}
