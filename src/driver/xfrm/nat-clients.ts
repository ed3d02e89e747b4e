import { IpseckitError } from '../../report/errors.js';
import type { PairStatistics, SaPair } from '../api.js';
import { clientIdleMs } from '../conversations.js';
import { carriedSelector } from '../pair-places.js';
import type { PairRecord } from './pair-book.js';
import { commonSelector } from './selectors.js';

/**
 * Clients behind one NAT have one address, and in transport mode nothing else tells the kernel whose pair an answer is for:
 * it would go to the newest. Throws `IpseckitError` UNSUPPORTED for the pair of a second client while the first one lives.
 */
export function refuseOtherClient(
  pair: SaPair,
  records: Iterable<PairRecord>,
  statisticsOf: (record: PairRecord) => PairStatistics,
): void {
  const { udpEncapsulation, mode, local, peer } = pair;
  if (udpEncapsulation === undefined || mode !== 'transport') return;
  for (const record of records) {
    const other = record.pair;
    const isOtherClient =
      other.udpEncapsulation !== undefined &&
      other.mode === 'transport' &&
      !record.hardExpired &&
      other.local === local &&
      record.peer.address === peer &&
      record.peer.port !== udpEncapsulation.peerPort &&
      // The same client, whose mapping is another now.
      (other.natOriginal?.peer === undefined || other.natOriginal.peer !== pair.natOriginal?.peer);
    if (!isOtherClient) continue;
    if (commonSelector(carriedSelector(other), carriedSelector(pair)) === undefined) continue;
    const { lastInboundAtMs = 0 } = statisticsOf(record);
    const isAlive =
      Date.now() - lastInboundAtMs < clientIdleMs || performance.now() - record.installedAtMs < clientIdleMs;
    if (!isAlive) continue;
    throw new IpseckitError(
      'UNSUPPORTED',
      `A second client behind the NAT at ${peer} (UDP port ${udpEncapsulation.peerPort}) wants the same traffic as that of port ${record.peer.port}, and the kernel cannot tell apart whose answers are whose.`,
      {
        next: 'Use "--driver userspace", which can; or let the clients use tunnel mode or source ports of their own.',
      },
    );
  }
}
