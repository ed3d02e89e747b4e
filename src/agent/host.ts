import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Credentials, noCredentials } from '../crypto/certificates/credentials.js';
import type { Driver } from '../driver/api.js';
import type { IkeOptions } from '../ike/api.js';
import { policyNotFound } from '../policy/build.js';
import { describeFilter } from '../policy/describe.js';
import { policyFromDocument } from '../policy/document.js';
import { defaultExemptionLevel } from '../policy/exemptions.js';
import type { Policy } from '../policy/model.js';
import { DirectoryStore } from '../policy/stores/directory/directory-store.js';
import { defaultRefreshMinutes } from '../policy/stores/directory/settings.js';
import { type Home, localStoreFolder } from '../policy/stores/home.js';
import { LocalStore } from '../policy/stores/local.js';
import { IpseckitError } from '../report/errors.js';
import { type ActiveFilter, sourcesOf } from './active-policy.js';
import { Agent, type AgentEvent } from './agent.js';
import { AuditLog } from './audit-log.js';
import type { LoggedEvent } from './audit-text.js';
import { CertificateStore, certificateFolders } from './certificate-store.js';
import { systemClock } from './clock.js';
import type { AgentStatus, FilterInfo } from './control/protocol.js';
import { type ControlHandlers, ControlServer } from './control/server.js';
import { CrlFetcher } from './crl-fetcher.js';
import { DirectoryCache } from './directory-cache.js';
import { EventThrottle } from './event-throttle.js';
import { localAddresses, localAddressTowards } from './local-addresses.js';
import { auditFilePath, controlSocketPath } from './paths.js';
import { PolicyKeeper } from './policy-keeper.js';
import { PolicyWatch } from './policy-watch.js';
import { resolveName } from './resolve-name.js';
import { readServers } from './servers.js';
import type { AgentSettings } from './settings.js';
import { TunnelBook } from './tunnel-book.js';
import { TunnelFiles } from './tunnel-files.js';

/** Audit events from this id on tell of failures. */
const firstFailureEventId = 544;

export interface AgentHostOptions {
  readonly home: Home;
  readonly driver: Driver;
  readonly driverReason: string;
  readonly version: string;
  /** Those in force: the driver has been made with them. */
  readonly settings?: AgentSettings;
  readonly ike?: IkeOptions;
  /** Everything worth a line in the foreground: `agent run` prints it. */
  onEvent(event: AgentEvent): void;
}

/**
 * The agent as a daemon: the `Agent` with the local store it watches, the control socket it serves, the audit
 * events it writes and the persistent tunnels it keeps.
 */
export class AgentHost {
  readonly #options: AgentHostOptions;
  readonly #store: LocalStore;
  readonly #certificates: CertificateStore;
  #credentials: Credentials = noCredentials;
  #certificateWatches: readonly PolicyWatch[] = [];
  readonly #agent: Agent;
  readonly #policies: PolicyKeeper;
  readonly #audit: AuditLog;
  readonly #control: ControlServer;
  readonly #tunnels: TunnelBook;
  readonly #failures = new EventThrottle(20, 200);
  #starting = true;
  readonly #startedAtMs = Date.now();
  #watch: PolicyWatch | undefined;
  #stopped: (() => void) | undefined;

