import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';

/** A directory that does not answer takes its time. */
const timeoutMs = 120_000;

export default class AgentReloadCommand extends IpseckitCommand<{ readonly assigned?: string }> {
  static override summary = 'have the policy agent read its stores again now, the directory too';
  static override description =
    'Changes of local policies are taken up by themselves, and the directory is asked as often as its policy says: this is for not waiting.';

  async run(): Promise<{ readonly assigned?: string }> {
    await this.parse(AgentReloadCommand);
    const result = await agentCall('reload', { directory: true }, { timeoutMs });
    this.print(
      result.assigned === undefined
        ? 'No policy is assigned.'
        : `The policy '${result.assigned}' is in force.`,
    );
    return result;
  }
}
