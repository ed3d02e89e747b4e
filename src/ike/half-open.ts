/**
 * A responder's exchanges that are not finished: anybody can begin some, so their number, their time and what they hold
 * are bounded.
 */
import type { IpAddress } from '../wire/ip/address.js';
import type { Context } from './context.js';
import type { MainMode } from './main-mode.js';
import { auditFailure, closeMainMode, mainModeFailure } from './main-mode-life.js';

/** An exchange the initiator does not finish is forgotten after this time; Windows repeats its answer longer. */
const halfOpenMs = { ipseckit: 60_000, 'windows-2003': 70_000 } as const;

/** Half-open exchanges kept when the options say nothing. */
const defaultMaxHalfOpen = 1_000;

/** Half-open exchanges one peer may keep at the cost of others, as Windows counts ([MS-IKEE] 3.9). */
const shareOfPeer = 35;

/** Lets an exchange end when it is not finished in time. */
export function forgetInTime(context: Context, mainMode: MainMode): void {
  const { vendorProfile = 'ipseckit' } = context.options;
  context.schedule(mainMode, context.nowMs + halfOpenMs[vendorProfile], () => giveUp(context, mainMode));
}

/** The initiator did not finish. An attempt that never showed more than a first message is not worth an event. */
function giveUp(context: Context, mainMode: MainMode): void {
  const { stage } = mainMode.state;
  if (stage === 'awaiting 5' && mainMode.complaint === undefined)
    auditFailure(
      context,
      mainMode,
      mainModeFailure(mainMode, {
        point: 'peer',
        reason: 'no-response',
        text: `${mainMode.peer} began a main mode and did not send message 5`,
        message: 'main mode 5',
      }),
    );
  closeMainMode(context, mainMode);
}

/**
 * Keeps the number of half-open exchanges within its limit: the cheapest and oldest goes. A peer that has more than its
 * share makes room for its own.
 */
export function makeRoom(context: Context, peer: IpAddress): void {
  const { mainModes } = context;
  const limit = context.options.maxHalfOpen ?? defaultMaxHalfOpen;
  while (mainModes.halfOpenCount >= limit) {
    const ofPeer = mainModes.halfOpenOf(peer);
    const cheapest = ofPeer.length >= shareOfPeer ? ofPeer[0] : mainModes.cheapestHalfOpen();
    if (cheapest === undefined) return;
    closeMainMode(context, cheapest);
  }
}
