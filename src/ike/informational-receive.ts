/** Informational messages: notifications and deletes, protected or not (ike.md 8). */
import { toHex, WireError } from '../wire/bytes.js';
import { printSelector } from '../wire/ip/selector.js';
import { summarisePayloads } from '../wire/isakmp/describe.js';
import {
  bytesAfterFirst,
  decodeMessage,
  findPayload,
  findPayloads,
  type PayloadChain,
} from '../wire/isakmp/message.js';
import { microsoftStatus } from '../wire/isakmp/notify-data.js';
import { headerFlags, isErrorNotify, nameOf, notifyTypes } from '../wire/isakmp/numbers.js';
import type { NotifyPayload, Payload } from '../wire/isakmp/payloads.js';
import type { NegotiationFailure } from './api.js';
import type { Context } from './context.js';
import { answerProbe } from './dead-peer.js';
import { receiveDelete } from './deletion.js';
import { ExchangeError } from './exchange-error.js';
import { quickModeLimitCode, reasonOfNotify } from './failures.js';
import { type Incoming, requirePayload } from './incoming.js';
import { type Protection, protectionOf } from './informational-send.js';
import { endForgotten } from './lost-peer.js';
import { type EstablishedMainMode, isEstablished, type MainMode, messageIdsKept } from './main-mode.js';
import { send1 } from './main-mode-initiator.js';
import {
  acceptMessage,
  complain,
  failMainMode,
  mainModeFailure,
  nonceBytes,
  printMainModeMethod,
} from './main-mode-life.js';
import { shortenLifetime } from './main-mode-lifetime.js';
import {
  type Chained,
  macsEqual,
  messageIdBytes,
  phase2Hash,
  phase2Iv,
  seal,
  unseal,
  withHash,
} from './protection.js';
import { failQuickMode, printSecurityMethod, quickModeFailure } from './quick-mode-life.js';
import { spiOf } from './spi.js';
import { receiveInvalidSpi } from './unknown-spi.js';

/** A message of exchange type 5. Throws `WireError` when one in clear cannot be decoded. */
export function receiveInformational(context: Context, mainMode: MainMode, incoming: Incoming): void {
  const { header, datagram } = incoming;
  if (mainMode.duplicates.handle(datagram.bytes, context.nowMs)) return;
  if (!(header.flags & headerFlags.ENCRYPTED)) {
    receiveClear(context, mainMode, incoming);
    return;
  }
  if (stopReliableDelete(context, mainMode, header.messageId)) return;
  const { usedMessageIds } = mainMode;
  if (header.messageId === 0 || usedMessageIds.has(header.messageId) || usedMessageIds.size >= messageIdsKept)
    return;
  let opened: Chained<PayloadChain>;
  try {
    opened = open(mainMode, incoming);
  } catch (error) {
    if (!(error instanceof WireError) && !(error instanceof ExchangeError)) throw error;
    context.counters.invalidPackets++;
    // While message 5 waits for its answer, this is how a peer with another key refuses it.
    if (waitsWithPresharedKey(mainMode)) complain(context, mainMode, unreadable(mainMode));
    return;
  }
  acceptMessage(context, mainMode, incoming, 'informational', opened.value);
  if (isEstablished(mainMode)) receiveProtected(context, mainMode, incoming, opened);
  else receiveDuringMainMode(context, mainMode, opened.value);
}

/**
 * Opens a protected message. Before main mode is complete libreswan has no last block to start from: it takes the
 * message id alone.
 */
function open(mainMode: MainMode, incoming: Incoming): Chained<PayloadChain> {
  const protection = protectionOf(mainMode);
  if (protection === undefined) throw new ExchangeError('malformed', 'encrypted before there are keys');
  try {
    return openFrom(protection, incoming);
  } catch (error) {
    if (!(error instanceof WireError) || isEstablished(mainMode)) throw error;
    return openFrom({ ...protection, lastBlock: new Uint8Array() }, incoming);
  }
}

function openFrom({ keys, lastBlock }: Protection, { header, datagram }: Incoming): Chained<PayloadChain> {
  const opened = unseal(keys, phase2Iv(keys.method, lastBlock, header.messageId), header, datagram.bytes);
  const proof = requirePayload(opened.value, 'hash').payload.data;
  const expected = phase2Hash(keys, messageIdBytes(header.messageId), bytesAfterFirst(opened.value));
  if (!macsEqual(proof, expected)) throw new ExchangeError('authentication-failed', 'its hash is wrong');
  return opened;
}

/** Message 5 with its proof by preshared key waits for its answer: with another key the peer cannot read it. */
function waitsWithPresharedKey({ state }: MainMode): boolean {
  return state.stage === 'awaiting 6' && state.choice.authentication.kind === 'preshared';
}

