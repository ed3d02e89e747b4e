import { Flags } from '@oclif/core';
import { localStore } from '../../src/cli/local-store.js';
import { policyArgument } from '../../src/cli/policy-change.js';
import { editByAsking } from '../../src/cli/policy-create.js';
import { type EditedPolicy, editPolicy } from '../../src/cli/policy-edit.js';
import { missing, PolicyEditCommand } from '../../src/cli/policy-edit-command.js';
import { policyChangesOf, policyFlags } from '../../src/cli/policy-flags.js';
import { terminalPrompts } from '../../src/cli/wizard/prompts.js';
import { changePolicy } from '../../src/policy/edit.js';
import { requireName } from '../../src/policy/words.js';

export default class PolicyEditPolicyCommand extends PolicyEditCommand {
  static override summary = 'change a policy, by questions on a terminal or by flags';
  static override description =
    'Asks when there is a terminal and no flag is given. Flags change the settings; rules change with "ipseckit rule".';
  static override examples = [
    '<%= config.bin %> policy edit Lab',
    '<%= config.bin %> policy edit Lab --poll-interval 60 --master-pfs',
  ];
  static override args = policyArgument;
  static override flags = {
    ...policyFlags,
    name: Flags.string({ summary: 'new name of the policy', helpValue: 'NAME' }),
  };

  async run(): Promise<EditedPolicy | undefined> {
    const { args, flags } = await this.parse(PolicyEditPolicyCommand);
    const { json: _, ...given } = flags;
    const text = (edited: EditedPolicy) =>
      `Policy '${edited.policy}' ${edited.changed ? 'is changed' : 'is as it was'}.`;
    if (Object.keys(given).length === 0) {
      if (!this.interactive)
        throw missing(
          'what to change',
          'give a flag, for example --poll-interval or --ike; --help lists them',
        );
      return this.asking(async () => {
        const edited = await editByAsking(await terminalPrompts(), args.name, line => this.logToStderr(line));
        return edited && this.report(edited, text(edited));
      });
    }
    const changes = {
      ...policyChangesOf(flags),
      ...(flags.name === undefined ? {} : { name: requireName(flags.name, '--name') }),
    };
    const edited = await editPolicy({
      store: localStore(),
      name: args.name,
      assign: flags.assign,
      change: policy => changePolicy(policy, changes),
    });
    return this.report(edited, text(edited));
  }
}
