import { type PolicyChange, PolicyChangeCommand, policyArgument } from '../../src/cli/policy-change.js';
import { openStore, storeFlag } from '../../src/cli/store-flag.js';
import { policyNotFound } from '../../src/policy/build.js';

export default class PolicyDeleteCommand extends PolicyChangeCommand {
  static override summary = 'delete a policy with everything in it; an assigned one is unassigned first';
  static override args = policyArgument;
  static override flags = storeFlag;

  async run(): Promise<PolicyChange> {
    const { args, flags } = await this.parse(PolicyDeleteCommand);
    const { name } = args;
    const store = openStore(flags.store);
    if (!(await store.delete(name))) throw policyNotFound(name);
    return this.report(store, name, true, `Policy '${name}' is deleted.`);
  }
}
