import { IpseckitCommand } from '../../src/cli/base.js';
import { describeError } from '../../src/cli/errors.js';
import { localStore } from '../../src/cli/local-store.js';
import type { PolicyListing } from '../../src/policy/stores/store.js';

export default class PolicyListCommand extends IpseckitCommand<PolicyListing> {
  static override summary = 'list the policies stored on this computer';

  async run(): Promise<PolicyListing> {
    await this.parse(PolicyListCommand);
    const store = localStore();
    const listing = await store.list();
    const { policies, problems } = listing;
    if (policies.length === 0) this.print(`There are no policies in ${store.folder}.`);
    else
      this.printTable(
        ['Name', 'Assigned', 'Rules', 'Id'],
        policies.map(({ name, assigned, rules, id }) => [name, assigned ? 'Yes' : 'No', String(rules), id]),
      );
    for (const problem of problems) {
      this.logToStderr(describeError(problem).trimEnd());
      process.exitCode = problem.exitCode;
    }
    return listing;
  }
}
