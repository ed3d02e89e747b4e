import type { Credentials } from '../crypto/certificates/credentials.js';
import type { Secret } from '../crypto/secret.js';
import type {
  Driver,
  DriverEvent,
  DriverStatistics,
  FilterId,
  PairId,
  PairStatistics,
  SaPair,
} from '../driver/api.js';
import type {
  AuditEvent,
  ExportedKeys,
  FetchedCrl,
  IkeEffect,
  IkeOptions,
  NegotiationFailure,
  NegotiationStep,
  PromptField,
  UserPrompt,
} from '../ike/api.js';
import { IkeEngine } from '../ike/engine.js';
import type { IkeStatistics, MainModeInfo, QuickModeInfo } from '../ike/info.js';
import { type ExpansionNote, expandPolicies } from '../policy/expand.js';
import { IpseckitError } from '../report/errors.js';
import { addressFamily, type IpAddress } from '../wire/ip/address.js';
import type { Configuration } from '../wire/isakmp/transaction.js';
import { type ActiveFilter, ActivePolicy, type PolicySource } from './active-policy.js';
import { onCalendar } from './calendar.js';
import type { Clock } from './clock.js';
import { DriverFilters } from './driver-filters.js';
import { type DropTrace, dropTrace, pairOnCalendar } from './drop-trace.js';
import { ClearFallback, type SoftAssociationInfo } from './fallback.js';
import { ikeEnvironment } from './ike-environment.js';
import { type LastMessage, LastSent } from './last-sent.js';
import { LostAddresses } from './lost-addresses.js';
import { type PolicyPlan, planOf } from './plan.js';
import { policyChange } from './policy-change.js';
import type { PolicyEvent } from './policy-events.js';
import { Requests, type Waiter } from './requests.js';
import { Surroundings, type SurroundingsSources } from './surroundings.js';

/** Everything the agent needs from outside. */
export interface AgentDependencies extends SurroundingsSources {
  readonly driver: Driver;
  readonly clock: Clock;
  random(length: number): Uint8Array;
  /** This machine's certificates as they are now; none when absent. */
  credentials?(): Credentials;
  /** Fetches revocation lists, with a result for each URL; without it only those of the credentials count. */
  fetchCrls?(urls: readonly string[]): Promise<readonly FetchedCrl[]>;
  readonly ike?: IkeOptions;
  /** Asks the user what a gateway wants to know; when absent, or without an answer, nobody is there. */
  prompt?(prompt: UserPrompt): Promise<PromptAnswers | undefined>;
  onEvent(event: AgentEvent): void;
}

export type PromptAnswers = Readonly<Partial<Record<PromptField, Secret<string>>>>;

/** What an agent tells whoever runs it. */
export type AgentEvent =
  | { readonly kind: 'audit'; readonly event: AuditEvent }
  | { readonly kind: 'policy'; readonly event: PolicyEvent }
  | { readonly kind: 'step'; readonly step: NegotiationStep }
  | { readonly kind: 'failure'; readonly failure: NegotiationFailure }
  | { readonly kind: 'keys'; readonly keys: ExportedKeys }
  /** What a gateway configures for a tunnel that is up has changed: it has to be put in force anew (`bringUpAnew`). */
  | Reconfigured
  /** This host has an address no longer: all that was negotiated from there has ended. */
  | { readonly kind: 'addressLost'; readonly address: IpAddress }
  | { readonly kind: 'error'; readonly error: Error };

export type Reconfigured = IkeEffect & { readonly kind: 'reconfigured' };

/** Longest wait for deletes to leave before the sockets close. */
const farewellMs = 200;

/**
 * The policy agent: hands filters to the driver and offers to IKE, carries IKE's effects to the driver and the
 * driver's events to IKE. The daemon and a one-shot `tunnel up` run this same object.
 */
export class Agent {
  readonly #deps: AgentDependencies;
  readonly #ike: IkeEngine;
  readonly #fallback: ClearFallback;
  #policy = new ActivePolicy([], []);
  readonly #surroundings: Surroundings;
  readonly #lostAddresses: LostAddresses;
  #notes: readonly ExpansionNote[] = [];
  readonly #driverFilters: DriverFilters;
  readonly #requests = new Requests();
  #cancelWake: () => void = () => {};
  readonly #lastSent = new LastSent();
  #running = false;
  /** Until it has sources to put in force, the driver keeps what an earlier, killed run left. */
  #hasSources = false;
  readonly #keyWatchers = new Set<(keys: ExportedKeys) => void>();

