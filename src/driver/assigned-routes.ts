/** The addresses, rules and routes of assigned addresses, as lines for `ip -batch`. Pure. */
import { addressFamily, ipAddress } from '../wire/ip/address.js';
import { subnetRange } from '../wire/ip/selector.js';
import type { AssignedAddress, Subnet } from './api.js';
import { lastMetric, noMark, steeringNames } from './kernel-names.js';

const { assignedRouteTable, deadEndDevice, rulePreferences } = steeringNames;
const { assigned: preference, afterAssigned } = rulePreferences;

/** The device that has the addresses, and what else leads to it. */
export interface AssignedDevice {
  readonly name: string;
  /** Longest packet that fits the way once it is protected; absent where the kernel knows. */
  readonly mtuBytes?: number;
  /** Other IPv4 routes through it, without `route replace`: the kernel takes all of them away with its last address. */
  readonly otherRoutes: readonly string[];
}

/** What the kernel does differently for each family. */
interface FamilyWays {
  readonly bits: 32 | 128;
  /** Of `address replace`. */
  readonly addressOptions: string;
  /** Rules that send packets whose source nobody has chosen into our table, and their removal. */
  readonly rules: { readonly add: readonly string[]; readonly remove: readonly string[] };
  /**
   * What takes the packets for a network when the device is gone. In IPv6 an unreachable route would not do: it makes the
   * kernel look again, with a source address, and with one our table is passed by.
   */
  deadEnd(network: string): string;
  /** Of what stands where the dead ends lead to. */
  readonly deadEndRemoval: readonly string[];
  /** Multicast, broadcast and link-local addresses are of the host's own links. */
  readonly groups: readonly Subnet[];
  /** The last address takes all routes through its device with it. */
  readonly lastAddressTakesRoutes: boolean;
}

const subnet = (text: string, prefixLength: number): Subnet => ({ address: ipAddress(text), prefixLength });

const ways: Readonly<Record<4 | 6, FamilyWays>> = {
  4: {
    bits: 32,
    addressOptions: '',
    rules: {
      add: [`rule add pref ${preference} ${noMark} from 0.0.0.0/32 lookup ${assignedRouteTable}`],
      remove: [`rule del pref ${preference} lookup ${assignedRouteTable}`],
    },
    deadEnd: network => `unreachable ${network} metric ${lastMetric}`,
    deadEndRemoval: [],
    groups: [subnet('224.0.0.0', 4), subnet('255.255.255.255', 32)],
    lastAddressTakesRoutes: true,
  },
  6: {
    bits: 128,
    // Nobody else is on the device who could have it.
    addressOptions: ' nodad noprefixroute',
    rules: {
      // "from ::/128" cannot be said. But no "from" takes a packet without a source: those that have one go past.
      add: [
        `rule add pref ${afterAssigned} nop`,
        `rule add pref ${preference} from ::/1 goto ${afterAssigned}`,
        `rule add pref ${preference} from 8000::/1 goto ${afterAssigned}`,
        `rule add pref ${preference} ${noMark} lookup ${assignedRouteTable}`,
      ],
      remove: [
        `rule del pref ${preference} lookup ${assignedRouteTable}`,
        `rule del pref ${preference} from ::/1`,
        `rule del pref ${preference} from 8000::/1`,
        `rule del pref ${afterAssigned}`,
      ],
    },
    deadEnd: network => `${network} dev ${deadEndDevice} metric ${lastMetric}`,
    deadEndRemoval: [`link del dev ${deadEndDevice}`],
    groups: [subnet('ff00::', 8), subnet('fe80::', 10)],
    lastAddressTakesRoutes: false,
  },
};

/** Lines for `ip -force -batch` of one family: removes rules and routes; each may fail. The addresses go with their device. */
export function assignedRemoval(family: 4 | 6): readonly string[] {
  const { rules, deadEndRemoval } = ways[family];
  return [...rules.remove, `route flush table ${assignedRouteTable}`, ...deadEndRemoval];
}