function unreadable(mainMode: MainMode): NegotiationFailure {
  return mainModeFailure(mainMode, {
    point: 'peer',
    reason: 'preshared-keys-differ',
    text: `${mainMode.peer} answered main mode 5 with a message that our key cannot read: most likely the preshared keys differ`,
    message: 'main mode 5',
  });
}

function receiveProtected(
  context: Context,
  mainMode: EstablishedMainMode,
  incoming: Incoming,
  { value: chain, nextIv }: Chained<PayloadChain>,
): void {
  const deletes = findPayloads(chain, 'delete').map(({ payload }) => payload);
  const nonce = findPayload(chain, 'nonce')?.payload.data;
  // Answered before it is executed: it may delete the very main mode that protects the answer.
  if (deletes.length > 0 && nonce !== undefined)
    answerReliableDelete(context, mainMode, incoming, nextIv, nonce, deletes);
  for (const { payload } of findPayloads(chain, 'notify')) receiveNotify(context, mainMode, payload);
  for (const payload of deletes) receiveDelete(context, mainMode, payload);
}

/** Microsoft's reliable delete, message 2: `HASH(2), Nr, D` on the same chain; Ni before M-ID in its hash. */
function answerReliableDelete(
  context: Context,
  mainMode: EstablishedMainMode,
  { header, datagram }: Incoming,
  iv: Uint8Array,
  initiatorNonce: Uint8Array,
  deletes: readonly Payload[],
): void {
  const { keys } = mainMode.state;
  const nonce: Payload = { kind: 'nonce', data: Uint8Array.from(context.random(nonceBytes)) };
  const payloads = withHash(keys, [initiatorNonce, messageIdBytes(header.messageId)], [nonce, ...deletes]);
  const { value: bytes } = seal(keys, iv, { ...header, flags: 0 }, payloads);
  const send = () => context.send(mainMode, bytes, { name: 'informational', payloads });
  mainMode.duplicates.remember(datagram.bytes, context.nowMs, send);
  send();
}

/** The answer to our own reliable delete: like Windows, only its message id counts. */
function stopReliableDelete(context: Context, mainMode: MainMode, messageId: number): boolean {
  const request = mainMode.pendingDeletes.get(messageId);
  if (request === undefined) return false;
  request.stop();
  mainMode.pendingDeletes.delete(messageId);
  context.progress(mainMode.peer, 'received', 'informational', 'the peer confirmed a delete');
  return true;
}

function receiveNotify(context: Context, mainMode: EstablishedMainMode, notify: NotifyPayload): void {
  switch (notify.notifyType) {
    case notifyTypes['R-U-THERE']:
      answerProbe(context, mainMode, notify);
      return;
    case notifyTypes['R-U-THERE-ACK']:
      // Like any authenticated message it has already proved that the peer lives.
      return;
    case notifyTypes['INITIAL-CONTACT']:
      endForgotten(context, mainMode);
      return;
    case notifyTypes['RESPONDER-LIFETIME']:
      shortenLifetime(context, mainMode, notify);
      return;
    case notifyTypes['INVALID-SPI']:
      if (!receiveInvalidSpi(context, mainMode.peer, notify, 'protected'))
        refuseQuickMode(context, mainMode, notify, undefined);
      return;
    default: {
      const status = microsoftStatus(notify);
      if (isErrorNotify(notify.notifyType) || (status !== undefined && status.status !== 0))
        refuseQuickMode(context, mainMode, notify, status);
    }
  }
}

/** The peer refuses a quick mode of ours: the one whose SPI or message id it names, else the only one there is. */
function refuseQuickMode(
  context: Context,
  mainMode: EstablishedMainMode,
  notify: NotifyPayload,
  status: ReturnType<typeof microsoftStatus>,
): void {
  const waiting = [...mainMode.quickModes.values()].filter(({ state }) => state.stage === 'awaiting 2');
  const spi = spiOf(notify.spi);
  const named = waiting.find(
    ({ state, messageId }) =>
      messageId === status?.messageId ||
      (state.stage === 'awaiting 2' && spi !== undefined && Object.values(state.spis).includes(spi)),
  );
  const refused = named ?? (waiting.length === 1 ? waiting[0] : undefined);
  if (refused === undefined) return;
  const said =
    status === undefined ? nameOf(notifyTypes, notify.notifyType) : `Windows error ${status.status}`;
  const offered = `${refused.policy.methods.map(printSecurityMethod).join(', ')} (${refused.policy.mode}) for ${printSelector(refused.policy.selector)}`;
  failQuickMode(
    context,
    mainMode,
    refused,
    quickModeFailure(mainMode, {
      point: 'peer',
      reason: status?.status === quickModeLimitCode ? 'quick-mode-limit' : reasonOfNotify(notify.notifyType),
      text: `${mainMode.peer} answered ${said} to quick mode 1, which offered ${offered}`,
      message: 'quick mode 1',
      notifyType: notify.notifyType,
    }),
  );
}

