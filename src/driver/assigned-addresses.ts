/**
 * Addresses that gateways gave this host inside their networks, and the routes that use them. They are on a device of ours,
 * which goes with the process, however that ends; the routes into nowhere stay until the next start cleans up.
 */
import { addressFamily } from '../wire/ip/address.js';
import type { AssignedAddress } from './api.js';
import { type AssignedDevice, assignedAdditions, assignment } from './assigned-routes.js';
import { ipBatch, run } from './host-programs.js';
import { steeringNames } from './kernel-names.js';
import { configureTun } from './userspace/tun.js';

const { deadEndDevice } = steeringNames;
const families = [4, 6] as const;

/** The addresses in force. */
export class AssignedAddresses {
  readonly #device: AssignedDevice;
  #assigned: readonly AssignedAddress[] = [];

  constructor(device: AssignedDevice) {
    this.#device = device;
  }

  /** Gives this host exactly these. One call at a time. Throws `IpseckitError`; those before stay then. */
  async set(assigned: readonly AssignedAddress[]): Promise<void> {
    const before = this.#assigned;
    try {
      for (const family of families) await this.#add(family, before, assigned);
    } catch (error) {
      for (const family of families) await this.#remove(family, assigned, before);
      throw error;
    }
    this.#assigned = assigned;
    for (const family of families) await this.#remove(family, before, assigned);
  }

  async #add(
    family: 4 | 6,
    before: readonly AssignedAddress[],
    after: readonly AssignedAddress[],
  ): Promise<void> {
    const { add } = assignment(family, before, after, this.#device);
    if (add.length === 0) return;
    if (family === 6 && !before.some(isIpv6)) await openDeadEnd();
    await run('ip', [`-${family}`, '-batch', '-'], `${add.join('\n')}\n`);
  }

  async #remove(
    family: 4 | 6,
    before: readonly AssignedAddress[],
    after: readonly AssignedAddress[],
  ): Promise<void> {
    await ipBatch(family, assignment(family, before, after, this.#device).remove);
  }

  /** Lines for `ip -force -batch` that add what is missing of rules and routes; each fails where it is there. */
  additions(family: 4 | 6): readonly string[] {
    return assignedAdditions(family, this.#assigned, this.#device);
  }
}

/** A TUN device that is there without a process, and drops everything. */
async function openDeadEnd(): Promise<void> {
  await run('ip', ['tuntap', 'add', 'mode', 'tun', 'name', deadEndDevice], '');
  configureTun(deadEndDevice);
  await run('ip', ['link', 'set', 'dev', deadEndDevice, 'up'], '');
}

function isIpv6({ address }: AssignedAddress): boolean {
  return addressFamily(address) === 6;
}
