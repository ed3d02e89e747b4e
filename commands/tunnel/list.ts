import { describeConfiguration } from '../../src/agent/gateway-client.js';
import type { TunnelInfo } from '../../src/agent/tunnel.js';
import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';

export default class TunnelListCommand extends IpseckitCommand<readonly TunnelInfo[]> {
  static override summary = "list the agent's persistent connections";

  async run(): Promise<readonly TunnelInfo[]> {
    await this.parse(TunnelListCommand);
    const tunnels = await agentCall('tunnelList', {});
    if (tunnels.length === 0) this.print('There are no persistent tunnels.');
    else
      this.printTable(
        ['Name', 'State', 'Local', 'Peer', 'Mode', 'Traffic', 'Assigned', 'Last failure'],
        tunnels.map(({ name, state, local, peer, mode, traffic, configuration, lastFailure }) => [
          name,
          state,
          local,
          peer,
          mode,
          traffic,
          configuration === undefined ? '' : describeConfiguration(configuration),
          lastFailure ?? '',
        ]),
      );
    return tunnels;
  }
}
