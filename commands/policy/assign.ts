import { type PolicyChange, PolicyChangeCommand, policyArgument } from '../../src/cli/policy-change.js';
import { openStore, storeFlag } from '../../src/cli/store-flag.js';

export default class PolicyAssignCommand extends PolicyChangeCommand {
  static override summary = 'assign a policy: the agent enforces it, and no other of this computer';
  static override args = policyArgument;
  static override flags = storeFlag;

  async run(): Promise<PolicyChange> {
    const { args, flags } = await this.parse(PolicyAssignCommand);
    const { name } = args;
    const store = openStore(flags.store);
    await store.assign(name);
    return this.report(store, name, true, `Policy '${name}' is assigned.`);
  }
}
