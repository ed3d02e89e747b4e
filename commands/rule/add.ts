import { Args, Flags } from '@oclif/core';
import { type EditedPolicy, editRules } from '../../src/cli/policy-edit.js';
import { missing, PolicyEditCommand } from '../../src/cli/policy-edit-command.js';
import { ruleChangesOf, ruleFlags } from '../../src/cli/rule-flags.js';
import { terminalPrompts } from '../../src/cli/wizard/prompts.js';
import { askNewRule } from '../../src/cli/wizard/rule.js';
import { addRule } from '../../src/policy/edit.js';

export default class RuleAddCommand extends PolicyEditCommand {
  static override summary = 'add a rule to a policy, by questions on a terminal or by flags';
  static override description =
    'Without a security method the ones of ipsecpol are used, without authentication Kerberos.';
  static override examples = [
    '<%= config.bin %> rule add Lab',
    '<%= config.bin %> rule add Lab --name Peer --source me --destination 192.0.2.20 --esp aes128-sha256 --psk-file key',
    '<%= config.bin %> rule add Lab --name "No SQL" --source any --destination me --protocol udp --destination-port 1434 --one-way --block',
    '<%= config.bin %> rule add Lab --default-response --psk-file key',
  ];
  static override args = { policy: Args.string({ required: true, description: 'the policy, in any case' }) };
  static override flags = {
    ...ruleFlags,
    'default-response': Flags.boolean({
      summary: 'add the default response rule: it answers peers that no other rule covers',
      exclusive: ['source', 'destination', 'filter', 'permit', 'block', 'tunnel'],
    }),
  };

  async run(): Promise<EditedPolicy | undefined> {
    const { args, flags, raw } = await this.parse(RuleAddCommand);
    const { json: _, ...given } = flags;
    const text = (policy: string) => `A rule is added to policy '${policy}'.`;
    if (Object.keys(given).length === 0) {
      if (!this.interactive)
        throw missing(
          '--source',
          'say which traffic the rule covers: --source and --destination, or --filter',
        );
      return this.asking(async () => {
        const changes = await askNewRule(await terminalPrompts(), true);
        const edited = await editRules(args.policy, async (policy, lookUps) =>
          addRule(policy, changes, await lookUps.for(changes)),
        );
        return this.report(edited, text(edited.policy));
      });
    }
    const changes = ruleChangesOf(flags, raw);
    if (changes.filters === undefined && !flags['default-response'])
      throw missing('--source', 'say which traffic the rule covers: --source and --destination, or --filter');
    const edited = await editRules(args.policy, async (policy, lookUps) =>
      addRule(policy, changes, await lookUps.for(changes)),
    );
    return this.report(edited, text(edited.policy));
  }
}
