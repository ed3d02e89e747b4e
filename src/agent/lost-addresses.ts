/** Own addresses that have gone for good: a cable that is out for a moment, or a lease renewed, ends nothing. */
import type { IpAddress } from '../wire/ip/address.js';
import type { Clock } from './clock.js';

/** How long an address must have been gone before what was negotiated from it ends. */
const graceMs = 5_000;

export class LostAddresses {
  readonly #clock: Clock;
  readonly #onLost: (address: IpAddress) => void;
  /** Those that this host has, and those that have gone, with what stops their clock. */
  #present: ReadonlySet<IpAddress> = new Set();
  readonly #going = new Map<IpAddress, () => void>();

  constructor(clock: Clock, onLost: (address: IpAddress) => void) {
    this.#clock = clock;
    this.#onLost = onLost;
  }

  /** The addresses that this host has now. */
  update(addresses: readonly IpAddress[]): void {
    const now = new Set(addresses);
    for (const [address, stop] of this.#going) if (now.has(address)) this.#forget(address, stop);
    for (const address of this.#present) {
      if (now.has(address) || this.#going.has(address)) continue;
      const stop = this.#clock.at(this.#clock.nowMs() + graceMs, () => {
        this.#going.delete(address);
        this.#onLost(address);
      });
      this.#going.set(address, stop);
    }
    this.#present = now;
  }

  stop(): void {
    for (const [address, stop] of this.#going) this.#forget(address, stop);
  }

  #forget(address: IpAddress, stop: () => void): void {
    stop();
    this.#going.delete(address);
  }
}
