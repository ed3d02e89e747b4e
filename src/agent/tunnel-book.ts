import type { PairId } from '../driver/api.js';
import type { NegotiationStep, UserPrompt } from '../ike/api.js';
import { type ErrorCode, IpseckitError } from '../report/errors.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { Agent, PromptAnswers, Reconfigured } from './agent.js';
import type { Clock } from './clock.js';
import { NegotiationError } from './failure.js';
import { bringUp, bringUpAnew, type TunnelUp, takeDown } from './one-shot.js';
import { describeTraffic, parseTunnel, type TunnelInfo, type TunnelSpec } from './tunnel.js';
import type { TunnelFiles } from './tunnel-files.js';

/** How long one attempt of a persistent tunnel may take before it counts as down. */
const attemptMs = 60_000;

/** A tunnel that did not come up for want of an answer is tried again after so long, then after twice as long, … */
const firstPauseMs = 5_000;
const longestPauseMs = 300_000;

/** Who brings a tunnel up, and watches. Nothing is kept of a tunnel once `closed` says that nobody waits any more. */
export interface TunnelAudience {
  readonly closed: AbortSignal;
  onStep(step: NegotiationStep): void;
  ask(prompt: UserPrompt): Promise<PromptAnswers | undefined>;
}

interface Entry {
  readonly document: unknown;
  /** As it was asked for, from the address of the last attempt. */
  asked: TunnelSpec;
  /** With what the gateway has configured, once it is up. */
  spec: TunnelSpec;
  lastFailure?: string;
  negotiating: boolean;
  waitsForPolicy?: true;
  pauseMs: number;
  cancelRetry?: () => void;
}

/** The persistent tunnels an agent keeps: each a file, a policy source in force, and its pairs. */
export class TunnelBook {
  readonly #agent: Agent;
  readonly #files: TunnelFiles;
  readonly #clock: Clock;
  readonly #localTowards: (peer: IpAddress) => IpAddress;
  readonly #entries = new Map<string, Entry>();
  readonly #audiences = new Map<string, TunnelAudience>();

  constructor(
    agent: Agent,
    files: TunnelFiles,
    clock: Clock,
    /** The address that the route to a peer uses; throws `IpseckitError` (ENVIRONMENT) without a route. */
    localTowards: (peer: IpAddress) => IpAddress,
  ) {
    this.#localTowards = localTowards;
    this.#agent = agent;
    this.#files = files;
    this.#clock = clock;
  }

  /** Puts every tunnel on file in force again, after the policy; what cannot be read is returned, not thrown. */
  async restore(policySettled: Promise<void>): Promise<readonly Error[]> {
    const { tunnels, errors } = this.#files.readAll(document => this.#add(document));
    for (const entry of tunnels) this.#tryAfter(policySettled, entry);
    return errors;
  }

