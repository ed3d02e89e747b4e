/**
 * The transaction exchange (draft-dukes-ike-mode-cfg-02 3): attributes asked for and answered, or set and
 * acknowledged, under the protection of an ISAKMP SA. The messages of one id chain their IVs, as in quick mode.
 *
 *   1  HDR*, HASH, ATTR(REQUEST | SET)
 *   2  HDR*, HASH, ATTR(REPLY | ACK)
 */
import { WireError } from '../wire/bytes.js';
import type { DataAttribute } from '../wire/isakmp/attributes.js';
import { bytesAfterFirst, type MessageHeader, type PayloadChain } from '../wire/isakmp/message.js';
import {
  exchangeTypes,
  headerFlags,
  nameOf,
  transactionAttributes,
  transactionTypes,
} from '../wire/isakmp/numbers.js';
import type { AttributesPayload } from '../wire/isakmp/payloads.js';
import type { ClientSession } from './client-session.js';
import type { Context } from './context.js';
import { ExchangeError } from './exchange-error.js';
import { type Incoming, requirePayload } from './incoming.js';
import type { EstablishedMainMode } from './main-mode.js';
import { acceptMessage } from './main-mode-life.js';
import { receiveReply, receiveSet } from './mode-config.js';
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
import { Retransmission } from './retransmission.js';
import { receiveRequest, receiveStatus } from './xauth.js';

/** A message that wants an answer. */
export interface TransactionRequest {
  readonly incoming: Incoming;
  readonly payload: AttributesPayload;
}

/** Message ids whose chains are remembered; a gateway uses three or four. */
const rememberedChains = 16;

/** A message of exchange type 6. Only a client has a use for one; nobody else answers. */
export function receiveTransaction(
  context: Context,
  mainMode: EstablishedMainMode,
  incoming: Incoming,
): void {
  const { header, datagram } = incoming;
  const { client } = mainMode;
  if (client === undefined || mainMode.duplicates.handle(datagram.bytes, context.nowMs)) return;
  if ((header.flags & headerFlags.ENCRYPTED) === 0 || header.messageId === 0) return;
  try {
    const opened = open(mainMode, client, incoming);
    if (opened === undefined) return;
    const { value: chain, nextIv } = opened;
    const { payload } = requirePayload(chain, 'attributes');
    acceptMessage(context, mainMode, incoming, 'transaction', chain);
    remember(client, header.messageId, nextIv);
    // What comes again is answered again, but not dealt with again.
    mainMode.duplicates.remember(datagram.bytes, context.nowMs);
    dispatch(context, mainMode, client, { incoming, payload });
  } catch (error) {
    if (!(error instanceof ExchangeError) && !(error instanceof WireError)) throw error;
    context.counters.invalidPackets++;
    context.progress(mainMode.peer, 'note', 'transaction', `ignored: ${error.message}`);
  }
}

function dispatch(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  request: TransactionRequest,
): void {
  const { incoming, payload } = request;
  switch (payload.messageType) {
    case transactionTypes.REQUEST:
      return receiveRequest(context, mainMode, client, request);
    case transactionTypes.SET:
      if (payload.attributes.some(({ type }) => type === transactionAttributes.XAUTH_STATUS))
        return receiveStatus(context, mainMode, client, request);
      return receiveSet(context, mainMode, client, request);
    case transactionTypes.REPLY:
      if (incoming.header.messageId === client.requestId) receiveReply(context, mainMode, client, payload);
      return;
    case transactionTypes.ACK:
      return;
    default: {
      const type = nameOf(transactionTypes, payload.messageType);
      throw new ExchangeError('malformed', `an attributes payload of type ${type}`);
    }
  }
}

/** Decrypts and checks a message; `undefined` for an id that has been used otherwise. */
function open(
  { state: { keys, lastBlock }, usedMessageIds }: EstablishedMainMode,
  { ivs }: ClientSession,
  { header, datagram }: Incoming,
): Chained<PayloadChain> | undefined {
  const chained = ivs.get(header.messageId);
  if (chained === undefined && usedMessageIds.has(header.messageId)) return undefined;
  const iv = chained ?? phase2Iv(keys.method, lastBlock, header.messageId);
  const opened = unseal(keys, iv, header, datagram.bytes);
  const proof = requirePayload(opened.value, 'hash').payload.data;
  const expected = phase2Hash(keys, messageIdBytes(header.messageId), bytesAfterFirst(opened.value));
  if (!macsEqual(proof, expected)) throw new ExchangeError('authentication-failed', 'its hash is wrong');
  return opened;
}

function remember({ ivs }: ClientSession, messageId: number, nextIv: Uint8Array): void {
  ivs.delete(messageId);
  ivs.set(messageId, nextIv);
  const oldest = ivs.keys().next();
  if (ivs.size > rememberedChains && !oldest.done) ivs.delete(oldest.value);
}

/** Answers a request (REPLY) or a setting (ACK), now and whenever it is repeated. */
export function answer(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  { incoming, payload }: TransactionRequest,
  attributes: readonly DataAttribute[],
): void {
  const messageType =
    payload.messageType === transactionTypes.REQUEST ? transactionTypes.REPLY : transactionTypes.ACK;
  const { messageId } = incoming.header;
  const { keys, lastBlock } = mainMode.state;
  const iv = client.ivs.get(messageId) ?? phase2Iv(keys.method, lastBlock, messageId);
  const reply = { kind: 'attributes', messageType, identifier: payload.identifier, attributes } as const;
  const payloads = withHash(keys, [messageIdBytes(messageId)], [reply]);
  const { value: bytes, nextIv } = seal(keys, iv, transactionHeader(mainMode, messageId), payloads);
  remember(client, messageId, nextIv);
  const send = () => context.send(mainMode, bytes, { name: 'transaction', payloads });
  mainMode.duplicates.remember(incoming.datagram.bytes, context.nowMs, send);
  send();
}

/** Asks the gateway, again and again until it answers; `noAnswer` is called when it does not. */
export function ask(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  attributes: readonly DataAttribute[],
  noAnswer: () => void,
): void {
  const { keys, lastBlock } = mainMode.state;
  const messageId = context.newMessageId(mainMode);
  const identifier = new DataView(Uint8Array.from(context.random(2)).buffer).getUint16(0);
  const payloads = withHash(
    keys,
    [messageIdBytes(messageId)],
    [{ kind: 'attributes', messageType: transactionTypes.REQUEST, identifier, attributes }],
  );
  const iv = phase2Iv(keys.method, lastBlock, messageId);
  const { value: bytes, nextIv } = seal(keys, iv, transactionHeader(mainMode, messageId), payloads);
  remember(client, messageId, nextIv);
  client.requestId = messageId;
  client.request?.stop();
  client.request = new Retransmission(
    context,
    retransmission => context.send(mainMode, bytes, { name: 'transaction', payloads, retransmission }),
    noAnswer,
  );
}

function transactionHeader(mainMode: EstablishedMainMode, messageId: number): MessageHeader {
  const { initiatorCookie, responderCookie } = mainMode;
  return { initiatorCookie, responderCookie, exchangeType: exchangeTypes.Transaction, flags: 0, messageId };
}
