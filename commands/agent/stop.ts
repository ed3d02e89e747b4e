import { setTimeout as sleep } from 'node:timers/promises';
import { agentCall, agentCallIfRunning } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { IpseckitError } from '../../src/report/errors.js';

export default class AgentStopCommand extends IpseckitCommand<{ stopped: boolean }> {
  static override summary = 'stop the policy agent: SAs are deleted at the peers, filters removed';

  async run(): Promise<{ stopped: boolean }> {
    await this.parse(AgentStopCommand);
    await agentCall('stop', {});
    for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 100) {
      if ((await agentCallIfRunning('status', {})) === undefined) {
        this.print('The policy agent has stopped.');
        return { stopped: true };
      }
      await sleep(100);
    }
    throw new IpseckitError('AGENT_UNREACHABLE', 'the policy agent did not stop within 10 s', {
      next: '"ipseckit agent status" shows its process; SIGTERM ends it',
    });
  }
}
