import type { IpAddress } from '../../wire/ip/address.js';
import type { XfrmAcquire, XfrmMessage } from '../../wire/netlink/xfrm.js';
import type {
  AssignedAddress,
  DriverEvent,
  DriverFilter,
  DriverStatistics,
  DropHistory,
  FilterId,
  IkeDatagram,
  PairId,
  PairStatistics,
  SaPair,
  SoftSa,
  SoftSaStatistics,
} from '../api.js';
import { removeRouting, removeTable } from '../userspace/kernel-steering.js';
import { watchPackets } from '../userspace/packet-watch.js';
import { Acquires } from './acquires.js';
import { expiryCause } from './events.js';
import type { XfrmHost } from './exemptions.js';
import { FirstUses } from './first-uses.js';
import { GatewayAddresses } from './gateway-addresses.js';
import { localAddresses, readHost, readXfrmCounters } from './host.js';
import type { IkeSockets } from './ike-sockets.js';
import { KernelPairs } from './kernel-pairs.js';
import { deleteStates, forgetAcquire, ourStates, stateReports } from './kernel-states.js';
import { letPacketsWait } from './larval-drop.js';
import { ourPolicies, removeOurs } from './leftovers.js';
import { filterNumberOf, isOurUser } from './marks.js';
import type { XfrmSocket } from './netlink.js';
import { refusalPolicy, softPolicies } from './policies.js';
import { PolicyTable } from './policy-table.js';
import { RefusedPackets } from './refused-packets.js';
import { type Expiry, missedExpiries, pendingAcquires } from './resync.js';
import { TunnelRoutes } from './routes.js';
import { XfrmRules } from './rules.js';
import { SoftBook } from './soft-book.js';
import { byRequestId, dropsSince } from './statistics.js';

export interface XfrmEngineOptions {
  readonly noDefaultExempt?: XfrmHost['noDefaultExempt'];
  /** Where what must outlive a kill is remembered; nothing is when absent. */
  readonly runtimeFolder?: string;
}

/** How long what a failed negotiation leaves waiting is refused, for the kernel to throw it away. */
const refusalMs = 150;

