import type { IpAddress } from '../../wire/ip/address.js';
import type { XfrmPolicy } from '../../wire/netlink/xfrm-policy.js';
import type {
  DriverFilter,
  DriverStatistics,
  Endpoint,
  FilterId,
  PairId,
  PairStatistics,
  SaHalf,
  SaPair,
} from '../api.js';
import { checkPair } from '../usable-pair.js';
import { addStates, deleteStates, moveStates, ourStates, stateReports } from './kernel-states.js';
import { pairRequestId } from './marks.js';
import { refuseOtherClient } from './nat-clients.js';
import type { XfrmSocket } from './netlink.js';
import { PairBook, PairRecord, StackedPolicies } from './pair-book.js';
import { pairPolicies } from './policies.js';
import type { PolicyTable } from './policy-table.js';
import type { XfrmRules } from './rules.js';
import { statesOf } from './states.js';
import { addBytes, byRequestId, noBytes, pairStatisticsOf, type ReportsByPair } from './statistics.js';

/** The pairs in the kernel: their states, and the policies of what they carry in the places of their filters. */
export class KernelPairs {
  readonly #socket: XfrmSocket;
  readonly #policies: PolicyTable;
  readonly #rules: XfrmRules;
  readonly #book = new PairBook();
  readonly #carrying = new StackedPolicies();
  #count = 0;
  #pastBytes = noBytes;
  #keyAdditions = 0;
  #keyDeletions = 0;
  #rekeys = 0;

  constructor(socket: XfrmSocket, policies: PolicyTable, rules: XfrmRules) {
    this.#socket = socket;
    this.#policies = policies;
    this.#rules = rules;
  }

  all(): IterableIterator<PairRecord> {
    return this.#book.all();
  }

  find(id: PairId): PairRecord | undefined {
    return this.#book.find(id);
  }

  byRequestId(requestId: number): PairRecord | undefined {
    return this.#book.byRequestId(requestId);
  }

  /** The pair one of whose SAs receives with this SPI at this address. */
  receivingWith(protocol: SaHalf['protocol'], spi: number, local: IpAddress): PairRecord | undefined {
    return this.#book.receivingWith(protocol, spi, local);
  }

  /** The states of all pairs as they are. */
  reports(): ReportsByPair {
    return byRequestId(ourStates(this.#socket));
  }

  /** What all pairs carry, now that the rules are others. */
  placedAnew(): XfrmPolicy[] {
    this.#carrying.clear();
    for (const record of this.#book.all()) this.#carrying.add(record, this.#policiesOf(record));
    return this.#carrying.all();
  }

  /** Makes a pair able to receive. Throws `IpseckitError` when the kernel cannot carry it. */
  install(pair: SaPair): void {
    checkPair(pair);
    refuseOtherClient(pair, this.#book.all(), record => this.#statisticsOf(record));
    const record = new PairRecord(pair, pairRequestId(++this.#count), performance.now());
    // Outbound ones too, so that whatever the kernel refuses is refused now; no policy sends with them yet.
    addStates(this.#socket, [...statesOf(record, 'inbound'), ...statesOf(record, 'outbound')]);
    this.#book.add(record);
    this.#policies.put(this.#carrying.add(record, this.#policiesTowards(record, 'inbound')));
  }

  /** Sends with a pair from now on. Returns the filter in whose place it does. */
  activate(record: PairRecord): FilterId | undefined {
    if (!record.outboundActive) {
      record.outboundActive = true;
      this.#keyAdditions++;
      if (this.#renews(record)) this.#rekeys++;
    }
    this.#policies.put(this.#carrying.add(record, this.#policiesTowards(record, 'outbound')));
    return this.#rules.placeOf(record.pair, 'outbound')?.filter.id;
  }

  /** Stops sending with a pair; it can still receive. */
  deactivate(record: PairRecord): void {
    const policies = this.#policiesTowards(record, 'outbound');
    record.outboundActive = false;
    this.#turn(record, policies);
  }

  remove(record: PairRecord): void {
    this.#pastBytes = addBytes(this.#pastBytes, record.pair, this.#statisticsOf(record));
    this.#keyDeletions++;
    this.#book.remove(record);
    this.#turn(record, this.#policiesOf(record));
    const states = [...statesOf(record, 'outbound'), ...statesOf(record, 'inbound')];
    deleteStates(
      this.#socket,
      states.map(({ id }) => id),
    );
  }

  /** Follows a peer whose NAT mapping has moved. */
  move(record: PairRecord, peer: Endpoint): void {
    const before = this.#policiesOf(record);
    moveStates(this.#socket, record, peer);
    this.#turn(record, before);
    this.#policies.put(this.#carrying.add(record, this.#policiesOf(record)));
  }

  statistics() {
    const reports = this.reports();
    const live = [...this.#book.all()].filter(record => !record.hardExpired);
    return {
      activeAssociations: live.length,
      keyAdditions: this.#keyAdditions,
      keyDeletions: this.#keyDeletions,
      rekeys: this.#rekeys,
      activeTunnels: live.filter(({ pair }) => pair.mode === 'tunnel').length,
      ...live.reduce(
        (sum, record) =>
          addBytes(sum, record.pair, pairStatisticsOf(record, reports.get(record.requestId) ?? [])),
        this.#pastBytes,
      ),
    } satisfies Partial<DriverStatistics>;
  }

  pairStatistics(): readonly PairStatistics[] {
    const reports = this.reports();
    return Array.from(this.#book.all(), record =>
      pairStatisticsOf(record, reports.get(record.requestId) ?? []),
    );
  }

  /** Whether there is another one for the same traffic to send with. */
  #renews(record: PairRecord): boolean {
    return [...this.#book.all()].some(
      other =>
        other !== record &&
        other.outboundActive &&
        other.pair.filterId === record.pair.filterId &&
        other.pair.peer === record.pair.peer,
    );
  }

  #policiesOf(record: PairRecord) {
    return [
      ...this.#policiesTowards(record, 'inbound'),
      ...(record.outboundActive ? this.#policiesTowards(record, 'outbound') : []),
    ];
  }

  #policiesTowards(record: PairRecord, direction: DriverFilter['direction']) {
    const placed = this.#rules.placeOf(record.pair, direction);
    return pairPolicies(record, direction, placed, this.#rules.permittedThrough(placed));
  }

  #turn(record: PairRecord, policies: readonly XfrmPolicy[]): void {
    const { put, remove } = this.#carrying.remove(record, policies);
    this.#policies.put(put);
    this.#policies.remove(remove);
  }

  #statisticsOf(record: PairRecord): PairStatistics {
    const states = [...statesOf(record, 'inbound'), ...statesOf(record, 'outbound')];
    return pairStatisticsOf(
      record,
      states.flatMap(({ id }) => stateReports(this.#socket, id)),
    );
  }
}
