import type { IpAddress } from '../../wire/ip/address.js';
import { type XfrmAcquire, type XfrmMessage, xfrmRequests } from '../../wire/netlink/xfrm.js';
import type {
  DriverEvent,
  DriverFilter,
  DriverStatistics,
  FilterId,
  IkeDatagram,
  PairId,
  PairStatistics,
  SaPair,
  SoftSa,
  SoftSaStatistics,
} from '../api.js';
import { acquireEvent, expiryCause } from './events.js';
import type { XfrmHost } from './exemptions.js';
import { letPacketsWait, readHost, readXfrmCounters } from './host.js';
import type { IkeSockets } from './ike-sockets.js';
import { addStates, deleteStates, forgetAcquire, moveStates, ourStates } from './kernel-states.js';
import { filterNumberOf, isOurUser, pairRequestId } from './marks.js';
import type { XfrmSocket } from './netlink.js';
import { PairBook, PairRecord, StackedPolicies } from './pair-book.js';
import { pairPolicies, refusalPolicy, softPolicies } from './policies.js';
import { PolicyTable } from './policy-table.js';
import { type Expiry, missedExpiries, pendingAcquires } from './resync.js';
import { removeOldRoutes, TunnelRoutes } from './routes.js';
import { XfrmRules } from './rules.js';
import { SoftBook } from './soft-book.js';
import { checkPair, statesOf } from './states.js';
import { addBytes, byRequestId, dropsSince, noBytes, pairStatisticsOf } from './statistics.js';

export interface XfrmEngineOptions {
  readonly noDefaultExempt?: XfrmHost['noDefaultExempt'];
}

/** Acquires of the same filter and peer are told this often. */
const acquireIntervalMs = 1_000;
/** Peers are few; a flood of packets to invented ones must not fill the memory. */
const rememberedAcquires = 4096;
/** How long what a failed negotiation leaves waiting is refused, for the kernel to throw it away. */
const refusalMs = 150;
/** The kernel does not tell of the first packet on an SA: new pairs are looked at this often, older ones that. */
const freshPairMs = 10_000;
const freshLookMs = 250;
const laterLookMs = 2_000;

/** The pairs, filters and soft SAs in the kernel, between `open` and `close`. */
export class XfrmEngine {
  readonly #socket: XfrmSocket;
  readonly #sockets: IkeSockets;
  readonly #options: XfrmEngineOptions;
  readonly #emit: (event: DriverEvent) => void;
  readonly #policies: PolicyTable;
  readonly #rules = new XfrmRules();
  readonly #pairs = new PairBook();
  readonly #carrying = new StackedPolicies();
  readonly #soft: SoftBook;
  readonly #routes = new TunnelRoutes();
  /** What the kernel asked for, by filter and peer, while nobody has answered. */
  readonly #acquires = new Map<string, { readonly acquire: XfrmAcquire; readonly toldAtMs: number }>();
  readonly #countersAtStart = readXfrmCounters();
  #host: XfrmHost;
  #stopWaiting: () => void = () => {};
  #look: NodeJS.Timeout | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();
  #pairCount = 0;
  #pastBytes = noBytes;
  #keyAdditions = 0;
  #keyDeletions = 0;
  #rekeys = 0;
  #sendFailures = 0;

  constructor(
    socket: XfrmSocket,
    sockets: IkeSockets,
    options: XfrmEngineOptions,
    emit: (event: DriverEvent) => void,
  ) {
    this.#socket = socket;
    this.#sockets = sockets;
    this.#options = options;
    this.#emit = emit;
    this.#policies = new PolicyTable(socket);
    this.#soft = new SoftBook(socket);
    this.#host = readHost(options.noDefaultExempt ?? 0);
  }

