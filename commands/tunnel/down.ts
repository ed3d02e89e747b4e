import { Args } from '@oclif/core';
import type { TunnelInfo } from '../../src/agent/tunnel.js';
import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';

export default class TunnelDownCommand extends IpseckitCommand<TunnelInfo> {
  static override summary = "take down one of the agent's persistent connections";
  static override args = {
    name: Args.string({ required: true, description: 'its name, as "tunnel list" shows it' }),
  };

  async run(): Promise<TunnelInfo> {
    const { args } = await this.parse(TunnelDownCommand);
    const tunnel = await agentCall('tunnelDown', { name: args.name });
    this.print(`Tunnel '${tunnel.name}' is down; its SAs are deleted at ${tunnel.peer}.`);
    return tunnel;
  }
}