  constructor(options: AgentHostOptions) {
    this.#options = options;
    this.#store = new LocalStore(localStoreFolder(options.home));
    this.#certificates = CertificateStore.ofHome(options.home);
    this.#audit = new AuditLog(auditFilePath(options.home));
    const crls = new CrlFetcher({ nowMs: Date.now });
    this.#agent = new Agent({
      driver: options.driver,
      clock: systemClock,
      random: randomBytes,
      localAddresses,
      servers: readServers,
      resolve: resolveName,
      credentials: () => this.#credentials,
      fetchCrls: urls => crls.fetch(urls),
      prompt: prompt => this.#tunnels.ask(prompt),
      onEvent: event => this.#onEvent(event),
      ...(options.ike === undefined ? {} : { ike: options.ike }),
    });
    const { directory } = options.settings ?? {};
    this.#policies = new PolicyKeeper({
      local: this.#store,
      agent: this.#agent,
      clock: systemClock,
      ...(directory === undefined
        ? {}
        : {
            directory: {
              store: new DirectoryStore(directory),
              cache: new DirectoryCache(options.home, directory.url),
              refreshMinutes: directory.refreshMinutes ?? defaultRefreshMinutes,
            },
          }),
      onEvent: event => this.#onEvent(event),
      onLocalPolicy: policy => this.#watch?.pollEvery(policy.pollIntervalMinutes),
    });
    this.#tunnels = new TunnelBook(
      this.#agent,
      new TunnelFiles(join(options.home.state, 'tunnels')),
      systemClock,
      localAddressTowards,
    );
    this.#control = new ControlServer(controlSocketPath(options.home), this.#handlers());
  }

  /**
   * Starts and runs until `stop` or the control call of that name. Throws `IpseckitError` when it cannot start;
   * nothing is left behind then.
   */
  async run(onReady: () => void): Promise<void> {
    const stopped = new Promise<void>(resolve => {
      this.#stopped = resolve;
    });
    await this.#control.listen();
    try {
      await this.#agent.start();
      this.#watch = new PolicyWatch(this.#store.folder, () => void this.#policies.reload());
      this.#certificateWatches = certificateFolders.map(
        folder => new PolicyWatch(this.#certificates.path(folder), () => this.#loadCertificates()),
      );
      this.#loadCertificates();
      await this.#policies.start();
      for (const error of await this.#tunnels.restore(this.#policies.settled))
        this.#options.onEvent({ kind: 'error', error });
      this.#starting = false;
      onReady();
      await stopped;
    } finally {
      this.#watch?.close();
      this.#policies.stop();
      this.#tunnels.close();
      for (const watch of this.#certificateWatches) watch.close();
      await this.#agent.stop();
      this.#control.close();
      this.#audit.close();
    }
  }

  /** Ends `run`: SAs are deleted at the peers and the host is as it was before. */
  stop(): void {
    this.#stopped?.();
  }

  #onEvent(event: AgentEvent): void {
    if (event.kind === 'audit') return this.#onAudit(event);
    if (event.kind === 'policy') this.#writeAudit(event.event, 0);
    if (event.kind === 'step') this.#tunnels.onStep(event.step);
    if (event.kind === 'reconfigured') this.#tunnels.reconfigured(event);
    if (event.kind === 'addressLost') this.#tunnels.addressLost(event.address);
    this.#options.onEvent(event);
  }

  /** Successes are ours to cause, failures anyone's. */
  #onAudit(event: AgentEvent & { readonly kind: 'audit' }): void {
    const isFailure = event.event.id >= firstFailureEventId;
    const heldBack = isFailure ? this.#failures.admit(systemClock.nowMs()) : 0;
    if (heldBack === undefined) return;
    this.#writeAudit(event.event, heldBack);
    this.#options.onEvent(event);
  }

  #writeAudit(event: LoggedEvent, heldBack: number): void {
    try {
      this.#audit.write(event, heldBack);
    } catch (error) {
      this.#options.onEvent({
        kind: 'error',
        error: new IpseckitError(
          'ENVIRONMENT',
          `audit event ${event.id} could not be written to ${this.#audit.path}: ${error}`,
        ),
      });
    }
  }

  /** New main modes use what is there now. A file that cannot be read is reported; the others count. */
  #loadCertificates(): void {
    const { problems, ...credentials } = this.#certificates.load();
    this.#credentials = credentials;
    for (const error of problems) this.#options.onEvent({ kind: 'error', error });
  }

  #handlers(): ControlHandlers {
    return {
      status: () => this.#status(),
      filters: () => this.#filters(),
      associations: () => ({
        mainModes: this.#agent.mainModes(),
        quickModes: this.#agent.quickModes(),
        pairs: this.#agent.pairStatistics(),
        softAssociations: this.#agent.softAssociations(),
      }),
      statistics: () => this.#agent.statistics(),
      drops: () => this.#agent.dropTrace(),
      reload: async params => {
        this.#loadCertificates();
        if (field(params, 'directory') === true) await this.#policies.look();
        await this.#policies.reload();
        const { error, inForce } = this.#policies;
        if (error !== undefined) throw new IpseckitError('STORE', error);
        return inForce === undefined ? {} : { assigned: inForce.policy.name };
      },
      plan: async params => {
        const policy = await this.#policyToPlan(params);
        const { inForce } = this.#policies;
        return {
          ...this.#agent.plan(this.#policies.sourcesWith(policy)),
          ...(inForce?.kind === 'directory' ? { overriddenBy: inForce.policy.name } : {}),
        };
      },
      addDynamic: async params => {
        const policy = policyIn(field(params, 'policy'));
        await this.#policies.requireSettled();
        await this.#agent.setSources([...this.#agent.sources, { origin: 'dynamic', policy }]);
        return { rules: policy.rules.length };
      },
      changeDynamic: async params => {
        const documents = field(params, 'policies');
        const policies = Array.isArray(documents) ? documents.map(policyIn) : [];
        return this.#changeDynamic(field(params, 'clear') === true, policies);
      },
      clearDynamic: async () => {
        const { removed } = await this.#changeDynamic(true, []);
        return { removed };
      },
      tunnelUp: async (params, call) => {
        await this.#policies.requireSettled();
        const timeoutMs = field(params, 'timeoutMs');
        const tunnel = field(params, 'tunnel');
        return this.#tunnels.up(tunnel, call, typeof timeoutMs === 'number' ? timeoutMs : undefined);
      },
      tunnelList: () => this.#tunnels.list(),
      tunnelDown: params => this.#tunnels.down(String(field(params, 'name'))),
      watchKeys: async (_params, { onKeys, closed }) => {
        const stopWatching = this.#agent.watchKeys(onKeys);
        await new Promise<void>(resolve => {
          if (closed.aborted) resolve();
          closed.addEventListener('abort', () => resolve(), { once: true });
        });
        stopWatching();
        return {};
      },
      stop: () => {
        // The answer leaves before the socket closes.
        setImmediate(() => this.stop());
        return {};
      },
    };
  }

  async #policyToPlan(params: unknown): Promise<Policy | undefined> {
    const document = field(params, 'policy');
    if (document !== undefined) return policyIn(document);
    const name = field(params, 'name');
    if (typeof name !== 'string') return this.#store.assigned();
    const policy = await this.#store.read(name);
    if (policy === undefined) throw policyNotFound(name);
    return policy;
  }

  async #changeDynamic(clear: boolean, policies: readonly Policy[]) {
    await this.#policies.requireSettled();
    const { sources } = this.#agent;
    const ruleCount = (list: readonly Policy[]) => list.reduce((sum, { rules }) => sum + rules.length, 0);
    const removed = clear ? ruleCount(sourcesOf(sources, 'dynamic').map(({ policy }) => policy)) : 0;
    await this.#agent.setSources([
      ...(clear ? sources.filter(({ origin }) => origin !== 'dynamic') : sources),
      ...policies.map(policy => ({ origin: 'dynamic' as const, policy })),
    ]);
    return { removed, rules: ruleCount(policies) };
  }

  #status(): AgentStatus {
    const { sources } = this.#agent;
    const { inForce, overridden, error, directory } = this.#policies;
    return {
      processId: process.pid,
      starting: this.#starting,
      version: this.#options.version,
      startedAtMs: this.#startedAtMs,
      driver: this.#agent.driverName,
      driverReason: this.#options.driverReason,
      ...(inForce === undefined
        ? {}
        : {
            assigned: {
              id: inForce.policy.id,
              name: inForce.policy.name,
              kind: inForce.kind,
              path: inForce.path,
            },
            keyExchange: inForce.policy.keyExchange,
          }),
      ...(overridden === undefined ? {} : { overridden: { id: overridden.id, name: overridden.name } }),
      ...(directory === undefined ? {} : { directory }),
      ...(error === undefined ? {} : { policyError: error }),
      dynamicRules: sourcesOf(sources, 'dynamic').flatMap(({ policy }) => policy.rules).length,
      tunnels: sourcesOf(sources, 'tunnel').length,
      filters: this.#agent.filters().length,
      mainModes: this.#agent.mainModes().length,
      quickModes: this.#agent.quickModes().length,
      softAssociations: this.#agent.softAssociations().length,
      noDefaultExempt: this.#options.settings?.noDefaultExempt ?? defaultExemptionLevel,
      auditFile: this.#audit.path,
    };
  }

  async #filters(): Promise<FilterInfo[]> {
    const packets = await this.#agent.filterPackets();
    return this.#agent.filters().map(active => {
      const met = packets.get(active.filter.id);
      return { ...filterInfo(active), ...(met === undefined ? {} : { packets: met }) };
    });
  }
}

function filterInfo({ filter, rule, origin, source, weight }: ActiveFilter): FilterInfo {
  return {
    filter,
    weight,
    origin: source.origin,
    policyName: source.policy.name,
    ...(rule.name === undefined ? {} : { ruleName: rule.name }),
    written: describeFilter(origin),
    action: rule.action,
    authentication: rule.authentication.map(method =>
      method.kind === 'certificate' ? `certificate: ${method.authority}` : method.kind,
    ),
  };
}

function policyIn(document: unknown): Policy {
  try {
    return policyFromDocument(document);
  } catch (error) {
    throw new IpseckitError('USAGE', `not a policy: ${error instanceof Error ? error.message : error}`);
  }
}

function field(params: unknown, name: string): unknown {
  return typeof params === 'object' && params !== null ? Reflect.get(params, name) : undefined;
}
