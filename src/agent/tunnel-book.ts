import type { PairId } from '../driver/api.js';
import type { NegotiationStep } from '../ike/api.js';
import { IpseckitError } from '../report/errors.js';
import type { Agent } from './agent.js';
import { bringUp } from './one-shot.js';
import { describeTraffic, parseTunnel, type TunnelInfo, type TunnelSpec } from './tunnel.js';
import type { TunnelFiles } from './tunnel-files.js';

/** How long one attempt of a persistent tunnel may take before it counts as down; the next packet tries again. */
const attemptMs = 60_000;

interface Entry {
  /** With what the gateway has configured, once it is up. */
  spec: TunnelSpec;
  lastFailure?: string;
  negotiating: boolean;
}

/** The persistent tunnels an agent keeps: each a file, a policy source in force, and its pairs. */
export class TunnelBook {
  readonly #agent: Agent;
  readonly #files: TunnelFiles;
  readonly #entries = new Map<string, Entry>();
  readonly #stepListeners = new Map<string, (step: NegotiationStep) => void>();

  constructor(agent: Agent, files: TunnelFiles) {
    this.#agent = agent;
    this.#files = files;
  }

  /** Puts every tunnel on file in force again; what cannot be read is returned, not thrown. */
  async restore(): Promise<readonly Error[]> {
    const { documents, errors } = this.#files.readAll();
    for (const document of documents) {
      const spec = parseTunnel(document);
      this.#entries.set(spec.name, { spec, negotiating: true });
      this.#attempt(spec).catch(() => {}); // Its reason is kept in the entry and shown by `list`.
    }
    return errors;
  }

  /** Brings a new tunnel up and keeps it. A tunnel that does not come up is not kept. */
  async up(document: unknown, onStep: (step: NegotiationStep) => void): Promise<TunnelInfo> {
    const spec = parseTunnel(document);
    if (this.#entries.has(spec.name))
      throw new IpseckitError('CONFLICT', `a tunnel named "${spec.name}" is there already`, {
        next: `"ipseckit tunnel down ${spec.name}" takes it down`,
      });
    this.#entries.set(spec.name, { spec, negotiating: true });
    this.#stepListeners.set(spec.name, onStep);
    try {
      await this.#attempt(spec);
      this.#files.write(spec.name, document);
    } catch (error) {
      await this.#remove(spec.name);
      throw error;
    } finally {
      this.#stepListeners.delete(spec.name);
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
    for (const [name, listener] of this.#stepListeners)
      if (this.#entries.get(name)?.spec.peer === step.peer) listener(step);
  }

  async #attempt(spec: TunnelSpec): Promise<void> {
    const entry = this.#entries.get(spec.name);
    try {
      const { tunnel } = await bringUp(this.#agent, spec, { timeoutMs: attemptMs });
      if (entry) entry.spec = tunnel;
    } catch (error) {
      if (entry) entry.lastFailure = error instanceof Error ? error.message : String(error);
      throw error;
    } finally {
      if (entry) entry.negotiating = false;
    }
  }

  async #remove(name: string): Promise<void> {
    this.#entries.delete(name);
    await this.#agent.setSources(
      this.#agent.sources.filter(source => source.origin !== 'tunnel' || source.policy.name !== name),
    );
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
