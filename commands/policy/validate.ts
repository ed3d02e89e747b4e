import { IpseckitCommand } from '../../src/cli/base.js';
import { localStore } from '../../src/cli/local-store.js';
import { policyArgument } from '../../src/cli/policy-change.js';
import { policyNotFound } from '../../src/policy/build.js';
import type { PolicyFinding } from '../../src/policy/findings.js';
import { validatePolicy } from '../../src/policy/validate.js';
import { errorClasses } from '../../src/report/errors.js';

export default class PolicyValidateCommand extends IpseckitCommand<readonly PolicyFinding[]> {
  static override summary = 'check a policy for what cannot work and what most likely is not meant';
  static override description =
    `Exits ${errorClasses.INVALID_POLICY.exitCode} when there are findings of severity error; warnings alone exit 0.`;
  static override args = policyArgument;

  async run(): Promise<readonly PolicyFinding[]> {
    const { args } = await this.parse(PolicyValidateCommand);
    const policy = await localStore().read(args.name);
    if (policy === undefined) throw policyNotFound(args.name);
    const findings = validatePolicy(policy);
    for (const { severity, message, next } of findings)
      this.print(`${severity}: ${message}`, `    next: ${next}`);
    if (findings.length === 0) this.print(`Policy '${policy.name}' is in order.`);
    if (findings.some(({ severity }) => severity === 'error'))
      process.exitCode = errorClasses.INVALID_POLICY.exitCode;
    return findings;
  }
}
