import type { ControlMethods } from '../src/agent/control/protocol.js';
import { agentCall } from '../src/cli/agent.js';
import { IpseckitCommand } from '../src/cli/base.js';
import {
  ikeStatisticsLines,
  ipsecStatisticsLines,
  printStatistics,
} from '../src/monitor/statistics-labels.js';

type Statistics = ControlMethods['statistics']['result'];

export default class StatsCommand extends IpseckitCommand<Statistics> {
  static override summary = 'show the IKE and IPsec counters of IP Security Monitor, and drops by reason';

  async run(): Promise<Statistics> {
    await this.parse(StatsCommand);
    const statistics = await agentCall('statistics', {});
    this.print(...printStatistics('IKE Statistics', ikeStatisticsLines, statistics.ike), '');
    this.print(...printStatistics('IPsec Statistics', ipsecStatisticsLines, statistics.driver), '');
    const drops = Object.entries(statistics.driver.drops).map(([label, count]) => ({
      label,
      value: () => count,
    }));
    this.print(...printStatistics('Dropped packets', drops, statistics));
    return statistics;
  }
}
