import { type PolicyChange, PolicyChangeCommand, policyArgument } from '../../src/cli/policy-change.js';
import { openStore, storeFlag } from '../../src/cli/store-flag.js';

export default class PolicyUnassignCommand extends PolicyChangeCommand {
  static override summary = 'unassign a policy: it stays stored and is no longer enforced';
  static override args = policyArgument;
  static override flags = storeFlag;

  async run(): Promise<PolicyChange> {
    const { args, flags } = await this.parse(PolicyUnassignCommand);
    const { name } = args;
    const store = openStore(flags.store);
    const changed = await store.unassign(name);
    return this.report(
      store,
      name,
      changed,
      `Policy '${name}' ${changed ? 'is no longer' : 'was not'} assigned.`,
    );
  }
}