/**
 * Lines for `ip -batch` of one family that turn the addresses `before` into those `after`: first `add`, then `remove`,
 * each of whose lines may fail. The host's own routes stay as they are. Only packets whose source nobody has chosen yet
 * take the routes of assigned addresses, and get their source from there: replies from another address of this host, as
 * those of the remote shell somebody sits in, and packets that carry protected ones go where they went before.
 */
export function assignment(
  family: 4 | 6,
  before: readonly AssignedAddress[],
  after: readonly AssignedAddress[],
  device: AssignedDevice,
): { readonly add: readonly string[]; readonly remove: readonly string[] } {
  const { bits, addressOptions, rules, deadEndRemoval, lastAddressTakesRoutes } = ways[family];
  const addresses = (list: readonly AssignedAddress[]) => [
    ...new Set(ofFamily(family, list).map(({ address }) => address)),
  ];
  const [old, wanted] = [addresses(before), addresses(after)];
  const added = wanted.filter(address => !old.includes(address));
  const gone = old.filter(address => !wanted.includes(address));
  const oldRoutes = assignedRoutes(family, before, device);
  const wantedRoutes = assignedRoutes(family, after, device);
  const stale = [...oldRoutes].filter(([key]) => !wantedRoutes.has(key)).map(([key]) => `route del ${key}`);
  const routes = [...wantedRoutes].map(([key, rest]) => `route replace ${key}${rest}`);
  const takenAlong = [...device.otherRoutes.map(route => `route replace ${route}`), ...routes];
  return {
    add: [
      ...added.map(address => `address replace ${address}/${bits} dev ${device.name}${addressOptions}`),
      ...routes,
      ...(old.length === 0 && wanted.length > 0 ? rules.add : []),
    ],
    remove: [
      ...(old.length > 0 && wanted.length === 0 ? rules.remove : []),
      ...stale,
      ...gone.map(address => `address del ${address}/${bits} dev ${device.name}`),
      ...(gone.length > 0 && lastAddressTakesRoutes ? takenAlong : []),
      ...(old.length > 0 && wanted.length === 0 ? deadEndRemoval : []),
    ],
  };
}

/** Lines for `ip -force -batch` that add rules and routes of these; each fails where it is there. */
export function assignedAdditions(
  family: 4 | 6,
  assigned: readonly AssignedAddress[],
  device: AssignedDevice,
): readonly string[] {
  const routes = [...assignedRoutes(family, assigned, device)].map(
    ([key, rest]) => `route add ${key}${rest}`,
  );
  return routes.length === 0 ? [] : [...routes, ...ways[family].rules.add];
}

function ofFamily(family: 4 | 6, list: readonly AssignedAddress[]): readonly AssignedAddress[] {
  return list.filter(({ address }) => addressFamily(address) === family);
}

/** What tells each route from the others, and the rest of it. The dead ends stay when the device has gone. */
function assignedRoutes(
  family: 4 | 6,
  assigned: readonly AssignedAddress[],
  { name, mtuBytes }: AssignedDevice,
): ReadonlyMap<string, string> {
  const { deadEnd, groups } = ways[family];
  const table = `table ${assignedRouteTable}`;
  const mtu = mtuBytes === undefined ? '' : ` mtu ${mtuBytes}`;
  const routes = new Map<string, string>();
  const add = (key: string, rest = '') => routes.has(key) || routes.set(key, rest);
  const text = ({ address, prefixLength }: Subnet) =>
    `${subnetRange(address, prefixLength).first}/${prefixLength}`;
  for (const { address, networks, excluded } of ofFamily(family, assigned)) {
    for (const network of networks) {
      add(`${deadEnd(text(network))} ${table}`);
      add(`${text(network)} dev ${name} ${table}`, ` src ${address}${mtu}`);
    }
    for (const network of [...excluded, ...groups]) add(`throw ${text(network)} ${table}`);
  }
  return routes;
}
