import { extname } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { IpseckitCommand } from '../../src/cli/base.js';
import { exportFormats, exportPolicies, type PolicyExport } from '../../src/cli/policy-files.js';
import { printNote } from '../../src/policy/note.js';
import { IpseckitError } from '../../src/report/errors.js';

export default class PolicyExportCommand extends IpseckitCommand<PolicyExport> {
  static override summary =
    'write policies as a registry file, as JSON, or as the configuration of another program';
  static override description =
    'What the format has no room for is said. reg and json take all policies when none is named, the others the assigned one. Files with keys have mode 0600; stdout gets placeholders instead of keys.';
  static override strict = false;
  static override args = {
    name: Args.string({ description: 'the policies, in any case' }),
  };
  static override flags = {
    format: Flags.option({
      options: exportFormats,
      summary: 'what to write; the ending of FILE says it for reg and json',
    })(),
    output: Flags.string({
      char: 'o',
      helpValue: 'FILE',
      summary: 'file to write, with others beside it where the format has several; stdout when left out',
    }),
    'with-keys': Flags.boolean({ summary: 'print the preshared keys on stdout' }),
    local: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'ADDRESS',
      summary: 'address of the computer the configuration is for; those of this computer when left out',
    }),
  };
  static override examples = [
    '<%= config.bin %> policy export -o policies.reg',
    '<%= config.bin %> policy export Lab --format swanctl -o /etc/swanctl/conf.d/lab.conf',
  ];

  async run(): Promise<PolicyExport> {
    const { argv, flags } = await this.parse(PolicyExportCommand);
    const ending = exportFormats.find(format => `.${format}` === extname(flags.output ?? '').toLowerCase());
    const format = flags.format ?? ending;
    if (format === undefined)
      throw new IpseckitError('USAGE', 'the format is missing', {
        next: `add --format ${exportFormats.join('|')}`,
      });
    const result = await exportPolicies({
      names: argv.map(String),
      format,
      output: flags.output,
      withKeys: flags['with-keys'],
      local: flags.local ?? [],
    });
    const single = result.files.length === 1;
    for (const { name, path, text } of result.files) {
      if (path !== undefined) this.print(`${name}: ${path}`);
      else {
        if (!single) this.print(`# ${name}`);
        // To the letter: it may go into a file.
        this.log(text?.trimEnd() ?? '');
      }
    }
    for (const note of result.notes) this.logToStderr(printNote(note));
    return result;
  }
}
