import type { Policy } from '../policy/model.js';
import { validatePolicy } from '../policy/validate.js';
import { IpseckitError } from '../report/errors.js';

/**
 * Warnings as lines. Throws `IpseckitError` (INVALID_POLICY) when the policy cannot work; nothing is changed then.
 * A tunnel takes two rules: unless the policy is `complete`, its second one is not missed yet.
 */
export function checkedPolicy(policy: Policy, complete: boolean): string[] {
  const findings = validatePolicy(policy).filter(({ code }) => complete || code !== 'tunnel-partner');
  const [first, ...others] = findings.filter(({ severity }) => severity === 'error');
  if (first !== undefined)
    throw new IpseckitError('INVALID_POLICY', [first, ...others].map(({ message }) => message).join('; '), {
      next: first.next,
    });
  return findings.map(({ message, next }) => `warning: ${message}; ${next}`);
}
