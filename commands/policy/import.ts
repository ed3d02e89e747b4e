import { Args, Flags } from '@oclif/core';
import { agentCallIfRunning } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { importFormats, importPolicies, type PolicyImport } from '../../src/cli/policy-files.js';
import { printNote } from '../../src/policy/note.js';

export default class PolicyImportCommand extends IpseckitCommand<PolicyImport> {
  static override summary = 'read policies from a file into the store of this computer';
  static override description =
    'All of the file is imported, or nothing. A policy takes the place of the one with its id. What ipseckit understood otherwise than written is said.';
  static override args = {
    file: Args.string({ required: true, description: 'the file; - is stdin' }),
  };
  static override flags = {
    format: Flags.option({
      options: importFormats,
      summary: "the file's format; its name or content says it when left out",
    })(),
    assign: Flags.boolean({ summary: 'assign the policy that is assigned in the file, or its only one' }),
    replace: Flags.boolean({ summary: 'also take the place of another policy of the same name' }),
  };
  static override examples = [
    '<%= config.bin %> policy import local.reg',
    '<%= config.bin %> policy import lab.json --assign',
  ];

  async run(): Promise<PolicyImport> {
    const { args, flags } = await this.parse(PolicyImportCommand);
    const { assign, replace } = flags;
    const result = await importPolicies(args.file, flags.format, { assign, replace });
    for (const { name, rules, replaced } of result.policies)
      this.print(
        `Policy '${name}' is ${replaced ? 'replaced' : 'imported'} (${rules} ${rules === 1 ? 'rule' : 'rules'}).`,
      );
    if (result.assigned !== undefined) this.print(`Policy '${result.assigned}' is assigned.`);
    for (const note of result.notes) this.logToStderr(printNote(note));
    await agentCallIfRunning('reload', {});
    return result;
  }
}
