/**
 * The policy routing that belongs to the filters (`steering.ts`): marked packets go to the TUN device, and programs on this host
 * find a way and a source address. Pure: the text for `ip -batch` goes out.
 */
import { addressFamily, ipAddress } from '../../wire/ip/address.js';
import { isLinkLocal } from '../../wire/ip/ip.js';
import { prefixLengthOf, rangeContains, subnetRange } from '../../wire/ip/selector.js';
import type { AssignedAddress, DriverFilter, Subnet } from '../api.js';
import { hex, type SteeringOptions, steeringNames } from './steering.js';

const { markMask, secureMark, openedMark } = steeringNames;
const noMark = `fwmark 0/${hex(markMask)}`;

/** Not 4294967295: in IPv6, "ip route flush" leaves that one, which it takes for the kernel's own. */
const lastMetric = 4_294_967_294;

/** Lines for `ip -4 -batch` and `ip -6 -batch`: sets up the device and the routing of marked packets. */
export function routingSetup(tun: string, mtuBytes: number): string[] {
  const { secureRouteTable, fallbackRouteTable, rulePreferences } = steeringNames;
  return [
    `link set dev ${tun} mtu ${mtuBytes} txqueuelen 1000 up`,
    `route add default dev ${tun} table ${secureRouteTable}`,
    `route add unreachable default metric ${lastMetric} table ${secureRouteTable}`,
    `rule add pref ${rulePreferences.secure} fwmark ${hex(secureMark)}/${hex(markMask)} lookup ${secureRouteTable}`,
    // Strict reverse path filtering asks "would I answer through the TUN device?" with `iif lo`.
    `rule add pref ${rulePreferences.opened} iif lo fwmark ${hex(openedMark)}/${hex(markMask)} lookup ${secureRouteTable}`,
    // Not for packets of the engine: without a route of their own they would come back to it for ever.
    `rule add pref ${rulePreferences.fallback} ${noMark} lookup ${fallbackRouteTable}`,
  ];
}

/** Lines for `ip -4 -force -batch` and `ip -6 …`: removes what `routingSetup`, `assignment` and `fallbackRoutes` made; each may fail. */
export function routingRemoval(): string[] {
  const { secureRouteTable, fallbackRouteTable, assignedRouteTable, rulePreferences } = steeringNames;
  return [
    `rule del pref ${rulePreferences.secure} lookup ${secureRouteTable}`,
    `rule del pref ${rulePreferences.opened} lookup ${secureRouteTable}`,
    assignedRuleRemoval,
    `rule del pref ${rulePreferences.fallback} lookup ${fallbackRouteTable}`,
    `route flush table ${secureRouteTable}`,
    `route flush table ${assignedRouteTable}`,
    `route flush table ${fallbackRouteTable}`,
  ];
}

const assignedRuleRemoval = `rule del pref ${steeringNames.rulePreferences.assigned} lookup ${steeringNames.assignedRouteTable}`;

/**
 * Lines for `ip -4 -batch` that turn the addresses `before` into those `after`: first `add`, then `remove`, each of whose
 * lines may fail. The host's own routes stay as they are. Only packets whose source nobody has chosen yet take the routes of
 * assigned addresses, and get their source from there: replies from another address of this host, as those of the remote
 * shell somebody sits in, and packets of the engine itself go where they went before.
 */
export function assignment(
  before: readonly AssignedAddress[],
  after: readonly AssignedAddress[],
  tun: string,
  mtuBytes: number,
): { readonly add: readonly string[]; readonly remove: readonly string[] } {
  const { assignedRouteTable: table, secureRouteTable, rulePreferences } = steeringNames;
  const rule = `rule add pref ${rulePreferences.assigned} ${noMark} from 0.0.0.0/32 lookup ${table}`;
  const addresses = (list: readonly AssignedAddress[]) => [...new Set(list.map(({ address }) => address))];
  const added = addresses(after).filter(address => !addresses(before).includes(address));
  const gone = addresses(before).filter(address => !addresses(after).includes(address));
  const [old, wanted] = [before, after].map(list => assignedRoutes(list, tun, mtuBytes));
  const stale = [...(old ?? [])].filter(([key]) => !wanted?.has(key)).map(([key]) => `route del ${key}`);
  const routes = [...(wanted ?? [])].map(([key, rest]) => `route replace ${key}${rest}`);
  return {
    add: [
      ...added.map(address => `address replace ${address}/32 dev ${tun}`),
      ...routes,
      ...(before.length === 0 && after.length > 0 ? [rule] : []),
    ],
    remove: [
      ...(before.length > 0 && after.length === 0 ? [assignedRuleRemoval] : []),
      ...stale,
      ...gone.map(address => `address del ${address}/32 dev ${tun}`),
      // The kernel takes every route through a device away with its last address.
      ...(gone.length > 0 ? [`route replace default dev ${tun} table ${secureRouteTable}`, ...routes] : []),
    ],
  };
}

/** Multicast and broadcast are of the host's own subnets. */
const groups: readonly Subnet[] = [
  { address: ipAddress('224.0.0.0'), prefixLength: 4 },
  { address: ipAddress('255.255.255.255'), prefixLength: 32 },
];

/** What tells each route from the others, and the rest of it. The unreachable ones stay when the device has gone. */
function assignedRoutes(
  assigned: readonly AssignedAddress[],
  tun: string,
  mtuBytes: number,
): ReadonlyMap<string, string> {
  const table = `table ${steeringNames.assignedRouteTable}`;
  const routes = new Map<string, string>();
  const add = (key: string, rest = '') => routes.has(key) || routes.set(key, rest);
  const text = ({ address, prefixLength }: Subnet) =>
    `${subnetRange(address, prefixLength).first}/${prefixLength}`;
  for (const { address, networks, excluded } of assigned) {
    for (const network of networks) {
      add(`unreachable ${text(network)} metric ${lastMetric} ${table}`);
      add(`${text(network)} dev ${tun} ${table}`, ` src ${address} mtu ${mtuBytes}`);
    }
    for (const network of [...excluded, ...groups]) add(`throw ${text(network)} ${table}`);
  }
  return routes;
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
