/** Hands phase-1 messages to the step that waits for them, and decides what an unacceptable one means. */
import { WireError } from '../wire/bytes.js';
import { summarisePayloads } from '../wire/isakmp/describe.js';
import { decodeMessage, type IsakmpMessage } from '../wire/isakmp/message.js';
import { exchangeTypes, headerFlags, notifyTypes } from '../wire/isakmp/numbers.js';
import * as aggressiveInitiator from './aggressive-mode-initiator.js';
import * as aggressiveResponder from './aggressive-mode-responder.js';
import type { FailureReason } from './api.js';
import type { Context } from './context.js';
import { mainModeDelete } from './deletion.js';
import { asExchangeError, ExchangeError } from './exchange-error.js';
import { notifyOfReason } from './failures.js';
import type { Incoming } from './incoming.js';
import {
  clearNotify,
  mayRefuse,
  refuseWithoutState,
  sendProtected,
  sendProtectedNotify,
} from './informational-send.js';
import { isZeroCookie, type MainMode, type MainModeState, type Phase1Exchange } from './main-mode.js';
import * as initiator from './main-mode-initiator.js';
import { auditFailure, complain, failMainMode, failureOfError } from './main-mode-life.js';
import * as responder from './main-mode-responder.js';

/** A message of exchange type 2 or 4. Throws `WireError` when it cannot be decoded and belongs to nothing we know. */
export function receiveMainMode(context: Context, incoming: Incoming): void {
  const { header, datagram } = incoming;
  const { mainModes } = context;
  const exchange = header.exchangeType === exchangeTypes['Main mode'] ? 'main' : 'aggressive';
  const mainMode = isZeroCookie(header.responderCookie)
    ? mainModes.byFirstMessage(datagram.peer.address, header.initiatorCookie)
    : (mainModes.byCookies(header.initiatorCookie, header.responderCookie) ??
      mainModes.awaitingPeer(header.initiatorCookie));
  if (mainMode?.duplicates.handle(datagram.bytes, context.nowMs)) {
    initiator.receiveAgain(context, mainMode);
    return;
  }
  if (mainMode === undefined || mainMode.exchange !== exchange) {
    if (mainMode === undefined && isZeroCookie(header.responderCookie)) begin(context, exchange, incoming);
    else context.counters.invalidCookies++;
    return;
  }
  const encrypted = (header.flags & headerFlags.ENCRYPTED) !== 0;
  const { stage } = mainMode.state;
  const expectsEncrypted = stage === 'awaiting 5' || stage === 'awaiting 6';
  if (stage === 'established' || stage === 'closed') return;
  // The last message of aggressive mode may be either.
  if (stage !== 'awaiting aggressive 3' && encrypted !== expectsEncrypted) return;
  try {
    step(context, mainMode, mainMode.state, incoming);
  } catch (error) {
    if (error instanceof WireError) context.counters.invalidPackets++;
    refuse(context, mainMode, stage, incoming, toExchangeError(error, mainMode));
  }
}

function step(context: Context, mainMode: MainMode, state: MainModeState, incoming: Incoming): void {
  switch (state.stage) {
    case 'awaiting 2':
      return initiator.receive2(context, mainMode, state, incoming, clear(context, incoming, 'main mode 2'));
    case 'awaiting 3':
      return responder.receive3(context, mainMode, state, incoming, clear(context, incoming, 'main mode 3'));
    case 'awaiting 4':
      return initiator.receive4(context, mainMode, state, incoming, clear(context, incoming, 'main mode 4'));
    case 'awaiting 5':
      return responder.receive5(context, mainMode, state, incoming);
    case 'awaiting 6':
      return initiator.receive6(context, mainMode, state, incoming);
    case 'awaiting aggressive 2': {
      const message = clear(context, incoming, 'aggressive mode 2');
      return aggressiveInitiator.receive2(context, mainMode, state, incoming, message);
    }
    case 'awaiting aggressive 3':
      return aggressiveResponder.receive3(context, mainMode, state, incoming);
    case 'established':
    case 'closed':
      return;
  }
}