  /** Brings a new tunnel up and keeps it. A tunnel that does not come up is not kept. */
  async up(document: unknown, audience: TunnelAudience, timeoutMs = attemptMs): Promise<TunnelInfo> {
    const spec = parseTunnel(document);
    if (this.#entries.has(spec.name))
      throw new IpseckitError('CONFLICT', `a tunnel named "${spec.name}" is there already`, {
        next: `"ipseckit tunnel down ${spec.name}" takes it down`,
      });
    const entry = this.#add(document);
    this.#audiences.set(spec.name, audience);
    try {
      const patience = { timeoutMs, interrupted: audience.closed };
      await this.#attempt(entry, () => bringUp(this.#agent, spec, patience));
      this.#files.write(spec.name, document);
    } catch (error) {
      await this.#remove(spec.name);
      throw error;
    } finally {
      this.#audiences.delete(spec.name);
    }
    return this.#info(spec.name);
  }

  /** Deletes a tunnel's SAs at the peer, its filters and its file. */
  async down(name: string): Promise<TunnelInfo> {
    if (!this.#entries.has(name))
      throw new IpseckitError('STORE', `no tunnel named "${name}"`, {
        next: '"ipseckit tunnel list" shows what is there',
      });
    const info = this.#info(name);
    await this.#remove(name);
    this.#files.remove(name);
    return { ...info, state: 'down', pairs: [] };
  }

  list(): TunnelInfo[] {
    return [...this.#entries.keys()].sort().map(name => this.#info(name));
  }

  /** Hands a negotiation step to whoever brings up a tunnel to that peer right now. */
  onStep(step: NegotiationStep): void {
    for (const audience of this.#audienceOf(step.peer)) audience.onStep(step);
  }

  /** Asks whoever brings up a tunnel to that gateway right now; `undefined` when nobody does. */
  async ask(prompt: UserPrompt): Promise<PromptAnswers | undefined> {
    return this.#audienceOf(prompt.peer)[0]?.ask(prompt);
  }

  #audienceOf(peer: IpAddress): TunnelAudience[] {
    return [...this.#audiences].flatMap(([name, audience]) =>
      this.#entries.get(name)?.asked.peer === peer ? [audience] : [],
    );
  }

  /** A gateway assigns another address than before: its tunnels go on from there. */
  reconfigured({ local, peer, configuration }: Reconfigured): void {
    for (const entry of this.#entries.values()) {
      const { asked } = entry;
      if (asked.local !== local || asked.peer !== peer || asked.modeConfig === undefined) continue;
      if (entry.negotiating) continue;
      this.#attempt(entry, () =>
        bringUpAnew(this.#agent, asked, configuration, { timeoutMs: attemptMs }),
      ).catch((error: unknown) => this.#retryAfter(entry, error));
    }
  }

  /** Nobody is tried any more. */
  close(): void {
    for (const { cancelRetry } of this.#entries.values()) cancelRetry?.();
  }

  /** An address has gone, and with it the pairs of tunnels from there: they begin anew, from another one if they may. */
  addressLost(address: IpAddress): void {
    for (const entry of this.#entries.values()) {
      if (entry.spec.local !== address || entry.negotiating || entry.waitsForPolicy) continue;
      entry.lastFailure = `${address} is no longer an address of this host`;
      this.#keepTrying(entry);
    }
  }

  #add(document: unknown): Entry {
    const spec = parseTunnel(document);
    const entry = { document, asked: spec, spec, negotiating: true, pauseMs: firstPauseMs };
    this.#entries.set(spec.name, entry);
    return entry;
  }

  #tryAfter(policySettled: Promise<void>, entry: Entry): void {
    entry.negotiating = false;
    entry.waitsForPolicy = true;
    entry.lastFailure = 'it waits for the assigned policy, which cannot be loaded';
    policySettled.then(() => {
      if (this.#entries.get(entry.asked.name) !== entry) return;
      delete entry.waitsForPolicy;
      delete entry.lastFailure;
      this.#keepTrying(entry);
    });
  }

  #keepTrying(entry: Entry): void {
    entry.cancelRetry?.();
    this.#attempt(entry, () => {
      entry.asked = this.#fromHere(entry);
      entry.spec = entry.asked;
      return bringUp(this.#agent, entry.asked, { timeoutMs: attemptMs });
    }).catch((error: unknown) => this.#retryAfter(entry, error));
  }

  /** The tunnel from the address that the route to its peer uses now, unless one was asked for. */
  #fromHere({ document, asked }: Entry): TunnelSpec {
    if (!asked.localFollowsRoute) return asked;
    return parseTunnel(Object.assign({}, document, { local: this.#localTowards(asked.peer) }));
  }

  /** What the gateway has refused stays down: asking again and again could lock the user out there. */
  #retryAfter(entry: Entry, error: unknown): void {
    if (this.#entries.get(entry.asked.name) !== entry || !mayRetry(error)) return;
    entry.cancelRetry = this.#clock.at(this.#clock.nowMs() + entry.pauseMs, () => this.#keepTrying(entry));
    entry.pauseMs = Math.min(longestPauseMs, 2 * entry.pauseMs);
  }

  async #attempt(entry: Entry, attempt: () => Promise<TunnelUp>): Promise<void> {
    entry.negotiating = true;
    try {
      const { tunnel } = await attempt();
      entry.spec = tunnel;
      entry.pauseMs = firstPauseMs;
      delete entry.lastFailure;
    } catch (error) {
      entry.lastFailure = error instanceof Error ? error.message : String(error);
      throw error;
    } finally {
      entry.negotiating = false;
    }
  }

  async #remove(name: string): Promise<void> {
    this.#entries.get(name)?.cancelRetry?.();
    this.#entries.delete(name);
    await takeDown(this.#agent, name);
  }

  #info(name: string): TunnelInfo {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new IpseckitError('INTERNAL', `tunnel "${name}" vanished`);
    const { spec, lastFailure, negotiating } = entry;
    const pairs = this.#pairsOf(name);
    const state = pairs.length > 0 ? 'up' : negotiating ? 'negotiating' : 'down';
    return {
      name,
      local: spec.local,
      peer: spec.peer,
      mode: spec.traffic.mode,
      traffic: describeTraffic(spec),
      state,
      pairs,
      ...(spec.configuration === undefined ? {} : { configuration: spec.configuration }),
      ...(state === 'down' && lastFailure !== undefined ? { lastFailure } : {}),
    };
  }

  #pairsOf(name: string): PairId[] {
    const own = new Set(
      this.#agent
        .filters()
        .filter(({ source }) => source.origin === 'tunnel' && source.policy.name === name)
        .map(({ filter }) => filter.id),
    );
    return this.#agent
      .quickModes()
      .filter(({ pair }) => pair.filterId !== undefined && own.has(pair.filterId))
      .map(({ pair }) => pair.id);
  }
}

/** Whether the reason may pass by itself: the gateway was down or had no address left, or this host has none yet. */
function mayRetry(error: unknown): boolean {
  const passing =
    error instanceof NegotiationError &&
    ['no-address', 'address-lost', 'peer-deleted'].includes(error.failure.reason);
  const codes: readonly ErrorCode[] = ['NO_RESPONSE', 'ENVIRONMENT'];
  return passing || (error instanceof IpseckitError && codes.includes(error.code));
}
