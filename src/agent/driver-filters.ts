import type { Driver, PairId, SaPair } from '../driver/api.js';
import type { ActivePolicy } from './active-policy.js';
import { ResponseFilters } from './response-filters.js';

/** What the driver is to enforce: the policy's filters, behind those of pairs that the default response rule made. */
export class DriverFilters {
  readonly #driver: Driver;
  readonly #policy: () => ActivePolicy;
  readonly #reportError: (error: unknown) => void;
  readonly #responses = new ResponseFilters();
  #latest: Promise<void> = Promise.resolve();

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

  /** One change at a time reaches the driver, each with what is in force when its turn comes. */
  #set(): Promise<void> {
    const turn = this.#latest.then(() =>
      this.#driver.setFilters([
        ...this.#responses.all(),
        ...this.#policy().filters.map(({ filter }) => filter),
      ]),
    );
    this.#latest = turn.catch(() => {});
    return turn;
  }

  #refresh(): void {
    this.#set().catch(this.#reportError);
  }
}
