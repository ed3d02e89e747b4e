/**
 * Keeps up with the policy a directory assigns (`policy-store.md` 7.4, 7.5; `policy-semantics.md` 8). Windows has two
 * clocks, group policy for which policy is assigned and polling for its content; here one look asks for both, as often
 * as the shorter of the two. No I/O of its own: the directory, the cache and the clock are given.
 */
import { printNote } from '../policy/note.js';
import type { DirectoryAssignment, DirectoryPolicy } from '../policy/stores/directory/directory-store.js';
import type { Clock } from './clock.js';
import type { CachedPolicy, PolicyCache } from './directory-cache.js';
import type { PolicyEvent, PolicyEventId } from './policy-events.js';

/** What a follower asks of a directory; `DirectoryStore` is one. Failure to answer throws. */
export interface PolicyDirectory {
  readonly where: string;
  assignment(): Promise<DirectoryAssignment | undefined>;
  retrieve(assignment: DirectoryAssignment): Promise<DirectoryPolicy>;
}

export interface FollowerDependencies {
  readonly directory: PolicyDirectory;
  readonly cache: PolicyCache;
  readonly clock: Clock;
  readonly refreshMinutes: number;
  /** Puts the directory's policy in force, or the local one for `undefined`. */
  apply(found: CachedPolicy | undefined): Promise<void>;
  onEvent(event: PolicyEvent): void;
}

/** Where the policy in force comes from, for people. */
export interface DirectoryStatus {
  readonly url: string;
  /** `applied` and `cached` are in force; with the others, the local policy is. */
  readonly state: 'asking' | 'applied' | 'cached' | 'unassigned' | 'unreachable';
  /** The DN of the policy in force. */
  readonly dn?: string;
  /** What of that policy is not in force as the directory has it, because it cannot be read: sentences. */
  readonly leftOut?: readonly string[];
  /** Why the last look failed. */
  readonly error?: string;
  readonly lookedAtMs?: number;
  readonly nextLookAtMs?: number;
}

/** Longest wait after a failure, in minutes, which the waits of 1, 4 and 25 minutes before grow to. */
const longestRetryMinutes = 166;

/** The wait after one more failure: 0 -> 1 -> 4 -> 25 -> 166 minutes. */
export function nextRetryMinutes(before: number): number {
  return Math.min((before + 1) ** 2, longestRetryMinutes);
}

export class DirectoryFollower {
  readonly #deps: FollowerDependencies;
  #inForce: CachedPolicy | undefined;
  /** What was read last; with nothing known, a look reads everything. */
  #known: DirectoryAssignment | undefined;
  #state: DirectoryStatus['state'] = 'asking';
  #error: string | undefined;
  #retryMinutes = 0;
  #lookedAtMs: number | undefined;
  #nextLookAtMs: number | undefined;
  #cancel: () => void = () => {};
  #looking: Promise<void> = Promise.resolve();
  #running = true;
  /** What is to be in force without a word of the directory, its copy or the local policy, is. */
  #isApplied = false;

  constructor(deps: FollowerDependencies) {
    this.#deps = deps;
  }

