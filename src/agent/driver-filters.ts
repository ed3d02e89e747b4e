import type { Driver, PairId, SaPair } from '../driver/api.js';
import type { ActivePolicy } from './active-policy.js';
import { ResponseFilters } from './response-filters.js';

/**
 * What the driver is to enforce: the policy's filters, then those of pairs that the default response rule made, which is the
 * last resort: what a filter of the policy blocks or permits, no peer can have otherwise.
 */
export class DriverFilters {
  readonly #driver: Driver;
  readonly #policy: () => ActivePolicy;
  readonly #reportError: (error: unknown) => void;
  readonly #responses = new ResponseFilters();
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** `policy` is asked for what is in force now. */
  constructor(driver: Driver, policy: () => ActivePolicy, reportError: (error: unknown) => void) {
    this.#driver = driver;
    this.#policy = policy;
    this.#reportError = reportError;
  }

  /** Hands over the addresses and filters of the policy. Throws `IpseckitError` when the driver cannot. */
  async policyChanged(): Promise<void> {
    await this.#driver.setAssignedAddresses(this.#policy().sources.flatMap(source => source.assigned ?? []));
    await this.#set();
  }

  pairInstalled(pair: SaPair): void {
    if (this.#responses.add(pair)) this.#refresh();
  }

  pairRemoved(pairId: PairId): void {
    if (this.#responses.remove(pairId)) this.#refresh();
  }

  /** One change at a time reaches the driver, with what is in force when its turn comes: those that wait become one. */
  #set(): Promise<void> {
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      const turn = this.#driver.setFilters([
        ...this.#policy().filters.map(({ filter }) => filter),
        ...this.#responses.all(),
      ]);
      this.#current = turn.catch(() => {});
      return turn;
    });
    return this.#next;
  }

  #refresh(): void {
    this.#set().catch(this.#reportError);
  }
}
