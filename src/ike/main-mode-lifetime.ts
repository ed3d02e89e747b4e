/** N(RESPONDER-LIFETIME) of main mode: a responder that keeps the SA for a shorter time than offered says so (RFC 2407 4.6.3.1). */
import { WireError } from '../wire/bytes.js';
import { decodeAttributes, encodeAttributes } from '../wire/isakmp/attributes.js';
import { findPayloads, type PayloadChain } from '../wire/isakmp/message.js';
import { lifeTypes, notifyTypes, protocols } from '../wire/isakmp/numbers.js';
import type { NotifyPayload, Payload } from '../wire/isakmp/payloads.js';
import type { Context } from './context.js';
import { notifyPayload } from './informational-send.js';
import { agreeSeconds } from './lifetimes.js';
import { type EstablishedMainMode, isEstablished, type MainModeChoice } from './main-mode.js';
import { lifeAttributePair, readTransform } from './transform-attributes.js';
import type { VendorProfile } from './vendor-profile.js';

/** What goes into message 6, or follows aggressive mode. Windows says nothing in main mode. */
export function responderLifetime(
  { lifetimeSeconds, offeredSeconds = 0 }: MainModeChoice,
  cookies: Uint8Array,
  profile: VendorProfile | undefined,
): Payload[] {
  if (offeredSeconds <= lifetimeSeconds || profile === 'windows-2003') return [];
  const data = encodeAttributes(lifeAttributePair(1, lifeTypes.seconds, lifetimeSeconds, true));
  return [notifyPayload(notifyTypes['RESPONDER-LIFETIME'], { spi: cookies, data })];
}

/** After aggressive mode, whose own messages could not protect it: the responder's main mode ends earlier than was offered. */
export function shortenLifetime(
  context: Context,
  mainMode: EstablishedMainMode,
  notify: NotifyPayload,
): void {
  const { state } = mainMode;
  if (notify.protocol !== protocols.ISAKMP || mainMode.role !== 'initiator') return;
  const { choice, establishedAtMs, expiresAtMs } = state;
  const seconds = agreeSeconds(choice.lifetimeSeconds, secondsOf(notify));
  const earlierMs = establishedAtMs + seconds * 1_000;
  if (earlierMs >= expiresAtMs) return;
  mainMode.state = { ...state, choice: { ...choice, lifetimeSeconds: seconds }, expiresAtMs: earlierMs };
  context.progress(mainMode.peer, 'note', 'main mode', `the peer keeps it for ${seconds} s only`);
  if (isEstablished(mainMode)) context.listener.mainModeShortened(mainMode);
}

/** The choice with the lifetime that message 6 leaves of it. */
export function withResponderLifetime(choice: MainModeChoice, chain: PayloadChain): MainModeChoice {
  let { lifetimeSeconds } = choice;
  for (const { payload } of findPayloads(chain, 'notify'))
    if (payload.notifyType === notifyTypes['RESPONDER-LIFETIME'])
      lifetimeSeconds = agreeSeconds(lifetimeSeconds, secondsOf(payload));
  return { ...choice, lifetimeSeconds };
}

/** What cannot be read limits nothing: the proof beside it is good all the same. */
function secondsOf({ data }: NotifyPayload): number | undefined {
  try {
    return readTransform(1, decodeAttributes(data)).lifetimeSeconds;
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
