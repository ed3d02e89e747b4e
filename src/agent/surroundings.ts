/** What filters depend on besides the policy: addresses of this computer, of its servers, and of host names. */
import type { ExpandContext, LocalAddress } from '../policy/expand.js';
import type { Policy } from '../policy/model.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { Clock } from './clock.js';
import { NameBook, namesIn } from './name-book.js';
import type { Servers } from './servers.js';

/** How often addresses and servers are looked at: a new one is in the filters within this time. */
const lookEveryMs = 2_000;

/** Where they are looked up. */
export interface SurroundingsSources {
  /** This host's own addresses now. */
  localAddresses(): readonly LocalAddress[];
  /** What the special addresses stand for now; nothing when absent. */
  servers?(): Servers;
  /** Looks a host name up. Without it, names keep the addresses they have in the policy. */
  resolve?(name: string): Promise<readonly IpAddress[]>;
}

export interface SurroundingsDependencies {
  readonly clock: Clock;
  readonly sources: SurroundingsSources;
  /** Filters may read differently now. */
  onChange(): void;
  onError(error: Error): void;
}

export class Surroundings {
  readonly #deps: SurroundingsDependencies;
  readonly #names: NameBook;
  #seen: Pick<ExpandContext, 'localAddresses' | 'servers'> = { localAddresses: [] };
  #cancelPoll: () => void = () => {};

  constructor(deps: SurroundingsDependencies) {
    const { clock, sources, onChange, onError } = deps;
    this.#deps = deps;
    this.#names = new NameBook({
      clock,
      resolve: name => sources.resolve?.(name) ?? Promise.reject(new Error('no resolver')),
      onChange,
      onError,
    });
  }

  /** As known now. */
  get context(): ExpandContext {
    return { ...this.#seen, names: this.#names.addresses };
  }

  start(): void {
    this.#seen = this.#look();
    this.#poll();
  }

  stop(): void {
    this.#cancelPoll();
    this.#names.stop();
  }

  /** Keeps track of the host names in these policies, and no others. */
  follow(policies: readonly Policy[]): void {
    if (this.#deps.sources.resolve !== undefined) this.#names.follow(namesIn(policies));
  }

  #poll(): void {
    const { clock, onChange, onError } = this.#deps;
    this.#cancelPoll = clock.at(clock.nowMs() + lookEveryMs, () => {
      this.#poll();
      try {
        const now = this.#look();
        const changed = JSON.stringify(now) !== JSON.stringify(this.#seen);
        this.#seen = now;
        if (changed) onChange();
      } catch (error) {
        // The host is out of descriptors or memory for a moment: what was seen last counts on.
        onError(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  #look(): Pick<ExpandContext, 'localAddresses' | 'servers'> {
    const { sources } = this.#deps;
    const servers = sources.servers?.();
    return { localAddresses: sources.localAddresses(), ...(servers === undefined ? {} : { servers }) };
  }
}
