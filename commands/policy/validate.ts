import {
  countFindings,
  LintCommand,
  type LintResult,
  lintArguments,
  lintFlags,
} from '../../src/cli/lint-command.js';
import { errorClasses } from '../../src/report/errors.js';

export default class PolicyValidateCommand extends LintCommand {
  static override summary = 'say whether a policy may be put in force: "policy lint" with its errors only';
  static override description =
    `Exits ${errorClasses.INVALID_POLICY.exitCode} when there are findings of severity error; warnings alone exit 0.`;
  static override args = lintArguments;
  static override flags = lintFlags;

  async run(): Promise<LintResult> {
    const { args, flags } = await this.parse(PolicyValidateCommand);
    const result = await this.check(args.name, flags);
    const { policy, valid, findings } = result;
    this.printFindings(findings.filter(({ severity }) => severity === 'error'));
    this.print(
      `Policy '${policy}' is ${valid ? '' : 'not '}in order.${findings.length === 0 ? '' : ` "policy lint" finds ${countFindings(findings)}.`}`,
    );
    return result;
  }
}
