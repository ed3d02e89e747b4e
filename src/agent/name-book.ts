/** Host names in policies and the addresses they have now: looked up when a policy comes, and again every minute. */
import type { HostSpec, Policy } from '../policy/model.js';
import { IpseckitError } from '../report/errors.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { Clock } from './clock.js';

/** How long an answer is believed. */
const lookUpEveryMs = 60_000;

export interface NameBookDependencies {
  readonly clock: Clock;
  /** All addresses of a name; rejects when there are none, or no answer. */
  resolve(name: string): Promise<readonly IpAddress[]>;
  /** An address has changed. */
  onChange(): void;
  onError(error: IpseckitError): void;
}

export class NameBook {
  readonly #deps: NameBookDependencies;
  #names: ReadonlySet<string> = new Set();
  readonly #addresses = new Map<string, readonly IpAddress[]>();
  /** Names whose failure has been told. */
  readonly #failing = new Set<string>();
  #cancelRound: () => void = () => {};

  constructor(deps: NameBookDependencies) {
    this.#deps = deps;
  }

  /** The latest addresses, sorted; a name that could never be looked up is missing. */
  get addresses(): ReadonlyMap<string, readonly IpAddress[]> {
    return this.#addresses;
  }

  /** Follows exactly these names from now on; new ones are looked up at once. */
  follow(names: ReadonlySet<string>): void {
    const known = this.#names;
    this.#names = names;
    for (const name of known) if (!names.has(name)) this.#forget(name);
    const added = [...names].filter(name => !known.has(name));
    if (added.length > 0) void this.#lookUp(added);
    if (known.size === 0 && names.size > 0) this.#scheduleRound();
    if (names.size === 0) this.#cancelRound();
  }

  stop(): void {
    this.follow(new Set());
  }

  #forget(name: string): void {
    this.#addresses.delete(name);
    this.#failing.delete(name);
  }

  #scheduleRound(): void {
    const { clock } = this.#deps;
    this.#cancelRound();
    this.#cancelRound = clock.at(clock.nowMs() + lookUpEveryMs, () => {
      void this.#lookUp([...this.#names]).then(() => {
        if (this.#names.size > 0) this.#scheduleRound();
      });
    });
  }

  /** Never rejects. Several changes of one round are told once. */
  async #lookUp(names: readonly string[]): Promise<void> {
    const changed = await Promise.all(names.map(name => this.#lookUpOne(name)));
    if (changed.some(Boolean)) this.#deps.onChange();
  }

  async #lookUpOne(name: string): Promise<boolean> {
    try {
      const found = [...new Set(await this.#deps.resolve(name))].sort();
      if (!this.#names.has(name)) return false;
      this.#failing.delete(name);
      if (found.join() === this.#addresses.get(name)?.join()) return false;
      this.#addresses.set(name, found);
      return true;
    } catch (error) {
      if (!this.#names.has(name) || this.#failing.has(name)) return false;
      this.#failing.add(name);
      this.#deps.onError(
        new IpseckitError(
          'NAME_RESOLUTION',
          `${name} cannot be looked up: ${error instanceof Error ? error.message : error}`,
          { next: 'filters keep its last addresses; it is looked up again every minute', cause: error },
        ),
      );
      return false;
    }
  }
}

/** The host names in active rules of these policies: of filters and of tunnel endpoints. */
export function namesIn(policies: readonly Policy[]): ReadonlySet<string> {
  const names = new Set<string>();
  const add = (spec: HostSpec | { readonly kind: string } | undefined) => {
    if (spec?.kind === 'dns' && 'name' in spec) names.add(spec.name);
  };
  for (const { active, tunnelEndpoint, filterList } of policies.flatMap(({ rules }) => rules)) {
    if (!active) continue;
    add(tunnelEndpoint);
    for (const { source, destination } of filterList?.filters ?? []) {
      add(source);
      add(destination);
    }
  }
  return names;
}
