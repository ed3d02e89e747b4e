import type { Policy } from '../policy/model.js';
import type { PolicyStore } from '../policy/stores/store.js';
import { IpseckitError } from '../report/errors.js';
import type { PolicySource } from './active-policy.js';
import type { Agent, AgentEvent } from './agent.js';
import type { Clock } from './clock.js';
import type { CachedPolicy, PolicyCache } from './directory-cache.js';
import { DirectoryFollower, type DirectoryStatus, type PolicyDirectory } from './directory-follower.js';

export interface PolicyKeeperDependencies {
  readonly local: Pick<PolicyStore, 'assigned' | 'path'>;
  readonly agent: Pick<Agent, 'sources' | 'setSources'>;
  readonly clock: Clock;
  /** What goes before the local store, where there is a directory. */
  readonly directory?: {
    readonly store: PolicyDirectory;
    readonly cache: PolicyCache;
    readonly refreshMinutes: number;
  };
  onEvent(event: AgentEvent): void;
  /** The local policy has been read: it says how often to do that again. */
  onLocalPolicy(policy: Policy): void;
}

/** The policy in force and where it lies, as `netdiag` names it. */
export interface PolicyInForce {
  readonly kind: 'local' | 'directory';
  readonly policy: Policy;
  readonly path: string;
}

/**
 * Decides which policy is in force (`policy-semantics.md` 8.1): the directory's where it assigns one, otherwise the
 * assigned local one; they are never merged. Dynamic rules and tunnels are beside whichever it is.
 */
export class PolicyKeeper {
  readonly #deps: PolicyKeeperDependencies;
  readonly #follower: DirectoryFollower | undefined;
  #local: Policy | undefined;
  #directory: CachedPolicy | undefined;
  #inForce: PolicyInForce | undefined;
  #error: string | undefined;
  #turn: Promise<void> = Promise.resolve();
  #settle: () => void = () => {};
  #isSettled = false;
  #endStart: () => void = () => {};
  /** Resolves when `start` has done what it can. */
  readonly #started = new Promise<void>(resolve => {
    this.#endStart = resolve;
  });
  /**
   * Resolves once the driver has the filters of a policy, or has been told that none is assigned. Until then, what an
   * earlier, killed run left in force stays: nothing else is to be put in its place unasked.
   */
  readonly settled = new Promise<void>(resolve => {
    this.#settle = resolve;
  });

  constructor(deps: PolicyKeeperDependencies) {
    this.#deps = deps;
    const { directory, clock } = deps;
    this.#follower =
      directory &&
      new DirectoryFollower({
        directory: directory.store,
        cache: directory.cache,
        refreshMinutes: directory.refreshMinutes,
        clock,
        apply: found => this.#applyDirectory(found),
        onEvent: event => deps.onEvent({ kind: 'policy', event }),
      });
  }

  get inForce(): PolicyInForce | undefined {
    return this.#inForce;
  }

  /** The local policy that is assigned and not in force, because the directory's is. */
  get overridden(): Policy | undefined {
    return this.#inForce?.kind === 'directory' ? this.#local : undefined;
  }

  /** Why the assigned policy cannot be loaded; what was in force before, under an earlier run too, stays. */
  get error(): string | undefined {
    return this.#error;
  }

  get directory(): DirectoryStatus | undefined {
    return this.#follower?.status();
  }

  async start(): Promise<void> {
    await (this.#follower === undefined ? this.reload() : this.#follower.start());
    this.#endStart();
  }

  /**
   * Before dynamic rules or a tunnel go beside the policy. While there is none that they could go beside, they would go in
   * the place of what was left in force, and open it: throws `IpseckitError` (STORE) then.
   */
  async requireSettled(): Promise<void> {
    if (this.#isSettled) return;
    await this.#started;
    if (this.#isSettled) return;
    const reason = this.#error ?? this.#follower?.status().error ?? 'it has not been read';
    throw new IpseckitError(
      'STORE',
      `the assigned policy cannot be loaded, so that nothing else is put in force: ${reason}`,
      { next: 'repair it or unassign it, then "ipseckit agent reload"' },
    );
  }

  stop(): void {
    this.#follower?.stop();
  }

  /** Looks at the directory now. */
  async look(): Promise<void> {
    await this.#follower?.look();
  }

  /** Reads the local store again; a policy that cannot be read leaves in force what was. One at a time. */
  reload(): Promise<void> {
    return this.#inTurn(() => this.#enforce(this.#directory)).catch((error: unknown) => {
      this.#deps.onEvent({
        kind: 'error',
        error: error instanceof Error ? error : new Error(String(error)),
      });
    });
  }

  /** The sources there would be with this local policy assigned. */
  sourcesWith(local: Policy | undefined): readonly PolicySource[] {
    return this.#sources(this.#directory?.policy ?? local);
  }

  #applyDirectory(found: CachedPolicy | undefined): Promise<void> {
    return this.#inTurn(async () => {
      await this.#enforce(found);
      this.#directory = found;
    });
  }

  async #enforce(directory: CachedPolicy | undefined): Promise<void> {
    try {
      await this.#load(directory);
    } catch (error) {
      this.#error = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  async #load(directory: CachedPolicy | undefined): Promise<void> {
    const local = await this.#readLocal(directory !== undefined);
    const policy = directory?.policy ?? local;
    await this.#deps.agent.setSources(this.#sources(policy));
    this.#isSettled = true;
    this.#settle();
    const { clock } = this.#deps;
    const before = this.#inForce;
    this.#local = local;
    if (local !== undefined) this.#deps.onLocalPolicy(local);
    this.#inForce = directory === undefined ? this.#localInForce(local) : inDirectory(directory);
    const now = this.#inForce;
    if (now?.kind === 'local' && (before?.kind !== 'local' || before.policy.id !== now.policy.id))
      this.#deps.onEvent({
        kind: 'policy',
        event: { id: 5460, atMs: clock.calendarMs(clock.nowMs()), policy: now.policy.name, path: now.path },
      });
  }

  /** A damaged local store does not matter while another policy is in force, but is said. */
  async #readLocal(isOverridden: boolean): Promise<Policy | undefined> {
    this.#error = undefined;
    try {
      return await this.#deps.local.assigned();
    } catch (error) {
      if (!isOverridden || !(error instanceof Error)) throw error;
      this.#error = error.message;
      return undefined;
    }
  }

  #localInForce(policy: Policy | undefined): PolicyInForce | undefined {
    return policy && { kind: 'local', policy, path: this.#deps.local.path(policy) };
  }

  #sources(policy: Policy | undefined): readonly PolicySource[] {
    const others = this.#deps.agent.sources.filter(({ origin }) => origin !== 'assigned');
    return policy === undefined ? others : [{ origin: 'assigned', policy }, ...others];
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

function inDirectory({ policy, dn }: CachedPolicy): PolicyInForce {
  return { kind: 'directory', policy, path: `LDAP://${dn}` };
}
