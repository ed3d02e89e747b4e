import { localStore } from '../../src/cli/local-store.js';
import { type EditedPolicy, editRules, readPolicy } from '../../src/cli/policy-edit.js';
import { missing, PolicyEditCommand, ruleArguments } from '../../src/cli/policy-edit-command.js';
import { ruleChangesOf, ruleFlags } from '../../src/cli/rule-flags.js';
import { terminalPrompts } from '../../src/cli/wizard/prompts.js';
import { askRuleChanges } from '../../src/cli/wizard/rule.js';
import { editRule, findRule } from '../../src/policy/edit.js';

export default class RuleEditCommand extends PolicyEditCommand {
  static override summary = 'change a rule of a policy: what is given replaces what is there';
  static override examples = [
    '<%= config.bin %> rule edit Lab Peer',
    '<%= config.bin %> rule edit Lab Peer --esp aes256-sha256 --pfs modp2048',
    '<%= config.bin %> rule edit Lab "No SQL" --destination-port 1433',
  ];
  static override args = ruleArguments;
  static override flags = ruleFlags;

  async run(): Promise<EditedPolicy | undefined> {
    const { args, flags, raw } = await this.parse(RuleEditCommand);
    const { json: _, ...given } = flags;
    const text = (edited: EditedPolicy) =>
      `Rule '${args.rule}' of policy '${edited.policy}' ${edited.changed ? 'is changed' : 'is as it was'}.`;
    if (Object.keys(given).length === 0) {
      if (!this.interactive)
        throw missing('what to change', 'give a flag, for example --esp or --destination; --help lists them');
      return this.asking(async () => {
        const rule = findRule(await readPolicy(localStore(), args.policy), args.rule);
        const changes = await askRuleChanges(await terminalPrompts(), rule);
        const edited = await editRules(args.policy, async (policy, lookUps) =>
          editRule(policy, args.rule, changes, await lookUps.for(changes)),
        );
        return this.report(edited, text(edited));
      });
    }
    const edited = await editRules(args.policy, async (policy, lookUps) => {
      const { filterList, tunnelEndpoint } = findRule(policy, args.rule);
      const before = { filters: filterList?.filters ?? [], tunnel: tunnelEndpoint !== undefined };
      const changes = ruleChangesOf(flags, raw, before);
      return editRule(policy, args.rule, changes, await lookUps.for(changes));
    });
    return this.report(edited, text(edited));
  }
}