  /** Removes what an earlier, killed run left behind. */
  async open(): Promise<void> {
    this.#removeAll();
    await removeOldRoutes();
    this.#socket.listen(
      message => this.#onMessage(message),
      () => this.#reporting(() => this.#resync()),
      error => this.#emit({ kind: 'failed', error }),
    );
    this.#stopWaiting = letPacketsWait();
  }

  async close(): Promise<void> {
    clearTimeout(this.#look);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#sockets.close();
    try {
      this.#removeAll();
      await this.#routes.remove();
    } finally {
      this.#stopWaiting();
      this.#socket.close();
    }
  }

  async setFilters(filters: readonly DriverFilter[]): Promise<void> {
    this.#host = readHost(this.#options.noDefaultExempt ?? 0);
    this.#rules.set(filters);
    this.#carrying.clear();
    for (const record of this.#pairs.all()) this.#carrying.add(record, this.#policiesOf(record));
    this.#policies.replace([
      ...this.#rules.policies(this.#host),
      ...this.#soft.all().flatMap(soft => softPolicies(soft, this.#rules.placed)),
      ...this.#carrying.all(),
    ]);
    await this.#routes.set(filters);
  }

  sendIke(datagram: IkeDatagram): void {
    if (!this.#sockets.send(datagram)) this.#sendFailures++;
  }

  installInbound(pair: SaPair): void {
    checkPair(pair);
    this.removePair(pair.id);
    const record = new PairRecord(pair, pairRequestId(++this.#pairCount), performance.now());
    // Outbound ones too, so that whatever the kernel refuses is refused now; no policy sends with them yet.
    addStates(this.#socket, [...statesOf(record, 'inbound'), ...statesOf(record, 'outbound')]);
    this.#pairs.add(record);
    this.#policies.put(this.#carrying.add(record, this.#policiesTowards(record, 'inbound')));
    this.#lookSoon();
  }

  activateOutbound(pairId: PairId): void {
    const record = this.#pairs.find(pairId);
    if (record === undefined || record.hardExpired) return;
    const renews = [...this.#pairs.all()].some(
      other =>
        other !== record &&
        other.outboundActive &&
        other.pair.filterId === record.pair.filterId &&
        other.pair.peer === record.pair.peer,
    );
    if (!record.outboundActive) {
      record.outboundActive = true;
      this.#keyAdditions++;
      if (renews) this.#rekeys++;
    }
    this.#reporting(() => {
      this.#policies.put(this.#carrying.add(record, this.#policiesTowards(record, 'outbound')));
      const placed = this.#rules.placeOf(record.pair, 'outbound');
      if (placed !== undefined) this.#answered(placed.filter.id, record.pair.peer);
    });
  }

  removePair(pairId: PairId): void {
    const record = this.#pairs.find(pairId);
    if (record === undefined) return;
    this.#pastBytes = addBytes(this.#pastBytes, record.pair, this.#statisticsOf(record));
    this.#pairs.remove(record);
    this.#reporting(() => {
      this.#turn(record, this.#policiesOf(record));
      const states = [...statesOf(record, 'outbound'), ...statesOf(record, 'inbound')];
      deleteStates(
        this.#socket,
        states.map(({ id }) => id),
      );
    });
    this.#keyDeletions++;
  }

  /** The kernel throws away what waits when a policy refuses it; for a moment, one does. */
  negotiationFailed(filterId: FilterId, peer: IpAddress): void {
    const known = this.#acquires.get(acquireKey(filterId, peer));
    if (known === undefined) return;
    const placed = this.#rules.find(filterId);
    if (placed === undefined) return;
    const refusal = refusalPolicy(placed, known.acquire.packet);
    this.#reporting(() => {
      this.#policies.put([refusal]);
      this.#answered(filterId, peer);
    });
    this.#after(refusalMs, () => this.#reporting(() => this.#policies.remove([refusal])));
  }

  addSoftSa(soft: SoftSa): void {
    this.#soft.add(soft);
    this.#policies.put(softPolicies(soft, this.#rules.placed));
    this.#answered(soft.filterId, soft.peer);
  }

  removeSoftSa(soft: SoftSa): void {
    if (!this.#soft.remove(soft)) return;
    const kept = this.#soft.all().flatMap(other => softPolicies(other, this.#rules.placed));
    const keptKeys = new Set(kept.map(policy => JSON.stringify([policy.direction, policy.selector])));
    this.#policies.remove(
      softPolicies(soft, this.#rules.placed).filter(
        policy => !keptKeys.has(JSON.stringify([policy.direction, policy.selector])),
      ),
    );
  }

  softSaStatistics(): readonly SoftSaStatistics[] {
    return this.#soft.statistics(soft => softPolicies(soft, this.#rules.placed));
  }

  statistics(): DriverStatistics {
    const reports = byRequestId(ourStates(this.#socket));
    const live = [...this.#pairs.all()].filter(record => !record.hardExpired);
    const bytes = live.reduce(
      (sum, record) =>
        addBytes(sum, record.pair, pairStatisticsOf(record, reports.get(record.requestId) ?? [])),
      this.#pastBytes,
    );
    const drops = dropsSince(this.#countersAtStart, readXfrmCounters());
    return {
      activeAssociations: live.length,
      pendingKeys: this.#acquires.size,
      keyAdditions: this.#keyAdditions,
      keyDeletions: this.#keyDeletions,
      rekeys: this.#rekeys,
      activeTunnels: live.filter(({ pair }) => pair.mode === 'tunnel').length,
      badSpiPackets: drops['bad-spi'],
      packetsNotDecrypted: drops['not-decrypted'],
      packetsNotAuthenticated: drops['not-authenticated'],
      packetsWithReplayDetection: drops.replay,
      ...bytes,
      drops: { ...drops, 'send-failed': drops['send-failed'] + this.#sendFailures },
    };
  }

  pairStatistics(): readonly PairStatistics[] {
    const reports = byRequestId(ourStates(this.#socket));
    return Array.from(this.#pairs.all(), record =>
      pairStatisticsOf(record, reports.get(record.requestId) ?? []),
    );
  }

  #onMessage(message: XfrmMessage): void {
    if (message.kind === 'acquire') return this.#onAcquire(message.acquire);
    if (message.kind === 'expire') {
      const record = this.#pairs.byRequestId(message.state.requestId);
      if (record === undefined || record.hardExpired || (record.softExpired && !message.hard)) return;
      const { state, hard } = message;
      return this.#onExpiry({ record, hard, cause: expiryCause(state, hard) });
    }
    if (message.kind === 'mapping') this.#onMapping(message);
  }

  #onExpiry({ record, hard, cause }: Expiry): void {
    if (hard) {
      record.hardExpired = true;
      this.#deactivate(record);
    } else record.softExpired = true;
    this.#emit({ kind: hard ? 'hardExpired' : 'softExpired', pairId: record.pair.id, cause });
  }

  /** Events were lost: what they would have said is found out. Moved peers are told anew with their next packet. */
  #resync(): void {
    const states = ourStates(this.#socket);
    const expired = missedExpiries(this.#pairs.all(), byRequestId(states), Date.now() / 1000);
    for (const expiry of expired) this.#onExpiry(expiry);
    const acquires = pendingAcquires(states, requestId => this.#policies.wanting(requestId));
    for (const acquire of acquires) this.#onAcquire(acquire);
  }

  #onAcquire(acquire: XfrmAcquire): void {
    const { user } = acquire.policy.selector;
    const filter = isOurUser(user) ? this.#rules.byNumber(filterNumberOf(user)) : undefined;
    if (filter === undefined) return;
    const event = acquireEvent(acquire, filter);
    const key = acquireKey(filter.id, event.peer);
    const nowMs = performance.now();
    const toldAtMs = this.#acquires.get(key)?.toldAtMs;
    if (toldAtMs !== undefined && nowMs - toldAtMs < acquireIntervalMs) return;
    const [oldest] = this.#acquires.keys();
    if (oldest !== undefined && this.#acquires.size >= rememberedAcquires) this.#acquires.delete(oldest);
    this.#acquires.set(key, { acquire, toldAtMs: nowMs });
    this.#emit(event);
  }

  #onMapping({ id, source, sourcePort }: XfrmMessage & { readonly kind: 'mapping' }): void {
    for (const record of this.#pairs.all()) {
      if (record.pair.inbound[0]?.spi !== id.spi || record.pair.local !== id.destination) continue;
      const peer = { address: source, port: sourcePort };
      if (record.peer.address === peer.address && record.peer.port === peer.port) return;
      const before = this.#policiesOf(record);
      this.#reporting(() => {
        moveStates(this.#socket, record, peer);
        this.#turn(record, before);
        this.#policies.put(this.#carrying.add(record, this.#policiesOf(record)));
      });
      return this.#emit({ kind: 'peerMoved', pairId: record.pair.id, peer });
    }
  }

  /** A filter and peer have their answer: packets that wait are looked at again, and the next ask anew. */
  #answered(filterId: FilterId, peer: IpAddress): void {
    const key = acquireKey(filterId, peer);
    const known = this.#acquires.get(key);
    if (known === undefined) return;
    this.#acquires.delete(key);
    forgetAcquire(this.#socket, known.acquire);
    // The kernel looks at what waits at a policy when that is replaced.
    this.#policies.put(this.#rules.policiesOf(filterId, this.#host));
  }

  /** Stops sending with a pair; it can still receive. */
  #deactivate(record: PairRecord): void {
    const policies = this.#policiesTowards(record, 'outbound');
    record.outboundActive = false;
    this.#turn(record, policies);
  }

  #policiesOf(record: PairRecord) {
    return [
      ...this.#policiesTowards(record, 'inbound'),
      ...(record.outboundActive ? this.#policiesTowards(record, 'outbound') : []),
    ];
  }

  #policiesTowards(record: PairRecord, direction: DriverFilter['direction']) {
    return pairPolicies(record, direction, this.#rules.placeOf(record.pair, direction));
  }

  #turn(record: PairRecord, policies: Parameters<StackedPolicies['remove']>[1]): void {
    const { put, remove } = this.#carrying.remove(record, policies);
    this.#policies.put(put);
    this.#policies.remove(remove);
  }

  #statisticsOf(record: PairRecord): PairStatistics {
    const states = [...statesOf(record, 'inbound'), ...statesOf(record, 'outbound')];
    const reports = states.flatMap(({ id }) =>
      (this.#socket.ask([xfrmRequests.getState(id)])[0]?.messages ?? []).flatMap(message =>
        message.kind === 'state' ? [message.state] : [],
      ),
    );
    return pairStatisticsOf(record, reports);
  }

  #lookSoon(): void {
    clearTimeout(this.#look);
    const unused = [...this.#pairs.all()].filter(record => !record.inboundUsed);
    if (unused.length === 0) return;
    const youngest = Math.max(...unused.map(({ installedAtMs }) => installedAtMs));
    const fresh = performance.now() - youngest < freshPairMs;
    this.#look = setTimeout(() => this.#lookForUse(), fresh ? freshLookMs : laterLookMs).unref();
  }

  #lookForUse(): void {
    const reports = byRequestId(ourStates(this.#socket));
    for (const record of this.#pairs.all()) {
      if (record.inboundUsed) continue;
      if (pairStatisticsOf(record, reports.get(record.requestId) ?? []).packetsReceived === 0) continue;
      record.inboundUsed = true;
      this.#emit({ kind: 'inboundUsed', pairId: record.pair.id });
    }
    this.#lookSoon();
  }

  /** What goes wrong where nobody waits for it is an event. */
  #reporting(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#emit({ kind: 'failed', error: error instanceof Error ? error : new Error(String(error)) });
    }
  }

  #after(milliseconds: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, milliseconds);
    this.#timers.add(timer);
  }

  #removeAll(): void {
    const policies = this.#socket
      .demand(xfrmRequests.listPolicies(), 'to list its policies')
      .flatMap(message => (message.kind === 'policy' ? [message.policy] : []))
      .filter(({ selector }) => isOurUser(selector.user));
    this.#policies.remove(policies);
    deleteStates(
      this.#socket,
      ourStates(this.#socket).map(({ id }) => id),
    );
  }
}

function acquireKey(filterId: FilterId, peer: IpAddress): string {
  return `${filterId} ${peer}`;
}
