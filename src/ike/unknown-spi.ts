/**
 * N(INVALID-SPI), in both directions: a packet came for an SA that is not there. Its receiver may have been started anew,
 * or the Delete got lost; without a word the sender would go on until dead peer detection or the end of its SA.
 */
import type { Endpoint } from '../driver/api.js';
import type { IpAddress } from '../wire/ip/address.js';
import { decodeMessage, encodeMessage, findPayloads } from '../wire/isakmp/message.js';
import { exchangeTypes, headerFlags, notifyTypes, protocols } from '../wire/isakmp/numbers.js';
import type { NotifyPayload } from '../wire/isakmp/payloads.js';
import type { UnknownSpi } from './api.js';
import type { Context } from './context.js';
import { newestMainMode } from './deletion.js';
import type { Incoming } from './incoming.js';
import { notifyPayload, sendProtected } from './informational-send.js';
import { natPort } from './nat-traversal.js';
import type { PairRecord } from './quick-mode.js';
import { spiBytes, spiOf } from './spi.js';

/** All such messages together: the packets that cause them may be forged. */
const messagesPerSecond = 5;

/**
 * How old a pair must be before we believe that its peer has lost it: a packet may overtake the end of the negotiation, and
 * what nobody has authenticated must not make us negotiate all the time.
 */
const settledMs = { protected: 5_000, clear: 30_000 } as const;

/**
 * Tells the sender. Under a main mode only one that is known to renew the pair then is told: strongSwan (5.9) logs it and
 * goes on as before, protected or not, so that a forged packet would only make us send. Without a main mode it is told in
 * clear, if the policy has anything to do with it: we cannot know who it is.
 */
export function reportUnknownSpi(context: Context, { protocol, spi, local, peer }: UnknownSpi): void {
  if (context.wasEndedLately(spi)) return;
  // In UDP it came from one of perhaps several clients behind a NAT.
  const client = local.port === natPort ? { peerPort: peer.port } : {};
  const mainMode = newestMainMode(context, { local: local.address, peer: peer.address, ...client });
  const renews = mainMode?.vendors.keys.has('ipseckit') || mainMode?.vendors.windowsVersion !== undefined;
  if (mainMode !== undefined ? !renews : !isSecured(context, local.address, peer.address)) return;
  if (!context.unknownSpis.allow(context.nowMs, messagesPerSecond)) return;
  const content = notifyPayload(notifyTypes['INVALID-SPI'], {
    protocol: protocols[protocol === 'esp' ? 'ESP' : 'AH'],
    spi: spiBytes(spi),
  });
  if (mainMode !== undefined) sendProtected(context, mainMode, [content]);
  else sendClear(context, local, peer, content);
}

function isSecured({ environment }: Context, local: IpAddress, peer: IpAddress): boolean {
  return environment.policy.mainModes(local, peer).length > 0;
}

/** There is no SA whose cookies it could have (RFC 2408 4.8). */
function sendClear(context: Context, local: Endpoint, peer: Endpoint, content: NotifyPayload): void {
  const header = {
    initiatorCookie: context.newCookie(),
    responderCookie: new Uint8Array(8),
    exchangeType: exchangeTypes.Informational,
    flags: 0,
    messageId: 0,
  };
  const bytes = encodeMessage(header, [content]);
  context.emit({ kind: 'send', datagram: { local, peer, bytes } });
  context.progress(peer.address, 'sent', 'informational', 'NOTIFY(INVALID-SPI)', bytes.length, 0);
}

/** An informational message of no main mode we know. It destroys nothing: the pair stays until a new one is there. */
export function receiveWithoutMainMode(context: Context, { header, datagram }: Incoming): void {
  if (header.flags & headerFlags.ENCRYPTED) return;
  for (const { payload } of findPayloads(decodeMessage(datagram.bytes), 'notify'))
    if (payload.notifyType === notifyTypes['INVALID-SPI'])
      receiveInvalidSpi(context, datagram.peer.address, payload, 'clear');
}

/**
 * The peer has no SA for a packet of ours: the pair is negotiated anew, and stays until the new one replaces it. Returns
 * whether it is one of ours.
 */
export function receiveInvalidSpi(
  context: Context,
  peer: IpAddress,
  notify: NotifyPayload,
  sent: 'protected' | 'clear',
): boolean {
  const spi = spiOf(notify.spi);
  const sentWith = ({ active, pair }: PairRecord) => active && pair.outbound.some(half => half.spi === spi);
  const lost = context.pairs.ofPeer(peer).find(sentWith);
  if (lost !== undefined && context.nowMs - lost.establishedAtMs >= settledMs[sent])
    context.listener.pairLost(lost);
  return lost !== undefined;
}
