/** What the kernel counts, by the names of the driver's statistics. */
import { encryption } from '../../crypto/algorithms.js';
import type { XfrmStateReport } from '../../wire/netlink/xfrm-state.js';
import type { DriverStatistics, DropReason, PairStatistics, SaPair } from '../api.js';
import { noDrops } from '../no-drops.js';
import type { PairRecord } from './pair-book.js';

/** The kernel's counters (`/proc/net/xfrm_stat`) that mean one of our reasons; what it counts besides is its own affair. */
const dropCounters: Readonly<Record<string, DropReason>> = {
  XfrmInHdrError: 'malformed',
  XfrmInNoStates: 'bad-spi',
  XfrmInStateProtoError: 'not-authenticated',
  XfrmInStateModeError: 'selector-mismatch',
  XfrmInStateSeqError: 'replay',
  XfrmInStateExpired: 'expired',
  XfrmInStateMismatch: 'selector-mismatch',
  XfrmInStateInvalid: 'expired',
  XfrmInTmplMismatch: 'clear-but-secured',
  XfrmInNoPols: 'selector-mismatch',
  XfrmInPolBlock: 'blocked',
  XfrmOutNoStates: 'negotiation-failed',
  XfrmOutStateProtoError: 'send-failed',
  XfrmOutStateSeqError: 'expired',
  XfrmOutStateExpired: 'expired',
  XfrmOutStateInvalid: 'expired',
  XfrmOutPolBlock: 'blocked',
  XfrmOutBundleGenError: 'send-failed',
  XfrmOutError: 'send-failed',
};

/** The kernel's counters, by its own names. */
export type Counters = ReadonlyMap<string, number>;

/** Drops since `before`. */
export function dropsSince(before: Counters, now: Counters): Record<DropReason, number> {
  const drops = noDrops();
  for (const [name, reason] of Object.entries(dropCounters))
    drops[reason] += Math.max(0, (now.get(name) ?? 0) - (before.get(name) ?? 0));
  return drops;
}

/** States by the request id of their pair. */
export type ReportsByPair = ReadonlyMap<number, readonly XfrmStateReport[]>;

export function byRequestId(reports: readonly XfrmStateReport[]): ReportsByPair {
  const found = new Map<number, XfrmStateReport[]>();
  for (const report of reports) found.set(report.requestId, [...(found.get(report.requestId) ?? []), report]);
  return found;
}

/** What a pair did, by its states. */
export function pairStatisticsOf(record: PairRecord, reports: readonly XfrmStateReport[]): PairStatistics {
  const inbound = reports.filter(({ id }) => id.destination === record.pair.local);
  const outbound = reports.filter(({ id }) => id.destination !== record.pair.local);
  // The states of a bundle see the same packets: the innermost knows how long the clear ones were.
  const received = stateOfSpi(inbound, record.pair.inbound[0]?.spi);
  const sent = stateOfSpi(outbound, record.pair.outbound[0]?.spi);
  const replayed = sum(inbound, report => report.replayed);
  const wrongIcv = notAuthenticated(inbound);
  const { lastDrop, lastNote } = record.suspect?.statistics() ?? {};
  return {
    pairId: record.pair.id,
    bytesSent: sent?.usage.bytes ?? 0,
    bytesReceived: received?.usage.bytes ?? 0,
    packetsSent: sent?.usage.packets ?? 0,
    packetsReceived: received?.usage.packets ?? 0,
    ...(lastUsed(received, 'lastInboundAtMs') ?? {}),
    ...(lastUsed(sent, 'lastOutboundAtMs') ?? {}),
    outboundActive: record.outboundActive,
    drops: {
      ...(replayed === 0 ? {} : { replay: replayed }),
      ...(wrongIcv === 0 ? {} : { 'not-authenticated': wrongIcv }),
    },
    ...(lastDrop === undefined ? {} : { lastDrop }),
    ...(lastNote === undefined ? {} : { lastNote }),
  };
}

/** Packets with a wrong ICV that these states have counted. */
export function notAuthenticated(reports: readonly XfrmStateReport[]): number {
  return sum(reports, report => report.integrityFailed);
}

function stateOfSpi(
  reports: readonly XfrmStateReport[],
  spi: number | undefined,
): XfrmStateReport | undefined {
  return reports.find(report => report.id.spi === spi);
}

function lastUsed<K extends string>(report: XfrmStateReport | undefined, name: K) {
  if (report === undefined || report.usage.packets === 0) return undefined;
  const seconds = report.lastUsedAtSeconds ?? report.usage.usedAtSeconds;
  return { [name]: seconds * 1000 } as Record<K, number>;
}

function sum(reports: readonly XfrmStateReport[], of: (report: XfrmStateReport) => number): number {
  return reports.reduce((total, report) => total + of(report), 0);
}

/** Bytes by kind of protection. */
export type ByteCounts = Pick<
  DriverStatistics,
  | 'confidentialBytesSent'
  | 'confidentialBytesReceived'
  | 'authenticatedBytesSent'
  | 'authenticatedBytesReceived'
  | 'transportBytesSent'
  | 'transportBytesReceived'
  | 'tunnelBytesSent'
  | 'tunnelBytesReceived'
>;

export const noBytes: ByteCounts = {
  confidentialBytesSent: 0,
  confidentialBytesReceived: 0,
  authenticatedBytesSent: 0,
  authenticatedBytesReceived: 0,
  transportBytesSent: 0,
  transportBytesReceived: 0,
  tunnelBytesSent: 0,
  tunnelBytesReceived: 0,
};

/** Adds what a pair did. */
export function addBytes(counts: ByteCounts, pair: SaPair, statistics: PairStatistics): ByteCounts {
  const { bytesSent: sent, bytesReceived: received } = statistics;
  const confidential = pair.outbound.some(
    half => half.protocol === 'esp' && encryption(half.encryption ?? 'null').keyBytes > 0,
  );
  const authenticated = pair.outbound.some(
    half => half.hash !== undefined || encryption(half.encryption ?? 'null').tagBytes !== undefined,
  );
  const tunnel = pair.mode === 'tunnel';
  return {
    confidentialBytesSent: counts.confidentialBytesSent + (confidential ? sent : 0),
    confidentialBytesReceived: counts.confidentialBytesReceived + (confidential ? received : 0),
    authenticatedBytesSent: counts.authenticatedBytesSent + (authenticated ? sent : 0),
    authenticatedBytesReceived: counts.authenticatedBytesReceived + (authenticated ? received : 0),
    transportBytesSent: counts.transportBytesSent + (tunnel ? 0 : sent),
    transportBytesReceived: counts.transportBytesReceived + (tunnel ? 0 : received),
    tunnelBytesSent: counts.tunnelBytesSent + (tunnel ? sent : 0),
    tunnelBytesReceived: counts.tunnelBytesReceived + (tunnel ? received : 0),
  };
}
