import { Args } from '@oclif/core';
import { IpseckitCommand } from '../../src/cli/base.js';
import { printOverridden, printPlan } from '../../src/cli/plan-text.js';
import { applyPolicy, type PolicyApplication } from '../../src/cli/policy-apply.js';
import { checkedPolicy } from '../../src/cli/policy-check.js';
import { policyFileFlag, readPolicy } from '../../src/cli/policy-source.js';

export default class PolicyApplyCommand extends IpseckitCommand<PolicyApplication> {
  static override summary =
    'put a policy in force: store it, assign it, and change what differs in the agent';
  static override description =
    'SAs whose filters stay as they are go on. With --file the policy takes the place of the stored one of its name. Exits 0 when nothing had to change, 2 when something was changed; a policy with errors is refused.';
  static override args = {
    name: Args.string({ description: 'the policy, in any case; the assigned one as stored when left out' }),
  };
  static override flags = { file: policyFileFlag };

  async run(): Promise<PolicyApplication> {
    const { args, flags } = await this.parse(PolicyApplyCommand);
    const policy = await readPolicy(args.name, flags.file);
    for (const warning of checkedPolicy(policy, true)) this.logToStderr(warning);
    const result = await applyPolicy(policy);
    const { changed, plan } = result;
    if (plan !== undefined && changed) this.print(...printPlan(plan));
    this.print(
      changed ? `Policy '${policy.name}' is applied.` : `Policy '${policy.name}' was in force already.`,
    );
    if (plan !== undefined) this.print(...printOverridden(plan));
    if (plan === undefined)
      this.logToStderr(
        'note: the policy agent is not running; the policy takes effect with "ipseckit agent start"',
      );
    if (changed) process.exitCode = 2;
    return result;
  }
}