/** The pairs, filters and soft SAs in the kernel, between `open` and `close`. */
export class XfrmEngine {
  readonly #socket: XfrmSocket;
  readonly #sockets: IkeSockets;
  readonly #options: XfrmEngineOptions;
  readonly #emit: (event: DriverEvent) => void;
  readonly #policies: PolicyTable;
  readonly #rules = new XfrmRules();
  readonly #pairs: KernelPairs;
  readonly #soft: SoftBook;
  readonly #routes = new TunnelRoutes();
  readonly #addresses: GatewayAddresses;
  readonly #acquires = new Acquires();
  readonly #firstUses: FirstUses;
  readonly #refused: RefusedPackets;
  readonly #countersAtStart = readXfrmCounters();
  #host: XfrmHost;
  #stopWaiting: () => void = () => {};
  readonly #timers = new Set<NodeJS.Timeout>();
  #sendFailures = 0;
  /** Nothing of the other engine is in the kernel. */
  #isAlone = false;

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
    this.#addresses = new GatewayAddresses(error => emit({ kind: 'failed', error }));
    this.#pairs = new KernelPairs(socket, this.#policies, this.#rules);
    const pairs = () => this.#pairs.all();
    const reports = () => this.#pairs.reports();
    this.#firstUses = new FirstUses(pairs, reports, ({ pair }) =>
      emit({ kind: 'inboundUsed', pairId: pair.id }),
    );
    this.#refused = new RefusedPackets({
      counters: readXfrmCounters,
      localAddresses,
      hasState: id => stateReports(socket, id).length > 0,
      watch: (onPackets, onFailure) => watchPackets({ ipsecOnly: true }, onPackets, onFailure),
      receivingWith: (...sa) => this.#pairs.receivingWith(...sa),
      ...{ pairs, reports, emit },
    });
    this.#host = readHost(options.noDefaultExempt ?? 0);
  }

  /**
   * Removes SAs and routes that an earlier, killed run of either engine left behind. Its filters stay until the first
   * `setFilters` replaces them: what they stop is not let out meanwhile.
   */
  async open(): Promise<void> {
    this.#policies.adopt(ourPolicies(this.#socket));
    const states = ourStates(this.#socket).map(({ id }) => id);
    deleteStates(this.#socket, states);
    await removeRouting();
    this.#socket.listen(
      message => this.#onMessage(message),
      () => this.#reporting(() => this.#resync()),
      error => this.#emit({ kind: 'failed', error }),
    );
    this.#stopWaiting = letPacketsWait(this.#options.runtimeFolder);
    this.#refused.open();
  }

  async close(): Promise<void> {
    this.#firstUses.close();
    this.#refused.close();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#sockets.close();
    try {
      removeOurs(this.#socket, this.#policies);
      await this.#removeOtherEngines();
      await this.#addresses.set([]);
      await this.#routes.remove();
    } finally {
      this.#stopWaiting();
      this.#socket.close();
    }
  }

  async setFilters(filters: readonly DriverFilter[]): Promise<void> {
    this.#host = readHost(this.#options.noDefaultExempt ?? 0);
    this.#rules.set(filters);
    this.#policies.replace([
      ...this.#rules.policies(this.#host),
      ...this.#soft.all().flatMap(soft => softPolicies(soft, this.#rules.placed)),
      ...this.#pairs.placedAnew(),
    ]);
    await this.#removeOtherEngines();
    await this.#routes.set(filters);
  }

  /** Once: the filters of the other engine, should it have been killed, stay until ours are in force. */
  async #removeOtherEngines(): Promise<void> {
    if (this.#isAlone) return;
    await removeTable({ mayFail: true });
    this.#isAlone = true;
  }

  setAssignedAddresses(assigned: readonly AssignedAddress[]): Promise<void> {
    return this.#addresses.set(assigned);
  }

  sendIke(datagram: IkeDatagram): void {
    if (!this.#sockets.send(datagram)) this.#sendFailures++;
  }

  installInbound(pair: SaPair): void {
    this.removePair(pair.id);
    this.#pairs.install(pair);
    this.#firstUses.watch();
  }

  activateOutbound(pairId: PairId): void {
    const record = this.#pairs.find(pairId);
    if (record === undefined || record.hardExpired) return;
    this.#reporting(() => {
      const filterId = this.#pairs.activate(record);
      if (filterId !== undefined) this.#answered(filterId, record.pair.peer);
    });
  }

  removePair(pairId: PairId): void {
    const record = this.#pairs.find(pairId);
    if (record === undefined) return;
    this.#reporting(() => this.#pairs.remove(record));
    this.#refused.removed(record.pair);
  }

  /** The kernel throws away what waits when a policy refuses it; for a moment, one does. */
  negotiationFailed(filterId: FilterId, peer: IpAddress): void {
    const acquire = this.#acquires.find(filterId, peer);
    const placed = this.#rules.find(filterId);
    if (acquire === undefined || placed === undefined) return;
    const refusal = refusalPolicy(placed, acquire.packet);
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
    const drops = dropsSince(this.#countersAtStart, readXfrmCounters());
    return {
      ...this.#pairs.statistics(),
      pendingKeys: this.#acquires.size,
      badSpiPackets: drops['bad-spi'],
      packetsNotDecrypted: drops['not-decrypted'],
      packetsNotAuthenticated: drops['not-authenticated'],
      packetsWithReplayDetection: drops.replay,
      drops: { ...drops, 'send-failed': drops['send-failed'] + this.#sendFailures },
    };
  }

  pairStatistics(): readonly PairStatistics[] {
    return this.#pairs.pairStatistics();
  }

  dropHistory(): DropHistory {
    return this.#refused.history();
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
      this.#pairs.deactivate(record);
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
    if (!isOurUser(user)) return;
    const filter = this.#rules.byNumber(filterNumberOf(user));
    // One of an earlier run: nobody answers, and while it waits the kernel would not ask for a filter of ours.
    if (filter === undefined) return this.#reporting(() => forgetAcquire(this.#socket, acquire));
    const event = this.#acquires.add(acquire, filter, performance.now());
    if (event !== undefined) this.#emit(event);
  }

  #onMapping({ id, source, sourcePort }: XfrmMessage & { readonly kind: 'mapping' }): void {
    const record = this.#pairs.receivingWith('esp', id.spi, id.destination);
    const peer = { address: source, port: sourcePort };
    if (record === undefined || (record.peer.address === source && record.peer.port === sourcePort)) return;
    this.#reporting(() => this.#pairs.move(record, peer));
    this.#emit({ kind: 'peerMoved', pairId: record.pair.id, peer });
  }

  /** A filter and peer have their answer: packets that wait are looked at again, and the next ask anew. */
  #answered(filterId: FilterId, peer: IpAddress): void {
    const acquire = this.#acquires.take(filterId, peer);
    if (acquire === undefined) return;
    forgetAcquire(this.#socket, acquire);
    // The kernel looks at what waits at a policy when that is replaced.
    this.#policies.put(this.#rules.policiesOf(filterId, this.#host));
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
}
