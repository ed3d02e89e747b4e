import { type EditedPolicy, editRules } from '../../src/cli/policy-edit.js';
import { PolicyEditCommand, ruleArguments } from '../../src/cli/policy-edit-command.js';
import { removeRule } from '../../src/policy/edit.js';

export default class RuleRemoveCommand extends PolicyEditCommand {
  static override summary = 'remove a rule from a policy';
  static override args = ruleArguments;

  async run(): Promise<EditedPolicy | undefined> {
    const { args } = await this.parse(RuleRemoveCommand);
    const edited = await editRules(args.policy, async policy => removeRule(policy, args.rule));
    return this.report(edited, `Rule '${args.rule}' is removed from policy '${edited.policy}'.`);
  }
}
