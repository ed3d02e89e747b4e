import type { DriverStatistics } from '../driver/api.js';
import type { IkeStatistics } from '../ike/info.js';

/** A counter with its label in `netsh ipsec dynamic show stats` and where to read it. */
export interface StatisticsLine<Statistics> {
  readonly label: string;
  value(statistics: Statistics): number;
}

/** IKE (main mode) statistics in the order and with the labels of `monitoring.md` 2.1. */
export const ikeStatisticsLines: readonly StatisticsLine<IkeStatistics>[] = [
  { label: 'Main Modes', value: s => s.mainModes },
  { label: 'Quick Modes', value: s => s.quickModes },
  { label: 'Soft SAs', value: s => s.softAssociations },
  { label: 'Authentication Failures', value: s => s.authenticationFailures },
  { label: 'Active Acquire', value: s => s.activeAcquire },
  { label: 'Active Receive', value: s => s.activeReceive },
  { label: 'Acquire fail', value: s => s.acquireFailures },
  { label: 'Receive fail', value: s => s.receiveFailures },
  { label: 'Send fail', value: s => s.sendFailures },
  { label: 'Acquire Heap size', value: s => s.acquireHeapSize },
  { label: 'Receive Heap size', value: s => s.receiveHeapSize },
  { label: 'Negotiation Failures', value: s => s.negotiationFailures },
  { label: 'Invalid Cookies Rcvd', value: s => s.invalidCookies },
  { label: 'Total Acquire', value: s => s.totalAcquire },
  { label: 'TotalGetSpi', value: s => s.totalGetSpi },
  { label: 'TotalKeyAdd', value: s => s.keyAdditions },
  { label: 'TotalKeyUpdate', value: s => s.keyUpdates },
  { label: 'GetSpiFail', value: s => s.getSpiFailures },
  { label: 'KeyAddFail', value: s => s.keyAdditionFailures },
  { label: 'KeyUpdateFail', value: s => s.keyUpdateFailures },
  { label: 'IsadbListSize', value: s => s.isadbListSize },
  { label: 'ConnListSize', value: s => s.connectionListSize },
  { label: 'Invalid Packets Rcvd', value: s => s.invalidPackets },
];

/** IPsec (quick mode, driver) statistics of `monitoring.md` 2.2. No network card takes over SAs here: those are 0. */
export const ipsecStatisticsLines: readonly StatisticsLine<DriverStatistics>[] = [
  { label: 'Active Assoc', value: s => s.activeAssociations },
  { label: 'Offload SAs', value: () => 0 },
  { label: 'Pending Key', value: s => s.pendingKeys },
  { label: 'Key Adds', value: s => s.keyAdditions },
  { label: 'Key Deletes', value: s => s.keyDeletions },
  { label: 'ReKeys', value: s => s.rekeys },
  { label: 'Active Tunnels', value: s => s.activeTunnels },
  { label: 'Bad SPI Pkts', value: s => s.badSpiPackets },
  { label: 'Pkts not Decrypted', value: s => s.packetsNotDecrypted },
  { label: 'Pkts not Authenticated', value: s => s.packetsNotAuthenticated },
  { label: 'Pkts with Replay Detection', value: s => s.packetsWithReplayDetection },
  { label: 'Confidential Bytes Sent', value: s => s.confidentialBytesSent },
  { label: 'Confidential Bytes Received', value: s => s.confidentialBytesReceived },
  { label: 'Authenticated Bytes Sent', value: s => s.authenticatedBytesSent },
  { label: 'Authenticated Bytes Received', value: s => s.authenticatedBytesReceived },
  { label: 'Transport Bytes Sent', value: s => s.transportBytesSent },
  { label: 'Transport Bytes Received', value: s => s.transportBytesReceived },
  { label: 'Bytes Sent In Tunnels', value: s => s.tunnelBytesSent },
  { label: 'Bytes Received In Tunnels', value: s => s.tunnelBytesReceived },
  { label: 'Offloaded Bytes Sent', value: () => 0 },
  { label: 'Offloaded Bytes Received', value: () => 0 },
];

const labelWidth = Math.max(
  ...[...ikeStatisticsLines, ...ipsecStatisticsLines].map(({ label }) => label.length),
);

/** A heading, its underline and one `label : number` line a counter. */
export function printStatistics<S>(
  title: string,
  lines: readonly StatisticsLine<S>[],
  statistics: S,
): string[] {
  return [
    title,
    '-'.repeat(title.length),
    ...lines.map(({ label, value }) => `${label.padEnd(labelWidth)} : ${value(statistics)}`),
  ];
}
