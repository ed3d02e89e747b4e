/**
 * The policy routing that belongs to the filters (`steering.ts`): marked packets go to the TUN device, and programs on this host
 * find a way and a source address. Pure: the text for `ip -batch` goes out.
 */
import { addressFamily } from '../../wire/ip/address.js';
import { isLinkLocal } from '../../wire/ip/ip.js';
import { prefixLengthOf, rangeContains } from '../../wire/ip/selector.js';
import type { DriverFilter } from '../api.js';
import { assignedRemoval } from '../assigned-routes.js';
import { hex, lastMetric, noMark, steeringNames } from '../kernel-names.js';
import type { SteeringOptions } from './steering.js';

const { markMask, secureMark, openedMark } = steeringNames;

/** Lines for `ip -4 -batch` and `ip -6 -batch`: sets up the device and the routing of marked packets. */
export function routingSetup(tun: string, mtuBytes: number): string[] {
  return [`link set dev ${tun} mtu ${mtuBytes} txqueuelen 1000 up`, ...routingAdditions(tun)];
}

/** Of these, the lines that add routes and rules; each fails where it is there. */
export function routingAdditions(tun: string): string[] {
  const { secureRouteTable, fallbackRouteTable, rulePreferences } = steeringNames;
  return [
    `route add ${secureRoute(tun)}`,
    `route add unreachable default metric ${lastMetric} table ${secureRouteTable}`,
    `rule add pref ${rulePreferences.secure} fwmark ${hex(secureMark)}/${hex(markMask)} lookup ${secureRouteTable}`,
    // Strict reverse path filtering asks "would I answer through the TUN device?" with `iif lo`.
    `rule add pref ${rulePreferences.opened} iif lo fwmark ${hex(openedMark)}/${hex(markMask)} lookup ${secureRouteTable}`,
    // Not for packets of the engine: without a route of their own they would come back to it for ever.
    `rule add pref ${rulePreferences.fallback} ${noMark} lookup ${fallbackRouteTable}`,
  ];
}

/** Where marked packets go. */
export function secureRoute(tun: string): string {
  return `default dev ${tun} table ${steeringNames.secureRouteTable}`;
}

/** Lines for `ip -force -batch` of one family: removes what `routingSetup`, `AssignedAddresses` and `fallbackRoutes` made; each may fail. */
export function routingRemoval(family: 4 | 6): string[] {
  const { secureRouteTable, fallbackRouteTable, rulePreferences } = steeringNames;
  return [
    `rule del pref ${rulePreferences.secure} lookup ${secureRouteTable}`,
    `rule del pref ${rulePreferences.opened} lookup ${secureRouteTable}`,
    ...assignedRemoval(family),
    `rule del pref ${rulePreferences.fallback} lookup ${fallbackRouteTable}`,
    `route flush table ${secureRouteTable}`,
    `route flush table ${fallbackRouteTable}`,
  ];
}

/**
 * Routes of one family towards tunnelled networks, as arguments of `route replace`: with them, a program on this host finds a source
 * address, and a route at all, where the host has no default route.
 */
export function fallbackRoutes(
  filters: readonly DriverFilter[],
  options: SteeringOptions,
  family: 4 | 6,
): string[] {
  const routes = new Map<string, string>();
  for (const { direction, action, tunnelEndpoint, selector } of filters) {
    if (direction !== 'outbound' || action !== 'secure' || tunnelEndpoint === undefined) continue;
    const prefixLength = prefixLengthOf(selector.destination);
    if (prefixLength === undefined || addressFamily(selector.destination.first) !== family) continue;
    const destination = `${selector.destination.first}/${prefixLength}`;
    const source = options.localAddresses.find(
      address => rangeContains(selector.source, address) && !isLinkLocal(address),
    );
    const from = source === undefined ? '' : ` src ${source}`;
    const route = `${destination} dev ${options.tun} table ${steeringNames.fallbackRouteTable}${from} mtu ${options.innerMtuBytes}`;
    if (!routes.has(destination)) routes.set(destination, route);
  }
  return [...routes.values()];
}