  constructor(deps: AgentDependencies) {
    this.#deps = deps;
    this.#ike = new IkeEngine(
      ikeEnvironment(
        deps,
        () => this.#policy,
        () => this.#keyWatchers.size > 0,
      ),
    );
    this.#surroundings = new Surroundings({
      clock: deps.clock,
      sources: deps,
      onChange: () => this.#surroundingsChanged(),
      onError: error => this.#reportError(error),
    });
    this.#lostAddresses = new LostAddresses(deps.clock, address => this.#addressLost(address));
    this.#driverFilters = new DriverFilters(
      deps.driver,
      () => this.#policy,
      error => this.#reportError(error),
    );
    this.#fallback = new ClearFallback({
      driver: deps.driver,
      clock: deps.clock,
      audit: event => this.#audit(event),
      reportError: error => this.#reportError(error),
    });
  }

  get driverName(): Driver['name'] {
    return this.#deps.driver.name;
  }

  /** The address families this host takes part in. */
  get families(): readonly (4 | 6)[] {
    return this.#ownAddresses().some(address => addressFamily(address) === 6) ? [4, 6] : [4];
  }

  /** Opens the driver. Throws `IpseckitError` when the host refuses (privilege, port in use). */
  async start(): Promise<void> {
    await this.#deps.driver.start(event => this.#onDriverEvent(event));
    this.#running = true;
    this.#surroundings.start();
    this.#lostAddresses.update(this.#ownAddresses());
  }

  /** Tells every peer, then removes everything from the host. Safe to call twice. */
  async stop(reason = 'the policy agent stops'): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    this.#surroundings.stop();
    this.#lostAddresses.stop();
    this.#fallback.endAll(reason);
    this.#run(this.#ike.closeAll(this.#now(), reason));
    this.#cancelWake();
    await new Promise<void>(resolve => this.#deps.clock.at(this.#now() + farewellMs, resolve));
    await this.#deps.driver.stop();
  }

  /**
   * Puts `sources` in force, applying only the difference: pairs of filters that are gone or read differently, and main
   * modes negotiated in a way that is no longer allowed, with the pairs made under them, are deleted at the peer. All
   * others go on. Where the driver cannot, what was in force before stays, and the driver's error is thrown.
   */
  async setSources(sources: readonly PolicySource[]): Promise<void> {
    this.#surroundings.follow(sources.map(({ policy }) => policy));
    const { next, notes, change } = this.#change(sources);
    const [before, hadSources] = [this.#policy, this.#hasSources];
    this.#policy = next;
    this.#hasSources = true;
    try {
      await this.#driverFilters.policyChanged();
    } catch (error) {
      this.#hasSources = hadSources;
      if (this.#policy === next) await this.#putBack(before);
      throw error;
    }
    this.#notes = notes;
    this.#fallback.policyChanged(id => next.find(id) !== undefined && change.keepsFilter(id));
    this.#run(this.#ike.policyChanged(change, this.#now(), 'the policy changed'));
  }

  /** What of a change did reach the driver is undone, as far as it can be. */
  async #putBack(policy: ActivePolicy): Promise<void> {
    this.#policy = policy;
    this.#surroundings.follow(policy.sources.map(source => source.policy));
    if (!this.#hasSources) return;
    await this.#driverFilters.policyChanged().catch((error: unknown) => this.#reportError(error));
  }

  /** What `setSources` would do now, without doing it. */
  plan(sources: readonly PolicySource[]): PolicyPlan {
    const { next, change } = this.#change(sources);
    return planOf(this.#policy.filters, next.filters, this.#ike.stale(change));
  }

  /** The difference between what is in force and `sources`. */
  #change(sources: readonly PolicySource[]) {
    const { filters, notes } = expandPolicies(sources, this.#surroundings.context);
    const next = new ActivePolicy(sources, filters);
    return { next, notes, change: policyChange(this.#policy, next) };
  }

  get sources(): readonly PolicySource[] {
    return this.#policy.sources;
  }

  /** The specific filters in force, in matching order. */
  filters(): readonly ActiveFilter[] {
    return this.#policy.filters;
  }

  /** Filters that are not enforced as written, and why. */
  notes(): readonly ExpansionNote[] {
    return this.#notes;
  }

  filterPackets(): Promise<ReadonlyMap<FilterId, number>> {
    return this.#deps.driver.filterPackets();
  }

  mainModes(): readonly MainModeInfo[] {
    return this.#told(this.#ike.mainModes());
  }

  quickModes(): readonly QuickModeInfo[] {
    return this.#told(this.#ike.quickModes());
  }

  /** Traffic that passes in clear because its peer does not answer IKE. */
  softAssociations(): readonly SoftAssociationInfo[] {
    return this.#told(this.#fallback.list());
  }

  pairStatistics(): readonly PairStatistics[] {
    return this.#deps.driver.pairStatistics().map(pair => pairOnCalendar(pair, this.#deps.clock));
  }

  /** What was dropped, where and why. */
  dropTrace(): Promise<DropTrace> {
    const { driver, clock } = this.#deps;
    return dropTrace({ driver, clock, quickModes: this.#ike.quickModes(), filters: this.#policy.filters });
  }

  statistics(): { readonly ike: IkeStatistics; readonly driver: DriverStatistics } {
    const softAssociations = this.#fallback.established;
    return { ike: { ...this.#ike.statistics(), softAssociations }, driver: this.#deps.driver.statistics() };
  }

  /**
   * Negotiates a filter now, without waiting for traffic. Resolves when its SAs are up (at once when the peer brought
   * them up meanwhile); rejects with the `NegotiationFailure`.
   */
  negotiate(filterId: FilterId, local: IpAddress, peer: IpAddress): Promise<PairId> {
    const there = this.#ike.quickModes().find(({ pair }) => pair.filterId === filterId && pair.peer === peer);
    if (there) return Promise.resolve(there.pair.id);
    return new Promise((resolve, reject) => this.#acquire(filterId, local, peer, { resolve, reject }));
  }

  /**
   * Hands out key material: at once that of everything alive, from now on that of what is negotiated, until the
   * returned function is called. Whoever has it can read the traffic.
   */
  watchKeys(watcher: (keys: ExportedKeys) => void): () => void {
    this.#keyWatchers.add(watcher);
    for (const keys of this.#ike.exportedKeys()) watcher(keys);
    return () => this.#keyWatchers.delete(watcher);
  }

  /**
   * Negotiates main mode with a gateway, and what it configures its clients with. Resolves with that; rejects with the
   * `NegotiationFailure`.
   */
  connect(local: IpAddress, peer: IpAddress): Promise<Configuration> {
    return new Promise((resolve, reject) => {
      const id = this.#requests.connect({ resolve, reject });
      this.#run(this.#ike.connect({ id, local, peer }, this.#now()));
    });
  }

  /** The last IKE message sent to a peer, and what ICMP said of it. */
  lastSent(peer: IpAddress): LastMessage | undefined {
    return this.#lastSent.to(peer);
  }

  #now(): number {
    return this.#deps.clock.nowMs();
  }

  #acquire(filterId: FilterId, local: IpAddress, peer: IpAddress, waiter?: Waiter<PairId>): void {
    const wanted = this.#policy.acquire(filterId, local, peer);
    if (wanted === undefined) return;
    const id = `${filterId} ${wanted.local} ${wanted.peer}`;
    if (!this.#requests.acquire(id, filterId, peer, waiter)) return;
    const idleSeconds = this.#policy.softIdleSeconds(filterId);
    if (idleSeconds !== undefined)
      this.#fallback.wanted({ id, filterId, local, peer, selector: wanted.quickMode.selector, idleSeconds });
    this.#run(this.#ike.acquire({ id, ...wanted }, this.#now()));
  }

  #onDriverEvent(event: DriverEvent): void {
    const nowMs = this.#now();
    switch (event.kind) {
      case 'ike':
        this.#fallback.heard(event.datagram.peer.address);
        return this.#run(this.#ike.receive(event.datagram, nowMs));
      case 'acquire':
        return this.#acquire(event.filterId, event.local, event.peer);
      case 'softExpired':
        return this.#run(this.#ike.expire(event.pairId, 'soft', nowMs));
      case 'hardExpired':
        return this.#run(this.#ike.expire(event.pairId, 'hard', nowMs));
      case 'inboundUsed':
        return this.#run(this.#ike.inboundUsed(event.pairId, nowMs));
      case 'unknownSpi': {
        // A flood of them must not cost a new timer each.
        const effects = this.#ike.unknownSpi(event, nowMs);
        return effects.length > 0 ? this.#run(effects) : undefined;
      }
      case 'undelivered': {
        const effects = this.#ike.undelivered(event, nowMs);
        return effects.length > 0 ? this.#run(effects) : undefined;
      }
      case 'peerMoved':
        return this.#run(this.#ike.peerMoved(event.pairId, event.peer, nowMs));
      case 'failed':
        return this.#deps.onEvent({ kind: 'error', error: event.error });
    }
  }

  #run(effects: readonly IkeEffect[]): void {
    for (const effect of effects) this.#apply(effect);
    this.#cancelWake();
    const wakeMs = this.#ike.nextWakeMs();
    if (wakeMs !== undefined && this.#running)
      this.#cancelWake = this.#deps.clock.at(wakeMs, () => this.#run(this.#ike.tick(this.#now())));
  }

  #apply(effect: IkeEffect): void {
    const { driver, onEvent } = this.#deps;
    switch (effect.kind) {
      case 'send':
        return driver.sendIke(effect.datagram);
      case 'installInbound':
        return this.#install(effect.pair);
      case 'activateOutbound':
        driver.activateOutbound(effect.pairId);
        return this.#fallback.secured(() => this.#peerOf(effect.pairId));
      case 'removePair':
        driver.removePair(effect.pairId);
        return this.#driverFilters.pairRemoved(effect.pairId);
      case 'acquired':
        this.#fallback.finished(effect.requestId);
        return this.#requests.acquired(effect.requestId, effect.pairId);
      case 'connected':
        return this.#requests.connected(effect.requestId, effect.configuration);
      case 'reconfigured':
        return onEvent(effect);
      case 'prompt':
        return this.#ask(effect.prompt);
      case 'acquireFailed': {
        const { requestId, failure } = effect;
        onEvent({ kind: 'failure', failure });
        this.#fallback.finished(requestId);
        const wanted = this.#requests.failed(requestId, failure);
        if (wanted) driver.negotiationFailed(wanted.filterId, wanted.peer);
        return;
      }
      case 'fetchCrls':
        void this.#fetchCrls(effect.requestId, effect.urls);
        return;
      case 'audit':
        return this.#audit(effect.event);
      case 'progress':
        this.#lastSent.step(effect.step);
        this.#fallback.step(effect.step);
        return onEvent({ kind: 'step', step: onCalendar(effect.step, this.#deps.clock) });
      case 'keys':
        for (const watcher of this.#keyWatchers) watcher(effect.keys);
        if (this.#deps.ike?.exportKeys) onEvent({ kind: 'keys', keys: effect.keys });
        return;
    }
  }

  async #fetchCrls(requestId: string, urls: readonly string[]): Promise<void> {
    const results = (await this.#deps.fetchCrls?.(urls)) ?? [];
    if (this.#running) this.#run(this.#ike.crlsFetched(requestId, results, this.#now()));
  }

  #peerOf(pairId: PairId): IpAddress | undefined {
    return this.#ike.quickModes().find(({ pair }) => pair.id === pairId)?.pair.peer;
  }

  /** A driver that refuses a pair (it knows more about keys) costs that pair, not the agent. */
  #install(pair: SaPair): void {
    try {
      this.#deps.driver.installInbound(pair);
    } catch (error) {
      this.#reportError(error);
      queueMicrotask(() => this.#run(this.#ike.closePair(pair.id, this.#now(), 'the driver refused it')));
      return;
    }
    this.#driverFilters.pairInstalled(pair);
  }

  #ask(prompt: UserPrompt): void {
    const asked = this.#deps.prompt?.(prompt) ?? Promise.resolve(undefined);
    asked
      .catch((error: unknown) => this.#reportError(error))
      .then(answers => {
        this.#run(this.#ike.answerPrompt(prompt.id, answers ?? undefined, this.#now()));
      });
  }

  #ownAddresses(): IpAddress[] {
    return this.#surroundings.context.localAddresses.map(({ address }) => address);
  }

  #addressLost(address: IpAddress): void {
    this.#run(this.#ike.addressLost(address, this.#now()));
    this.#deps.onEvent({ kind: 'addressLost', address });
  }

  /** Puts the same sources in force with what is known now. */
  #surroundingsChanged(): void {
    if (!this.#running) return;
    this.#lostAddresses.update(this.#ownAddresses());
    if (!this.#hasSources) return;
    this.setSources(this.#policy.sources).catch((error: unknown) => this.#reportError(error));
  }

  #audit(event: AuditEvent): void {
    this.#deps.onEvent({ kind: 'audit', event: onCalendar(event, this.#deps.clock) });
  }

  /** As told to people: by the calendar. */
  #told<T extends object>(list: readonly T[]): readonly T[] {
    return list.map(each => onCalendar(each, this.#deps.clock));
  }

  #reportError(error: unknown): void {
    this.#deps.onEvent({
      kind: 'error',
      error: error instanceof Error ? error : new IpseckitError('INTERNAL', String(error)),
    });
  }
}
