import {
  countFindings,
  LintCommand,
  type LintResult,
  lintArguments,
  lintFlags,
} from '../../src/cli/lint-command.js';
import { errorClasses } from '../../src/report/errors.js';

export default class PolicyLintCommand extends LintCommand {
  static override summary = 'check a policy for what is wrong, dangerous, or most likely not meant';
  static override description =
    `Each finding says what to do; where a filter does not get its traffic, a packet shows it. Exits ${errorClasses.INVALID_POLICY.exitCode} when there are errors; warnings and notes exit 0. "man ipseckit-policy" lists all findings.`;
  static override args = lintArguments;
  static override flags = lintFlags;
  static override examples = [
    '<%= config.bin %> policy lint',
    '<%= config.bin %> policy lint --file new.json --local 192.0.2.10',
  ];

  async run(): Promise<LintResult> {
    const { args, flags } = await this.parse(PolicyLintCommand);
    const result = await this.check(args.name, flags);
    this.printFindings(result.findings);
    this.print(`Policy '${result.policy}': ${countFindings(result.findings)} found.`);
    return result;
  }
}