  status(): DirectoryStatus {
    const { clock } = this.#deps;
    return {
      url: this.#deps.directory.where,
      state: this.#state,
      ...(this.#inForce === undefined ? {} : { dn: this.#inForce.dn }),
      ...(this.#inForce === undefined || this.#inForce.leftOut.length === 0
        ? {}
        : { leftOut: this.#inForce.leftOut }),
      ...(this.#error === undefined ? {} : { error: this.#error }),
      ...(this.#lookedAtMs === undefined ? {} : { lookedAtMs: clock.calendarMs(this.#lookedAtMs) }),
      ...(this.#nextLookAtMs === undefined ? {} : { nextLookAtMs: clock.calendarMs(this.#nextLookAtMs) }),
    };
  }

  /** Puts in force what can be without asking, so that nothing passes unprotected meanwhile, and looks. */
  async start(): Promise<void> {
    try {
      await this.#put(this.#deps.cache.read());
    } catch (error) {
      this.#say(5459, messageOf(error));
    }
    await this.look();
  }

  /** Looks now, and again when it is time. Never throws: what goes wrong is an event. One look at a time. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => (this.#running ? this.#look() : undefined));
    return this.#looking;
  }

  stop(): void {
    this.#running = false;
    this.#cancel();
  }

  async #look(): Promise<void> {
    this.#cancel();
    const failure = await this.#ask().then(
      found => this.#take(found),
      (error: unknown) => this.#unanswered(messageOf(error)),
    );
    this.#error = failure;
    this.#retryMinutes = failure === undefined ? 0 : nextRetryMinutes(this.#retryMinutes);
    this.#lookedAtMs = this.#deps.clock.nowMs();
    if (this.#running) this.#lookIn(failure === undefined ? this.#pollMinutes() : this.#retryMinutes);
  }

  async #ask(): Promise<'unassigned' | 'unchanged' | DirectoryPolicy> {
    const assignment = await this.#deps.directory.assignment();
    if (assignment === undefined) return 'unassigned';
    const { dn, changed } = assignment;
    const isKnown = this.#known?.dn === dn && this.#known.changed === changed;
    const leftOut = this.#inForce?.leftOut ?? [];
    if (isKnown && leftOut.length === 0) return 'unchanged';
    const found = await this.#deps.directory.retrieve(assignment);
    // Who repairs an object need not touch the policy.
    const isSame = isKnown && withLastReadable(found, this.#inForce).leftOut.join() === leftOut.join();
    return isSame ? 'unchanged' : found;
  }

  /** Does what the directory says; why that is not possible otherwise. */
  async #take(found: 'unassigned' | 'unchanged' | DirectoryPolicy): Promise<string | undefined> {
    try {
      if (found === 'unassigned') await this.#unassign();
      else if (found === 'unchanged') this.#confirm();
      else await this.#apply(found);
      return undefined;
    } catch (error) {
      this.#say(5457, messageOf(error));
      return messageOf(error);
    }
  }

  async #unassign(): Promise<void> {
    if (this.#inForce !== undefined || !this.#isApplied) await this.#put(undefined);
    this.#known = undefined;
    this.#state = 'unassigned';
    this.#deps.cache.remove();
  }

  async #put(policy: CachedPolicy | undefined): Promise<void> {
    await this.#deps.apply(policy);
    this.#inForce = policy;
    this.#isApplied = true;
  }

  #confirm(): void {
    this.#say(this.#state === 'cached' ? 5467 : 5463);
    this.#state = 'applied';
  }

  /** A policy of another name is applied, another content of the same one is a change. */
  async #apply(found: DirectoryPolicy): Promise<void> {
    const policy = withLastReadable(found, this.#inForce);
    const id = this.#known?.dn !== policy.dn ? 5456 : this.#state === 'cached' ? 5468 : 5464;
    await this.#put(policy);
    this.#known = { dn: policy.dn, changed: policy.changed };
    this.#state = 'applied';
    this.#say(
      id,
      found.notes
        .filter(({ kind }) => kind !== 'dropped')
        .map(printNote)
        .join('; '),
    );
    if (policy.leftOut.length > 0) this.#say(5462, policy.leftOut.join('; '));
    this.#deps.cache.write(policy);
  }

  /** What is in force stays. Each state is said once. */
  #unanswered(reason: string): string {
    const before = this.#state;
    this.#state = this.#inForce === undefined ? 'unreachable' : 'cached';
    if (this.#inForce === undefined && before !== 'unreachable') this.#say(5457, reason);
    if (this.#inForce !== undefined && before !== 'cached')
      this.#say(before === 'asking' ? 5458 : 5466, reason);
    if (before === 'asking') this.#known = this.#inForce;
    return reason;
  }

  #pollMinutes(): number {
    const { refreshMinutes } = this.#deps;
    const polling = this.#inForce?.policy.pollIntervalMinutes ?? 0;
    return polling === 0 ? refreshMinutes : Math.min(polling, refreshMinutes);
  }

  #lookIn(minutes: number): void {
    this.#nextLookAtMs = this.#deps.clock.nowMs() + minutes * 60_000;
    this.#cancel = this.#deps.clock.at(this.#nextLookAtMs, () => void this.look());
  }

  #say(id: PolicyEventId, reason?: string): void {
    this.#deps.onEvent({
      id,
      atMs: this.#deps.clock.calendarMs(this.#deps.clock.nowMs()),
      ...(this.#inForce === undefined ? {} : { policy: this.#inForce.policy.name, path: this.#inForce.dn }),
      ...(reason === undefined || reason === '' ? {} : { reason }),
    });
  }
}

/**
 * The policy as it is to be enforced. A rule that cannot be read stays as it was read last, so that what it protects does not
 * become clear by damage; where it never was, it is left out (`policy-store.md` 7.6).
 */
function withLastReadable(
  { dn, changed, policy, notes, lostRules }: DirectoryPolicy,
  before: CachedPolicy | undefined,
): CachedPolicy {
  const known = before?.dn === dn ? before.policy.rules : [];
  const kept = known.filter(({ id }) => lostRules.some(({ rule }) => rule === id));
  const leftOut = notes
    .filter(({ kind }) => kind === 'dropped')
    .map(note => {
      const lost = lostRules.find(({ where }) => where === note.where);
      if (lost === undefined) return printNote(note);
      const stays = kept.some(({ id }) => id === lost.rule);
      return `${printNote(note)}; ${stays ? 'the rule stays in force as it was read last' : 'the rule is not in force'}`;
    });
  return { dn, changed, policy: { ...policy, rules: [...policy.rules, ...kept] }, leftOut };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
