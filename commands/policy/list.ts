import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { describeError } from '../../src/cli/errors.js';
import { openStore, storeFlag } from '../../src/cli/store-flag.js';
import type { PolicyListing, PolicySummary } from '../../src/policy/stores/store.js';

export default class PolicyListCommand extends IpseckitCommand<PolicyListing> {
  static override summary = 'list the policies of a store';
  static override description =
    'An assigned local policy is "overridden" while the policy agent has one of a directory in force.';
  static override flags = storeFlag;

  async run(): Promise<PolicyListing> {
    const { flags } = await this.parse(PolicyListCommand);
    const store = openStore(flags.store);
    const listing = await store.list();
    const { policies, problems } = listing;
    const overridden = store.kind === 'local' ? await overriddenPolicy() : undefined;
    const assignment = ({ id, assigned }: PolicySummary) =>
      assigned ? (id === overridden ? 'Yes, overridden' : 'Yes') : 'No';
    if (policies.length === 0) this.print(`There are no policies in ${store.where}.`);
    else
      this.printTable(
        ['Name', 'Assigned', 'Rules', 'Id'],
        policies.map(policy => [policy.name, assignment(policy), String(policy.rules), policy.id]),
      );
    for (const problem of problems) {
      this.logToStderr(describeError(problem).trimEnd());
      process.exitCode = problem.exitCode;
    }
    return listing;
  }
}

/** The assigned local policy that gives way to a directory's, where an agent can be asked. */
async function overriddenPolicy(): Promise<string | undefined> {
  try {
    return (await agentCall('status', {})).overridden?.id;
  } catch {
    return undefined;
  }
}
