import { localStore } from '../../src/cli/local-store.js';
import { type PolicyChange, PolicyChangeCommand, policyArgument } from '../../src/cli/policy-change.js';

export default class PolicyAssignCommand extends PolicyChangeCommand {
  static override summary = 'assign a policy: the agent enforces it, and no other of this computer';
  static override args = policyArgument;

  async run(): Promise<PolicyChange> {
    const { name } = (await this.parse(PolicyAssignCommand)).args;
    await localStore().assign(name);
    return this.report(name, true, `Policy '${name}' is assigned.`);
  }
}
