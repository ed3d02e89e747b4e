/** Sending informational messages: protected once there are keys, in the clear before (ike.md 8). */
import { ByteWriter } from '../wire/bytes.js';
import { encodeMessage, type MessageHeader } from '../wire/isakmp/message.js';
import { dois, exchangeTypes, nameOf, notifyTypes, protocols } from '../wire/isakmp/numbers.js';
import type { NotifyPayload, Payload } from '../wire/isakmp/payloads.js';
import type { Context } from './context.js';
import type { Incoming } from './incoming.js';
import type { MainMode } from './main-mode.js';
import { messageIdBytes, phase2Iv, seal, withHash } from './protection.js';

/** A notification about phase 1, or about nothing in particular. */
export function notifyPayload(
  notifyType: number,
  fields: Partial<Pick<NotifyPayload, 'protocol' | 'spi' | 'data'>> = {},
): NotifyPayload {
  return {
    kind: 'notify',
    doi: dois.IPSEC,
    protocol: protocols.ISAKMP,
    notifyType,
    spi: new Uint8Array(0),
    data: new Uint8Array(0),
    ...fields,
  };
}

/** Microsoft's notification of a Win32 error ([MS-IKEE] 2.2.6). */
export function statusPayload(windowsCode: number): NotifyPayload {
  return notifyPayload(notifyTypes['MS-NOTIFY-STATUS'], { data: new ByteWriter().u32(windowsCode).finish() });
}

/** Notifications about an ISAKMP SA name it by its two cookies. */
export function cookiesOf({ initiatorCookie, responderCookie }: MainMode): Uint8Array {
  const cookies = new Uint8Array(initiatorCookie.length + responderCookie.length);
  cookies.set(initiatorCookie);
  cookies.set(responderCookie, initiatorCookie.length);
  return cookies;
}

function informationalHeader(
  mainMode: Pick<MainMode, 'initiatorCookie' | 'responderCookie'>,
  messageId: number,
): MessageHeader {
  const { initiatorCookie, responderCookie } = mainMode;
  return { initiatorCookie, responderCookie, exchangeType: exchangeTypes.Informational, flags: 0, messageId };
}

/** The keys and the IV base of a main mode that can protect messages. */
export function protectionOf({ state }: MainMode) {
  switch (state.stage) {
    case 'established':
      return { keys: state.keys, lastBlock: state.lastBlock };
    case 'awaiting 5':
    case 'awaiting 6':
    case 'awaiting aggressive 3':
      return { keys: state.keys, lastBlock: state.iv };
    default:
      return undefined;
  }
}

/** What opens and seals informational messages of a main mode. */
export type Protection = NonNullable<ReturnType<typeof protectionOf>>;

/** A sealed informational message: its id, bytes and payloads, and the IV of an answer to it. */
export interface SealedInformational {
  readonly messageId: number;
  readonly bytes: Uint8Array;
  readonly payloads: readonly Payload[];
  readonly nextIv: Uint8Array;
}

/** `HDR*, HASH, payloads` under a new message id; `undefined` while there are no keys. */
export function sealInformational(
  context: Context,
  mainMode: MainMode,
  content: readonly Payload[],
): SealedInformational | undefined {
  const protection = protectionOf(mainMode);
  if (protection === undefined) return undefined;
  const { keys, lastBlock } = protection;
  const messageId = context.newMessageId(mainMode);
  const payloads = withHash(keys, [messageIdBytes(messageId)], content);
  const iv = phase2Iv(keys.method, lastBlock, messageId);
  const { value, nextIv } = seal(keys, iv, informationalHeader(mainMode, messageId), payloads);
  return { messageId, bytes: value, payloads, nextIv };
}

/** Sends a protected informational message once; nothing happens while there are no keys. */
export function sendProtected(context: Context, mainMode: MainMode, content: readonly Payload[]): void {
  const sealed = sealInformational(context, mainMode, content);
  if (sealed) context.send(mainMode, sealed.bytes, { name: 'informational', payloads: sealed.payloads });
}

export function sendProtectedNotify(
  context: Context,
  mainMode: MainMode,
  notifyType: number,
  fields?: Parameters<typeof notifyPayload>[1],
): void {
  sendProtected(context, mainMode, [notifyPayload(notifyType, fields)]);
}

/** What sends a clear notification about a phase-1 failure; the same bytes each time. */
export function clearNotify(context: Context, mainMode: MainMode, notifyType: number): () => void {
  const payloads = [notifyPayload(notifyType)];
  const bytes = encodeMessage(informationalHeader(mainMode, context.newMessageId(mainMode)), payloads);
  return () => context.send(mainMode, bytes, { name: 'informational', payloads });
}

/** Refusals in clear, at most this many a second: no flood of answers or events. */
const refusalsPerSecond = 20;

export function mayRefuse({ refusals, nowMs }: Context): boolean {
  return refusals.allow(nowMs, refusalsPerSecond);
}

/** Answers a message that leaves no state behind with a clear notification, and lets `record` tell of it. */
export function refuseWithoutState(
  context: Context,
  { header, datagram }: Incoming,
  notifyType: number,
  record: () => void,
): void {
  if (!mayRefuse(context)) return;
  record();
  const messageId = new DataView(Uint8Array.from(context.random(4)).buffer).getUint32(0) || 1;
  const { local, peer } = datagram;
  const bytes = encodeMessage(informationalHeader(header, messageId), [notifyPayload(notifyType)]);
  context.emit({ kind: 'send', datagram: { local, peer, bytes } });
  const detail = `NOTIFY(${nameOf(notifyTypes, notifyType)})`;
  context.progress(peer.address, 'sent', 'informational', detail, bytes.length, 0);
}
