import type { FilterInfo } from '../../src/agent/control/protocol.js';
import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { printSecurityMethod } from '../../src/policy/proposals.js';
import { printRange } from '../../src/wire/ip/selector.js';

const any = (value: number) => (value === 0 ? 'any' : `${value}`);

function actionOf({ action, filter }: FilterInfo): string {
  if (action.kind !== 'negotiate') return action.kind;
  const methods = action.methods.map(printSecurityMethod).join(', ');
  return `${filter.acceptUnsecured ? 'accept clear inbound, else ' : ''}${methods}`;
}

/** An agent with many filters needs a while to list them. */
const timeoutMs = 60_000;

export default class FilterListCommand extends IpseckitCommand<readonly FilterInfo[]> {
  static override summary = 'list the specific filters in force, in matching order: the first match decides';

  async run(): Promise<readonly FilterInfo[]> {
    await this.parse(FilterListCommand);
    const filters = await agentCall('filters', {}, { timeoutMs });
    this.print(`There are ${filters.length} filters`);
    if (filters.length > 0)
      this.printTable(
        [
          'Weight',
          'Direction',
          'Source',
          'Destination',
          'Proto',
          'Ports',
          'Tunnel',
          'Action',
          'Policy / rule',
          'Packets',
        ],
        filters.map(info => {
          const { selector, direction, tunnelEndpoint } = info.filter;
          return [
            `${info.weight}`,
            direction,
            printRange(selector.source),
            printRange(selector.destination),
            any(selector.protocol),
            `${any(selector.sourcePort)}/${any(selector.destinationPort)}`,
            tunnelEndpoint ?? '',
            actionOf(info),
            `${info.policyName}${info.ruleName === undefined ? '' : ` / ${info.ruleName}`}`,
            info.packets === undefined ? '' : `${info.packets}`,
          ];
        }),
      );
    return filters;
  }
}
