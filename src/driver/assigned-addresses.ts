/**
 * Addresses that gateways gave this host inside their networks, and the routes that use them. They are on a device of ours,
 * which goes with the process, however that ends; the unreachable routes stay until the next start cleans up.
 */
import { ipAddress } from '../wire/ip/address.js';
import { subnetRange } from '../wire/ip/selector.js';
import type { AssignedAddress, Subnet } from './api.js';
import { run } from './host-programs.js';
import { lastMetric, noMark, steeringNames } from './kernel-names.js';

const { assignedRouteTable, rulePreferences } = steeringNames;
const ruleRemoval = `rule del pref ${rulePreferences.assigned} lookup ${assignedRouteTable}`;

/** Lines for `ip -4 -force -batch`: removes rule and routes; each may fail. The addresses go with their device. */
export const assignedRemoval: readonly string[] = [ruleRemoval, `route flush table ${assignedRouteTable}`];

/** The device that has the addresses, and what else leads to it. */
export interface AssignedDevice {
  readonly name: string;
  /** Longest packet that fits the way once it is protected; absent where the kernel knows. */
  readonly mtuBytes?: number;
  /** Other routes through it, without `route replace`: the kernel takes all of them away with its last address. */
  readonly otherRoutes: readonly string[];
}

/** The addresses in force. */
export class AssignedAddresses {
  readonly #device: AssignedDevice;
  #assigned: readonly AssignedAddress[] = [];

  constructor(device: AssignedDevice) {
    this.#device = device;
  }

  /** Gives this host exactly these. One call at a time. Throws `IpseckitError`; those before stay then. */
  async set(assigned: readonly AssignedAddress[]): Promise<void> {
    const { add, remove } = assignment(this.#assigned, assigned, this.#device);
    try {
      if (add.length > 0) await run('ip', ['-4', '-batch', '-'], `${add.join('\n')}\n`);
    } catch (error) {
      await removeWhatIsThere(assignment(assigned, this.#assigned, this.#device).remove);
      throw error;
    }
    this.#assigned = assigned;
    await removeWhatIsThere(remove);
  }
}

async function removeWhatIsThere(lines: readonly string[]): Promise<void> {
  if (lines.length > 0)
    await run('ip', ['-4', '-force', '-batch', '-'], `${lines.join('\n')}\n`, { mayFail: true });
}

/**
 * Lines for `ip -4 -batch` that turn the addresses `before` into those `after`: first `add`, then `remove`, each of whose
 * lines may fail. The host's own routes stay as they are. Only packets whose source nobody has chosen yet take the routes of
 * assigned addresses, and get their source from there: replies from another address of this host, as those of the remote
 * shell somebody sits in, and packets that carry protected ones go where they went before.
 */
export function assignment(
  before: readonly AssignedAddress[],
  after: readonly AssignedAddress[],
  device: AssignedDevice,
): { readonly add: readonly string[]; readonly remove: readonly string[] } {
  const rule = `rule add pref ${rulePreferences.assigned} ${noMark} from 0.0.0.0/32 lookup ${assignedRouteTable}`;
  const addresses = (list: readonly AssignedAddress[]) => [...new Set(list.map(({ address }) => address))];
  const added = addresses(after).filter(address => !addresses(before).includes(address));
  const gone = addresses(before).filter(address => !addresses(after).includes(address));
  const [old, wanted] = [before, after].map(list => assignedRoutes(list, device));
  const stale = [...(old ?? [])].filter(([key]) => !wanted?.has(key)).map(([key]) => `route del ${key}`);
  const routes = [...(wanted ?? [])].map(([key, rest]) => `route replace ${key}${rest}`);
  const others = device.otherRoutes.map(route => `route replace ${route}`);
  return {
    add: [
      ...added.map(address => `address replace ${address}/32 dev ${device.name}`),
      ...routes,
      ...(before.length === 0 && after.length > 0 ? [rule] : []),
    ],
    remove: [
      ...(before.length > 0 && after.length === 0 ? [ruleRemoval] : []),
      ...stale,
      ...gone.map(address => `address del ${address}/32 dev ${device.name}`),
      ...(gone.length > 0 ? [...others, ...routes] : []),
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
  { name, mtuBytes }: AssignedDevice,
): ReadonlyMap<string, string> {
  const table = `table ${assignedRouteTable}`;
  const mtu = mtuBytes === undefined ? '' : ` mtu ${mtuBytes}`;
  const routes = new Map<string, string>();
  const add = (key: string, rest = '') => routes.has(key) || routes.set(key, rest);
  const text = ({ address, prefixLength }: Subnet) =>
    `${subnetRange(address, prefixLength).first}/${prefixLength}`;
  for (const { address, networks, excluded } of assigned) {
    for (const network of networks) {
      add(`unreachable ${text(network)} metric ${lastMetric} ${table}`);
      add(`${text(network)} dev ${name} ${table}`, ` src ${address}${mtu}`);
    }
    for (const network of [...excluded, ...groups]) add(`throw ${text(network)} ${table}`);
  }
  return routes;
}
