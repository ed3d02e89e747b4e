import type { IpseckitError } from '../../report/errors.js';
import type { Guid, Policy, PolicyLibrary } from '../model.js';

/** One line of a listing. */
export interface PolicySummary {
  readonly id: Guid;
  readonly name: string;
  readonly description?: string;
  readonly rules: number;
  readonly assigned: boolean;
}

export interface PolicyListing {
  /** By name. */
  readonly policies: readonly PolicySummary[];
  /** What could not be read; each names its file and what to do. */
  readonly problems: readonly IpseckitError[];
}

/** Everything a store holds. */
export interface StoreSnapshot {
  readonly policies: readonly Policy[];
  /** The assigned policy, which may be missing. */
  readonly assigned?: Guid;
  /** Filter lists and actions no rule uses. */
  readonly library?: PolicyLibrary;
  /** What could not be read. */
  readonly problems: readonly IpseckitError[];
}

/** A change of several policies. */
export interface StoreChange {
  /** Created or replaced, by their ids. */
  readonly written: readonly Policy[];
  readonly deleted: readonly Guid[];
  /** Absent leaves the filter lists and actions no rule uses as they are. */
  readonly library?: PolicyLibrary;
  /** Absent leaves the assignment as it is; without `id`, no policy is assigned afterwards. */
  readonly assigned?: { readonly id: Guid | undefined };
}

/**
 * A place policies are kept (`-w`). Names are the same in any case. Methods throw `IpseckitError`: STORE for content
 * that cannot be read (which is never overwritten or removed), ACCESS_DENIED for missing rights.
 */
export interface PolicyStore {
  /** What `netdiag` prints as `Local` or `Directory`. */
  readonly kind: 'local' | 'directory' | 'file';
  /** The folder, file or server, for messages. */
  readonly where: string;
  list(): Promise<PolicyListing>;
  /** `undefined` when there is no policy of that name. */
  read(name: string): Promise<Policy | undefined>;
  /** Creates or replaces the policy with this id. Two policies cannot have the same name. */
  write(policy: Policy): Promise<void>;
  /** Also unassigns it. False when there was no policy of that name. */
  delete(name: string): Promise<boolean>;
  /** The assigned policy, in full. */
  assigned(): Promise<Policy | undefined>;
  /** Makes this the one assigned policy. Throws STORE when there is no policy of that name. */
  assign(name: string): Promise<void>;
  /** False when the policy of that name is not there or was not assigned. */
  unassign(name: string): Promise<boolean>;
  /** Runs `change` while nobody else can write: for reading, changing and writing through its argument as one step. */
  exclusively<T>(change: (store: PolicyStore) => Promise<T>): Promise<T>;
  /** Where a policy lies, as `netdiag` prints it. */
  path(policy: { readonly id: Guid }): string;
}
