import type { AssignedAddress } from '../api.js';
import { AssignedAddresses } from '../assigned-addresses.js';
import { run } from '../host-programs.js';
import { Turns } from '../turns.js';
import { configureTun, KernelTun, tunDeviceName } from '../userspace/tun.js';

/**
 * The addresses that gateways gave this host, on a TUN device that is there as long as there are any. Its routes make
 * packets get such a source; then the kernel's policies take them, and what they do not take ends in the device.
 */
export class GatewayAddresses {
  readonly #onFailure: (error: Error) => void;
  readonly #turns = new Turns();
  #held: { readonly tun: KernelTun; readonly addresses: AssignedAddresses } | undefined;

  constructor(onFailure: (error: Error) => void) {
    this.#onFailure = onFailure;
  }

  /** Gives this host exactly these. Throws `IpseckitError`: ENVIRONMENT without TUN. */
  set(assigned: readonly AssignedAddress[]): Promise<void> {
    return this.#turns.next(async () => {
      if (assigned.length === 0 && this.#held === undefined) return;
      this.#held ??= await this.#open();
      await this.#held.addresses.set(assigned);
      if (assigned.length > 0) return;
      this.#held.tun.close();
      this.#held = undefined;
    });
  }

  async #open() {
    const tun = new KernelTun(tunDeviceName, this.#onFailure);
    try {
      configureTun(tun.name);
      await run('ip', ['link', 'set', 'dev', tun.name, 'up'], '');
    } catch (error) {
      tun.close();
      throw error;
    }
    return { tun, addresses: new AssignedAddresses({ name: tun.name, otherRoutes: [] }) };
  }
}
