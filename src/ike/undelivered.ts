/**
 * ICMP errors about our messages. Anyone can forge one, so they end nothing; but they explain a silence, and whoever
 * watches is told at once.
 */
import type { Endpoint } from '../driver/api.js';
import type { IpAddress } from '../wire/ip/address.js';
import { type UndeliveredReason, undeliveredMeanings } from '../wire/ip/icmp-errors.js';
import type { Context } from './context.js';
import type { MainMode } from './main-mode.js';

/** What an ICMP error says of a message of ours. */
export interface Undelivered {
  readonly peer: Endpoint;
  /** Who says it: the peer, a router, or this host itself when nobody on the link has the address. */
  readonly reporter: IpAddress;
  readonly reason: UndeliveredReason;
}

/** Reports told a second, of all peers. */
const toldPerSecond = 10;

/** Notes it for each main mode with that peer at that port, and tells of it once until the peer is heard again. */
export function noteUndelivered(context: Context, undelivered: Undelivered): void {
  const { peer, reason } = undelivered;
  for (const mainMode of context.mainModes.ofPeer(peer.address)) {
    if (mainMode.peerPort !== peer.port) continue;
    const text = describe(mainMode, undelivered);
    const isKnown = silenceReason(mainMode) === text;
    mainMode.undelivered = { text, atMs: context.nowMs };
    if (isKnown || !context.undeliveredReports.allow(context.nowMs, toldPerSecond)) continue;
    const { peer: told } = mainMode;
    const step = {
      peer: told,
      direction: 'received',
      message: 'ICMP',
      detail: text,
      undelivered: reason,
    } as const;
    context.emit({ kind: 'progress', step: { atMs: context.nowMs, ...step } });
  }
}

/** The text of a failure for want of an answer, with what ICMP said meanwhile. */
export function explainSilence(mainMode: MainMode, text: string): string {
  const reason = silenceReason(mainMode);
  return reason === undefined ? text : `${text} (ICMP ${reason})`;
}

/** What was reported since the peer was last heard. */
function silenceReason({ undelivered, lastInboundAtMs }: MainMode): string | undefined {
  return undelivered !== undefined && undelivered.atMs >= lastInboundAtMs ? undelivered.text : undefined;
}

function describe({ local }: MainMode, { peer, reporter, reason }: Undelivered): string {
  const from = reporter === local ? 'this host' : reporter;
  return `from ${from} about UDP port ${peer.port}: ${undeliveredMeanings[reason]}`;
}