function clear(context: Context, { datagram }: Incoming, name: string): IsakmpMessage {
  const message = decodeMessage(datagram.bytes);
  const payloads = summarisePayloads(message.payloads.map(({ payload }) => payload));
  context.progress(datagram.peer.address, 'received', name, payloads, datagram.bytes.length);
  return message;
}

/** A new first message. Nothing is remembered of one that is refused. */
function begin(context: Context, exchange: Phase1Exchange, incoming: Incoming): void {
  const { datagram } = incoming;
  const name = `${exchange} mode 1`;
  if (exchange === 'aggressive' && !aggressiveResponder.mayAnswer(context, datagram)) {
    refuseWithoutState(context, incoming, notifyTypes['UNSUPPORTED-EXCHANGE-TYPE'], () => {});
    return;
  }
  const message = clear(context, incoming, name);
  try {
    if (exchange === 'main') responder.receive1(context, incoming, message);
    else aggressiveResponder.receive1(context, incoming, message);
  } catch (error) {
    if (!(error instanceof ExchangeError)) throw error;
    const hosts = { local: datagram.local.address, peer: datagram.peer.address };
    refuseWithoutState(context, incoming, notifyOfReason(error.reason), () =>
      auditFailure(context, hosts, failureOfError(hosts, error, name)),
    );
  }
}

/** What cannot be decrypted to anything sensible was encrypted under another key. */
function toExchangeError(caught: unknown, { state }: MainMode): ExchangeError {
  const error = asExchangeError(caught);
  const underPresharedKey =
    (state.stage === 'awaiting 5' ||
      state.stage === 'awaiting 6' ||
      state.stage === 'awaiting aggressive 3') &&
    state.choice.authentication.kind === 'preshared';
  return underPresharedKey && error.reason === 'malformed'
    ? new ExchangeError('preshared-keys-differ', wrongKeyText)
    : error;
}

const wrongKeyText = 'it decrypts to nonsense: most likely the preshared keys differ';

/**
 * The message came from whom we exchanged keys with, for nobody else can encrypt to us: what it says of itself is
 * final. (A wrong preshared key is not: it shows as a message that anybody could have sent.)
 */
const finalReasons: ReadonlySet<FailureReason> = new Set([
  'invalid-id',
  'no-certificate',
  'no-peer-certificate',
  'certificate-refused',
  'invalid-signature',
]);

function refuse(
  context: Context,
  mainMode: MainMode,
  stage: MainModeState['stage'],
  incoming: Incoming,
  error: ExchangeError,
): void {
  const message = `${mainMode.exchange} mode ${stage.slice(-1)}`;
  const reason = failureOfError(mainMode, error, message, mainMode.peerVerdict);
  // Aggressive mode proves things in clear, too, and anybody can have sent that.
  const encrypted = (incoming.header.flags & headerFlags.ENCRYPTED) !== 0;
  if (finalReasons.has(error.reason) && (encrypted || mainMode.exchange === 'main')) {
    sendProtectedNotify(context, mainMode, notifyOfReason(error.reason));
    // With message 6 the responder is done, and would keep its half.
    if (mainMode.role === 'initiator') sendProtected(context, mainMode, [mainModeDelete(mainMode)]);
    failMainMode(context, mainMode, reason);
    return;
  }
  if (mainMode.role === 'initiator') {
    complain(context, mainMode, reason);
    return;
  }
  // Anybody could have sent it: answer, note it once, and go on waiting for the real message.
  if (mayRefuse(context)) {
    const notify = clearNotify(context, mainMode, notifyOfReason(error.reason));
    mainMode.duplicates.remember(incoming.datagram.bytes, context.nowMs, notify);
    notify();
  }
  if (mainMode.complaint !== undefined) return;
  mainMode.complaint = { failure: reason, transmissions: 0 };
  auditFailure(context, mainMode, reason);
  context.progress(mainMode.peer, 'note', reason.message ?? 'main mode', reason.text);
}
