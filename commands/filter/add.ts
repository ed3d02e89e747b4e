import { type EditedPolicy, editRules } from '../../src/cli/policy-edit.js';
import { missing, PolicyEditCommand, ruleArguments } from '../../src/cli/policy-edit-command.js';
import { addFilters } from '../../src/policy/edit.js';
import { parseFilterWord } from '../../src/policy/words.js';

export default class FilterAddCommand extends PolicyEditCommand {
  static override summary = 'add filters to a rule of a stored policy';
  static override description = 'Filters are written as for ipsecpol; quote them for the shell.';
  static override examples = ["<%= config.bin %> filter add Lab Peer '0+192.0.2.21' '0+192.0.2.22:80:TCP'"];
  static override usage = 'filter add POLICY RULE FILTER...';
  static override args = ruleArguments;
  static override strict = false;

  async run(): Promise<EditedPolicy | undefined> {
    const { args, argv } = await this.parse(FilterAddCommand);
    const filters = argv
      .slice(Object.keys(ruleArguments).length)
      .map(text => parseFilterWord(String(text), 'filter'));
    if (filters.length === 0) throw missing('a FILTER', 'write it behind the rule, for example 0+192.0.2.21');
    const edited = await editRules(args.policy, async (policy, lookUps) =>
      addFilters(policy, args.rule, filters, await lookUps.for({ filters })),
    );
    return this.report(
      edited,
      `${filters.length === 1 ? 'A filter is' : `${filters.length} filters are`} added to rule '${args.rule}' of policy '${edited.policy}'.`,
    );
  }
}
