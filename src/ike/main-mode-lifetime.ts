/** N(RESPONDER-LIFETIME) of main mode: a responder that keeps the SA for a shorter time than offered says so (RFC 2407 4.6.3.1). */
import { decodeAttributes, encodeAttributes } from '../wire/isakmp/attributes.js';
import { findPayloads, type PayloadChain } from '../wire/isakmp/message.js';
import { lifeTypes, notifyTypes } from '../wire/isakmp/numbers.js';
import type { Payload } from '../wire/isakmp/payloads.js';
import { notifyPayload } from './informational-send.js';
import { shorter } from './lifetimes.js';
import type { MainModeChoice } from './main-mode.js';
import { lifeAttributePair, readTransform } from './transform-attributes.js';
import type { VendorProfile } from './vendor-profile.js';

/** What goes into message 6. Windows says nothing in main mode. */
export function responderLifetime(
  { lifetimeSeconds, offeredSeconds = 0 }: MainModeChoice,
  cookies: Uint8Array,
  profile: VendorProfile | undefined,
): Payload[] {
  if (offeredSeconds <= lifetimeSeconds || profile === 'windows-2003') return [];
  const data = encodeAttributes(lifeAttributePair(1, lifeTypes.seconds, lifetimeSeconds, true));
  return [notifyPayload(notifyTypes['RESPONDER-LIFETIME'], { spi: cookies, data })];
}

/** The choice with the lifetime that message 6 leaves of it. Throws `WireError` on malformed attributes. */
export function withResponderLifetime(choice: MainModeChoice, chain: PayloadChain): MainModeChoice {
  let { lifetimeSeconds } = choice;
  for (const { payload } of findPayloads(chain, 'notify'))
    if (payload.notifyType === notifyTypes['RESPONDER-LIFETIME'])
      lifetimeSeconds = shorter(
        lifetimeSeconds,
        readTransform(1, decodeAttributes(payload.data)).lifetimeSeconds,
      );
  return { ...choice, lifetimeSeconds };
}
