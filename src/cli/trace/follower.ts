import type { DroppingFilter, DropTrace } from '../../agent/drop-trace.js';
import type { DropReason, DropRecord } from '../../driver/api.js';
import { selectsAll, selectsRecord, type TraceSelection } from './selection.js';

/** Packets told one by one at a time; more can be read by nobody. */
const mostAtOnce = 20;

/** What was dropped since the last look. */
export interface NewDrops {
  readonly records: readonly DropRecord[];
  /** Packets that are not told one by one, because there are too many. */
  readonly heldBack: Readonly<Partial<Record<DropReason, number>>>;
  /** Packets of which the engine no longer knows more than the number. */
  readonly forgotten: number;
  /** Filters that dropped more packets, mostly in nftables, with how many more. */
  readonly filters: readonly DroppingFilter[];
}

/** Finds what is new in each of a row of traces, at a bounded rate. */
export class DropFollower {
  readonly #selection: TraceSelection;
  #lastNumber: number;
  #byFilter: ReadonlyMap<string, number>;

  /** `start` is what is known already. */
  constructor(selection: TraceSelection, start: DropTrace) {
    this.#selection = selection;
    this.#lastNumber = newestNumber(start);
    this.#byFilter = packetsByFilter(start);
  }

  next(trace: DropTrace): NewDrops {
    const newest = newestNumber(trace);
    // Another agent counts from the beginning.
    if (newest < this.#lastNumber) this.#lastNumber = 0;
    const fresh = trace.recent.filter(({ number }) => number > this.#lastNumber);
    const [first] = fresh;
    const forgotten = first === undefined ? 0 : Math.max(0, first.number - first.packets - this.#lastNumber);
    this.#lastNumber = newest;
    const wanted = fresh.filter(record => selectsRecord(this.#selection, record, trace.pairs));
    const heldBack: Partial<Record<DropReason, number>> = {};
    for (const { reason, packets } of wanted.slice(mostAtOnce))
      heldBack[reason] = (heldBack[reason] ?? 0) + packets;
    return {
      records: wanted.slice(0, mostAtOnce),
      heldBack,
      forgotten,
      filters: selectsAll(this.#selection) ? this.#newByFilter(trace) : [],
    };
  }

  #newByFilter(trace: DropTrace): DroppingFilter[] {
    const before = this.#byFilter;
    this.#byFilter = packetsByFilter(trace);
    return trace.filters.flatMap(filter => {
      const more = filter.packets - (before.get(filter.filterId) ?? 0);
      return more > 0 ? [{ ...filter, packets: more }] : [];
    });
  }
}

function newestNumber({ recent }: DropTrace): number {
  return recent.at(-1)?.number ?? 0;
}

function packetsByFilter({ filters }: DropTrace): ReadonlyMap<string, number> {
  return new Map(filters.map(({ filterId, packets }) => [filterId, packets]));
}
