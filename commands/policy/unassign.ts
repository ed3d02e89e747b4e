import { localStore } from '../../src/cli/local-store.js';
import { type PolicyChange, PolicyChangeCommand, policyArgument } from '../../src/cli/policy-change.js';

export default class PolicyUnassignCommand extends PolicyChangeCommand {
  static override summary = 'unassign a policy: it stays stored and is no longer enforced';
  static override args = policyArgument;

  async run(): Promise<PolicyChange> {
    const { name } = (await this.parse(PolicyUnassignCommand)).args;
    const changed = await localStore().unassign(name);
    return this.report(name, changed, `Policy '${name}' ${changed ? 'is no longer' : 'was not'} assigned.`);
  }
}
