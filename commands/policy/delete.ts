import { localStore } from '../../src/cli/local-store.js';
import { type PolicyChange, PolicyChangeCommand, policyArgument } from '../../src/cli/policy-change.js';
import { policyNotFound } from '../../src/policy/build.js';

export default class PolicyDeleteCommand extends PolicyChangeCommand {
  static override summary = 'delete a policy with everything in it; an assigned one is unassigned first';
  static override args = policyArgument;

  async run(): Promise<PolicyChange> {
    const { name } = (await this.parse(PolicyDeleteCommand)).args;
    if (!(await localStore().delete(name))) throw policyNotFound(name);
    return this.report(name, true, `Policy '${name}' is deleted.`);
  }
}
