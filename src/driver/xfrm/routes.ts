/**
 * Routes towards tunnelled networks: with them, a program on this host finds a source address, and a route at all, where
 * the host has no default route. The kernel's policies decide before the packet gets anywhere on such a route.
 */
import { addressFamily, type IpAddress } from '../../wire/ip/address.js';
import { prefixLengthOf, rangeContains } from '../../wire/ip/selector.js';
import type { DriverFilter } from '../api.js';
import { attempt, ipBatch } from '../host-programs.js';
import { hex, steeringNames } from '../kernel-names.js';
import { localAddresses } from './host.js';

const { fallbackRouteTable: table, rulePreferences, bypassMark } = steeringNames;

/** The routes in force. `ip` is run only where something is to be changed. */
export class TunnelRoutes {
  readonly #families = new Set<4 | 6>();

  /** Puts the routes for these filters in force. */
  async set(filters: readonly DriverFilter[]): Promise<void> {
    const tunnels = filters.filter(
      ({ direction, action, tunnelEndpoint }) =>
        direction === 'outbound' && action === 'secure' && tunnelEndpoint !== undefined,
    );
    const devices = new Map<IpAddress, string | undefined>();
    for (const family of [4, 6] as const) {
      const own = tunnels.filter(({ selector }) => addressFamily(selector.destination.first) === family);
      if (own.length === 0 && !this.#families.has(family)) continue;
      const lines = own.length === 0 ? [] : [`rule add pref ${rulePreferences.fallback} lookup ${table}`];
      for (const { tunnelEndpoint } of own)
        if (tunnelEndpoint !== undefined && !devices.has(tunnelEndpoint))
          devices.set(tunnelEndpoint, await deviceTowards(tunnelEndpoint));
      for (const filter of own) {
        const device = filter.tunnelEndpoint && devices.get(filter.tunnelEndpoint);
        const route = device === undefined ? undefined : routeOf(filter, device, localAddresses());
        if (route !== undefined) lines.push(route);
      }
      // In the place of all that is there. Without `ip` there are no such routes.
      await ipBatch(family, [ruleRemoval, `route flush table ${table}`, ...lines]);
      if (own.length === 0) this.#families.delete(family);
      else this.#families.add(family);
    }
  }

  async remove(): Promise<void> {
    await this.set([]);
  }
}

const ruleRemoval = `rule del pref ${rulePreferences.fallback} lookup ${table}`;

/** An argument of `ip -batch`; `undefined` for what is no subnet. */
export function routeOf(
  { selector }: DriverFilter,
  device: string,
  ownAddresses: readonly IpAddress[],
): string | undefined {
  const prefixLength = prefixLengthOf(selector.destination);
  if (prefixLength === undefined) return undefined;
  const source = ownAddresses.find(address => rangeContains(selector.source, address));
  const from = source === undefined ? '' : ` src ${source}`;
  return `route replace ${selector.destination.first}/${prefixLength} dev ${device} table ${table}${from}`;
}

/** Past the routes from assigned addresses, whose networks may contain the peer. */
async function deviceTowards(peer: IpAddress): Promise<string | undefined> {
  const route = await attempt('ip', ['-o', 'route', 'get', peer, 'mark', hex(bypassMark)], '');
  return / dev (\S+)/.exec(route)?.[1];
}
