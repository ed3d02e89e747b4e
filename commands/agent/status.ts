import type { AgentStatus } from '../../src/agent/control/protocol.js';
import { describeExemptions } from '../../src/agent/settings.js';
import { agentCall } from '../../src/cli/agent.js';
import { describePolicies } from '../../src/cli/agent-text.js';
import { IpseckitCommand } from '../../src/cli/base.js';

export default class AgentStatusCommand extends IpseckitCommand<AgentStatus> {
  static override summary = 'show what the policy agent runs';
  static override description =
    'Prints the process, the packet engine and why it was chosen, the policy in force, and how many filters and SAs there are. The assigned policy, dynamic rules and tunnels are in force together: the most specific filter decides, and of equally specific ones those of the assigned policy come first, in the order of its rules, then dynamic rules and tunnels in the order they were added. Dynamic rules last until the agent stops. Exits 4 when no agent runs.';

  async run(): Promise<AgentStatus> {
    await this.parse(AgentStatusCommand);
    const status = await agentCall('status', {});
    this.print(
      `The policy agent runs as process ${status.processId} since ${new Date(status.startedAtMs).toISOString()}`,
      `Packet engine   ${status.driver} (${status.driverReason})`,
      ...describePolicies(status),
      ...(status.policyError === undefined ? [] : [`Policy error    ${status.policyError}`]),
      `Dynamic rules   ${status.dynamicRules}`,
      `Tunnels         ${status.tunnels}`,
      `Filters         ${status.filters} (the most specific decides; of equal ones the assigned policy, then what was added first)`,
      `SAs             ${status.mainModes} main mode, ${status.quickModes} quick mode${status.softAssociations === 0 ? '' : `, ${status.softAssociations} soft (in clear)`}`,
      `Exemptions      ${describeExemptions(status.noDefaultExempt)}`,
      `Audit events    ${status.auditFile}`,
    );
    return status;
  }
}
