import { Args } from '@oclif/core';
import { IpseckitCommand } from '../../src/cli/base.js';
import { readPolicyOrFile } from '../../src/cli/policy-source.js';
import { diffPolicies, type PolicyDifference, printDifference } from '../../src/policy/diff.js';

const policyWord = 'a policy by its name, or a file (with a slash, or .json or .reg at its end)';

export default class PolicyDiffCommand extends IpseckitCommand<readonly PolicyDifference[]> {
  static override summary = 'show what changes from one policy to another';
  static override description =
    'Ids do not count; of preshared keys only that they differ is said. Exits 0 when there is no difference, 2 when there are some.';
  static override args = {
    before: Args.string({ required: true, description: policyWord }),
    after: Args.string({ required: true, description: policyWord }),
  };
  static override examples = [
    '<%= config.bin %> policy diff Servers "Servers (new)"',
    '<%= config.bin %> policy diff Servers ./servers.json',
  ];

  async run(): Promise<readonly PolicyDifference[]> {
    const { args } = await this.parse(PolicyDiffCommand);
    const differences = diffPolicies(await readPolicyOrFile(args.before), await readPolicyOrFile(args.after));
    this.print(
      ...(differences.length === 0 ? ['There is no difference.'] : differences.map(printDifference)),
    );
    if (differences.length > 0) process.exitCode = 2;
    return differences;
  }
}