/** A protected notification before main mode is complete: the peer has our key, and ends the exchange. */
function receiveDuringMainMode(context: Context, mainMode: MainMode, chain: PayloadChain): void {
  const error = findPayloads(chain, 'notify').find(({ payload }) =>
    isErrorNotify(payload.notifyType),
  )?.payload;
  if (error !== undefined) failMainMode(context, mainMode, refusedByPeer(mainMode, error, 'protected'));
}

/** Unprotected: it destroys nothing, but may tell why an exchange of ours will fail. */
function receiveClear(context: Context, mainMode: MainMode, { datagram }: Incoming): void {
  const message = decodeMessage(datagram.bytes);
  const payloads = message.payloads.map(({ payload }) => payload);
  const { peer } = mainMode;
  context.progress(peer, 'received', 'informational', summarisePayloads(payloads), datagram.bytes.length);
  for (const { payload } of findPayloads(message, 'notify')) {
    const { state } = mainMode;
    if (state.stage === 'awaiting 2' && payload.notifyType === notifyTypes['MS-DOS-COOKIE']) {
      if (isNewDosCookie(mainMode, payload.data)) send1(context, mainMode, state, payload.data.slice());
    } else if (isErrorNotify(payload.notifyType)) {
      if (isEstablished(mainMode)) context.listener.mainModeDoubted(mainMode);
      else if (mainMode.role === 'initiator')
        complain(context, mainMode, refusedByPeer(mainMode, payload, 'clear'));
    }
  }
}

/** Cookies of a peer under attack that we follow in one main mode: anybody can send some. */
const maxDosCookies = 4;

function isNewDosCookie({ dosCookies }: MainMode, cookie: Uint8Array): boolean {
  const key = toHex(cookie);
  if (cookie.length !== 8 || dosCookies.has(key) || dosCookies.size >= maxDosCookies) return false;
  dosCookies.add(key);
  return true;
}

/** The message of ours that each stage waits for an answer to. */
const answeredNumber: Partial<Record<MainMode['state']['stage'], number>> = {
  'awaiting 2': 1,
  'awaiting 4': 3,
  'awaiting 6': 5,
  'awaiting aggressive 2': 1,
};

/**
 * What an error notification says of the message we are waiting for an answer to. A protected one was made with keys
 * that come of the preshared key: that one is not at fault then.
 */
function refusedByPeer(
  mainMode: MainMode,
  { notifyType }: NotifyPayload,
  sent: 'clear' | 'protected',
): NegotiationFailure {
  const { stage } = mainMode.state;
  const message = `${mainMode.exchange} mode ${answeredNumber[stage] ?? ''}`.trim();
  const offer =
    answeredNumber[stage] === 1
      ? `, which offered ${mainMode.policy.methods.map(printMainModeMethod).join(', ')}`
      : '';
  const said = `${mainMode.peer} answered ${nameOf(notifyTypes, notifyType)} to ${message}${offer}`;
  const doubt = sent === 'clear' ? doubtOfKeys(mainMode, notifyType) : doubtOfIdentity(mainMode, notifyType);
  return mainModeFailure(mainMode, {
    point: 'peer',
    reason: sent === 'clear' && doubt !== '' ? 'preshared-keys-differ' : reasonOfNotify(notifyType),
    text: said + doubt,
    message,
    notifyType,
  });
}

function doubtOfKeys(mainMode: MainMode, notifyType: number): string {
  if (!waitsWithPresharedKey(mainMode) || notifyType === notifyTypes['NO-PROPOSAL-CHOSEN']) return '';
  const orIdentity =
    notifyType === notifyTypes['INVALID-ID-INFORMATION'] ? ', or it does not accept our identity' : '';
  return `: most likely the preshared keys differ${orIdentity}`;
}

function doubtOfIdentity(mainMode: MainMode, notifyType: number): string {
  if (!waitsWithPresharedKey(mainMode) || notifyType === notifyTypes['NO-PROPOSAL-CHOSEN']) return '';
  return `: the preshared keys agree, but it does not accept our identity ${ownIdentity(mainMode)}`;
}

function ownIdentity({ policy: { identity }, local }: MainMode): string {
  if (identity === undefined) return local;
  if (identity.kind === 'address') return identity.address;
  return identity.kind === 'other' ? `of type ${identity.idType}` : identity.name;
}
