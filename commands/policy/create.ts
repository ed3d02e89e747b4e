import { Args, Flags } from '@oclif/core';
import { localStore } from '../../src/cli/local-store.js';
import { createByAsking, startOf } from '../../src/cli/policy-create.js';
import { type EditedPolicy, editPolicy } from '../../src/cli/policy-edit.js';
import { missing, PolicyEditCommand } from '../../src/cli/policy-edit-command.js';
import { policyChangesOf, policyFlags } from '../../src/cli/policy-flags.js';
import { terminalPrompts } from '../../src/cli/wizard/prompts.js';
import { type BuiltinName, builtinNames } from '../../src/policy/builtin.js';
import { changePolicy } from '../../src/policy/edit.js';

export default class PolicyCreateCommand extends PolicyEditCommand {
  static override summary = 'create a policy, by questions on a terminal or by flags';
  static override description =
    'Asks when there is a terminal and no flag says anything about the policy. "ipseckit rule add" adds rules.';
  static override examples = [
    '<%= config.bin %> policy create',
    '<%= config.bin %> policy create Lab --ike aes256-sha256-modp2048 --ike-lifetime 3600',
    '<%= config.bin %> policy create --builtin secure-server --assign',
  ];
  static override args = { name: Args.string({ description: 'name of the new policy' }) };
  static override flags = {
    ...policyFlags,
    builtin: Flags.option({
      options: Object.keys(builtinNames) as BuiltinName[],
      summary: 'start from a built-in policy of Windows',
    })(),
  };

  async run(): Promise<EditedPolicy | undefined> {
    const { args, flags } = await this.parse(PolicyCreateCommand);
    const { json: _, ...given } = flags;
    if (this.interactive && Object.keys(given).length === 0)
      return this.asking(async () => {
        const say = (text: string) => this.logToStderr(text);
        const edited = await createByAsking(await terminalPrompts(), { name: args.name }, say);
        return this.report(edited, `Policy '${edited.policy}' is created.`);
      });
    if (args.name === undefined && flags.builtin === undefined)
      throw missing('the NAME of the policy', 'write ipseckit policy create NAME');
    const policy = changePolicy(startOf(args.name, flags.builtin), policyChangesOf(flags));
    const edited = await editPolicy({
      store: localStore(),
      create: policy,
      assign: flags.assign,
    });
    return this.report(
      edited,
      `Policy '${edited.policy}' is created${edited.assigned ? ' and assigned' : ''}.`,
    );
  }
}
