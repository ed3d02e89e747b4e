/** What was dropped, where and why: put together from what the driver counts and remembers, and what IKE negotiated. */
import type {
  Driver,
  DriverStatistics,
  DropReason,
  DropRecord,
  FilterId,
  PairStatistics,
  SaPair,
} from '../driver/api.js';
import type { QuickModeInfo } from '../ike/info.js';
import type { Selector } from '../wire/ip/selector.js';
import type { ActiveFilter } from './active-policy.js';
import { onCalendar } from './calendar.js';
import type { Clock } from './clock.js';

/** Drops of the whole engine, of each pair and by each filter; times as the calendar tells them. */
export interface DropTrace {
  readonly driver: Driver['name'];
  /** Where the engine cannot tell of all packets: the reasons of which it tells some; the others are only counted. */
  readonly toldReasons?: readonly DropReason[];
  readonly drops: DriverStatistics['drops'];
  /** The newest packet of each reason. */
  readonly lastByReason: Readonly<Partial<Record<DropReason, DropRecord>>>;
  /** The newest packets, oldest first. */
  readonly recent: readonly DropRecord[];
  readonly pairs: readonly TracedPair[];
  readonly filters: readonly DroppingFilter[];
}

/** A pair of SAs with what it carried and what was dropped. */
export interface TracedPair
  extends Pick<SaPair, 'local' | 'peer' | 'mode' | 'selector'>,
    Pick<
      PairStatistics,
      | 'pairId'
      | 'packetsSent'
      | 'packetsReceived'
      | 'drops'
      | 'lastDrop'
      | 'lastNote'
      | 'lastInboundAtMs'
      | 'translatedPorts'
    > {
  /** In order of outbound processing: ESP before AH. */
  readonly inboundSpis: readonly number[];
  readonly outboundSpis: readonly number[];
}

/** A filter that dropped packets. */
export interface DroppingFilter {
  readonly reason: 'blocked' | 'clear-but-secured';
  readonly filterId: FilterId;
  readonly name?: string;
  readonly policyName: string;
  readonly direction: 'inbound' | 'outbound';
  readonly selector: Selector;
  readonly packets: number;
}

export interface DropTraceSources {
  readonly driver: Driver;
  readonly clock: Pick<Clock, 'calendarMs'>;
  readonly quickModes: readonly QuickModeInfo[];
  readonly filters: readonly ActiveFilter[];
}

export async function dropTrace({
  driver,
  clock,
  quickModes,
  filters,
}: DropTraceSources): Promise<DropTrace> {
  // The history first: it has nftables counted, and the statistics include that.
  const history = await driver.dropHistory();
  const told = (record: DropRecord) => onCalendar(record, clock);
  const statistics = new Map(driver.pairStatistics().map(pair => [pair.pairId, pair]));
  return {
    driver: driver.name,
    ...(history.told === undefined ? {} : { toldReasons: history.told }),
    drops: driver.statistics().drops,
    lastByReason: Object.fromEntries(
      Object.entries(history.lastByReason).map(([reason, record]) => [reason, told(record)]),
    ),
    recent: history.recent.map(told),
    pairs: quickModes.flatMap(info => {
      const pair = statistics.get(info.pair.id);
      return pair === undefined ? [] : [tracedPair(info, pairOnCalendar(pair, clock))];
    }),
    filters: droppingFilters(filters, history.byFilter),
  };
}

/** What a pair did, with its times as the calendar tells them. */
export function pairOnCalendar(pair: PairStatistics, clock: Pick<Clock, 'calendarMs'>): PairStatistics {
  const { lastDrop } = pair;
  return {
    ...onCalendar(pair, clock),
    ...(lastDrop === undefined ? {} : { lastDrop: onCalendar(lastDrop, clock) }),
  };
}

function tracedPair({ pair, inbound, outbound }: QuickModeInfo, statistics: PairStatistics): TracedPair {
  const {
    pairId,
    packetsSent,
    packetsReceived,
    drops,
    lastDrop,
    lastNote,
    lastInboundAtMs,
    translatedPorts,
  } = statistics;
  return {
    pairId,
    local: pair.local,
    peer: pair.peer,
    mode: pair.mode,
    selector: pair.selector,
    inboundSpis: inbound.map(({ spi }) => spi),
    outboundSpis: outbound.map(({ spi }) => spi),
    packetsSent,
    packetsReceived,
    drops,
    ...(lastDrop === undefined ? {} : { lastDrop }),
    ...(lastNote === undefined ? {} : { lastNote }),
    ...(lastInboundAtMs === undefined ? {} : { lastInboundAtMs }),
    ...(translatedPorts === undefined ? {} : { translatedPorts }),
  };
}

function droppingFilters(
  filters: readonly ActiveFilter[],
  byFilter: ReadonlyMap<FilterId, number>,
): DroppingFilter[] {
  return filters.flatMap(({ filter, source }) => {
    const packets = byFilter.get(filter.id) ?? 0;
    if (packets === 0) return [];
    const isSecured = filter.direction === 'inbound' && filter.action === 'secure';
    return [
      {
        reason: isSecured ? ('clear-but-secured' as const) : ('blocked' as const),
        filterId: filter.id,
        ...(filter.name === undefined ? {} : { name: filter.name }),
        policyName: source.policy.name,
        direction: filter.direction,
        selector: filter.selector,
        packets,
      },
    ];
  });
}
