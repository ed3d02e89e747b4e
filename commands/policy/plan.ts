import { Args } from '@oclif/core';
import { isEmptyPlan, type PolicyPlan } from '../../src/agent/plan.js';
import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { printOverridden, printPlan } from '../../src/cli/plan-text.js';
import { policyFileFlag, readPolicy } from '../../src/cli/policy-source.js';
import { policyToDocument } from '../../src/policy/document.js';

/** An agent with many filters needs a while to work it out. */
const timeoutMs = 60_000;

export default class PolicyPlanCommand extends IpseckitCommand<PolicyPlan> {
  static override summary = 'show what applying a policy would change in the running agent';
  static override description =
    'Filters that come, go and change, and the SAs that would be deleted. Exits 0 when nothing would change, 2 when something would. "policy apply" does it.';
  static override args = {
    name: Args.string({ description: 'the policy, in any case; the assigned one as stored when left out' }),
  };
  static override flags = { file: policyFileFlag };

  async run(): Promise<PolicyPlan> {
    const { args, flags } = await this.parse(PolicyPlanCommand);
    const policy = await readPolicy(args.name, flags.file);
    const plan = await agentCall('plan', { policy: policyToDocument(policy) }, { timeoutMs });
    this.print(
      ...printOverridden(plan),
      ...(isEmptyPlan(plan) ? ['Nothing would change.'] : printPlan(plan)),
    );
    if (!isEmptyPlan(plan)) process.exitCode = 2;
    return plan;
  }
}
