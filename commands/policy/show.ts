import { IpseckitCommand } from '../../src/cli/base.js';
import { policyArgument } from '../../src/cli/policy-change.js';
import { openStore, storeFlag } from '../../src/cli/store-flag.js';
import { policyNotFound } from '../../src/policy/build.js';
import type { Policy } from '../../src/policy/model.js';
import { printPolicy } from '../../src/policy/print-policy.js';

interface ShownPolicy {
  readonly assigned: boolean;
  readonly path: string;
  readonly policy: Policy;
}

export default class PolicyShowCommand extends IpseckitCommand<ShownPolicy> {
  static override summary = 'show a policy with its rules; keys are not shown';
  static override args = policyArgument;
  static override flags = storeFlag;

  async run(): Promise<ShownPolicy> {
    const { args, flags } = await this.parse(PolicyShowCommand);
    const store = openStore(flags.store);
    const policy = await store.read(args.name);
    if (policy === undefined) throw policyNotFound(args.name);
    const { policies } = await store.list();
    const assigned = policies.some(({ id, assigned }) => assigned && id === policy.id);
    this.print(...printPolicy(policy, assigned));
    return { assigned, path: store.path(policy), policy };
  }
}
