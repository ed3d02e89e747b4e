/** What the kernel would have told, had there been room for its events: from the states as they are. */
import type { XfrmAcquire } from '../../wire/netlink/xfrm.js';
import type { XfrmPolicy } from '../../wire/netlink/xfrm-policy.js';
import type { XfrmStateReport } from '../../wire/netlink/xfrm-state.js';
import { expiryCause } from './events.js';
import { isFilterRequestId } from './marks.js';
import type { PairRecord } from './pair-book.js';
import { statesOf } from './states.js';
import type { ReportsByPair } from './statistics.js';

/** A limit that a pair has reached. */
export interface Expiry {
  readonly record: PairRecord;
  readonly hard: boolean;
  readonly cause: ReturnType<typeof expiryCause>;
}

/** The limits reached that nothing is known of yet. A pair without one of its states is at its end. */
export function missedExpiries(
  records: Iterable<PairRecord>,
  reports: ReportsByPair,
  calendarSeconds: number,
): Expiry[] {
  const missed: Expiry[] = [];
  for (const record of records) {
    if (record.hardExpired) continue;
    const states = reports.get(record.requestId) ?? [];
    const wanted = [...statesOf(record, 'inbound'), ...statesOf(record, 'outbound')];
    const gone = wanted.some(({ id }) => !states.some(state => state.id.spi === id.spi));
    const worn = states.find(state => isPastSoftLimit(state, calendarSeconds));
    // What a state that is gone has counted went with it.
    if (gone) missed.push({ record, hard: true, cause: 'seconds' });
    else if (worn !== undefined && !record.softExpired)
      missed.push({ record, hard: false, cause: expiryCause(worn, false) });
  }
  return missed;
}

function isPastSoftLimit({ limits, usage }: XfrmStateReport, calendarSeconds: number): boolean {
  return (
    usage.bytes >= limits.softBytes ||
    usage.packets >= limits.softPackets ||
    (limits.softSeconds > 0 && calendarSeconds - usage.addedAtSeconds > limits.softSeconds)
  );
}

/** The acquires whose states wait in the kernel. `policyOf` finds a filter's policy by its request id. */
export function pendingAcquires(
  reports: readonly XfrmStateReport[],
  policyOf: (requestId: number) => XfrmPolicy | undefined,
): XfrmAcquire[] {
  return reports.flatMap(({ id, source, requestId, selector, sequence }) => {
    const policy = isFilterRequestId(requestId) ? policyOf(requestId) : undefined;
    if (policy === undefined) return [];
    const { destination, protocol } = id;
    return [{ destination, source, protocol, packet: selector, policy, sequence }];
  });
}
