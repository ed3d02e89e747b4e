/** Hands quick mode messages to the step that waits for them, and answers requests that are refused. */
import { WireError } from '../wire/bytes.js';
import type { Selector } from '../wire/ip/selector.js';
import { findPayload, type PayloadChain } from '../wire/isakmp/message.js';
import type { Context } from './context.js';
import { asExchangeError, ExchangeError } from './exchange-error.js';
import { notifyOfReason, printMismatches, quickModeLimitCode } from './failures.js';
import type { Incoming } from './incoming.js';
import { notifyPayload, sealInformational, statusPayload } from './informational-send.js';
import type { EstablishedMainMode } from './main-mode.js';
import { mainModeFilter } from './main-mode-life.js';
import type { QuickMode } from './quick-mode.js';
import * as initiator from './quick-mode-initiator.js';
import { auditQuickModeFailure, quickModeFailure } from './quick-mode-life.js';
import * as responder from './quick-mode-responder.js';

/** A message of exchange type 32. Throws `WireError` when it does not decrypt to anything sensible. */
export function receiveQuickMode(context: Context, mainMode: EstablishedMainMode, incoming: Incoming): void {
  const { header, datagram } = incoming;
  const quickMode = mainMode.quickModes.get(header.messageId);
  const duplicates = quickMode?.duplicates ?? mainMode.duplicates;
  if (duplicates.handle(datagram.bytes, context.nowMs)) return;
  try {
    if (quickMode === undefined) begin(context, mainMode, incoming);
    else step(context, mainMode, quickMode, incoming);
  } catch (error) {
    // Not from the peer, or not for us: only counted.
    if (!(error instanceof ExchangeError)) throw error;
    context.counters.invalidPackets++;
    context.progress(mainMode.peer, 'note', 'quick mode', `ignored: ${error.message}`);
  }
}

function step(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  incoming: Incoming,
): void {
  const { state } = quickMode;
  if (quickMode.role === 'responder') {
    if (state.stage === 'awaiting 3') responder.receive3(context, mainMode, quickMode, state, incoming);
  } else if (state.stage === 'awaiting 2') {
    initiator.receive2(context, mainMode, quickMode, state, incoming);
  } else if (state.stage !== 'failed') {
    initiator.receive4(context, mainMode, quickMode, incoming);
  }
}

function begin(context: Context, mainMode: EstablishedMainMode, incoming: Incoming): void {
  const { header } = incoming;
  if (header.messageId === 0) throw new WireError('bad-value', 20, 'a quick mode with message id 0');
  if (mainMode.usedMessageIds.has(header.messageId)) return;
  const proposal = responder.open1(context, mainMode, incoming);
  try {
    responder.receive1(context, mainMode, incoming, proposal);
  } catch (error) {
    refuse(context, mainMode, incoming, proposal, asExchangeError(error));
  }
}

/** The traffic a request is about; all with the peer where it does not say. */
function askedSelector(mainMode: EstablishedMainMode, chain: PayloadChain): Selector {
  try {
    return responder.requestedTraffic(mainMode, chain).selector;
  } catch (error) {
    asExchangeError(error);
    return mainModeFilter(mainMode);
  }
}

/** Tells the initiator why its request is refused, again when it repeats it. */
function refuse(
  context: Context,
  mainMode: EstablishedMainMode,
  { datagram }: Incoming,
  { chain }: responder.QuickModeProposal,
  error: ExchangeError,
): void {
  const detail = error.mismatches.length > 0 ? `: ${printMismatches(error.mismatches)}` : '';
  const reason = quickModeFailure(mainMode, {
    point: 'me',
    reason: error.reason,
    text: `quick mode 1 from ${mainMode.peer} refused: ${error.message}${detail}`,
    message: 'quick mode 1',
    mismatches: error.mismatches,
  });
  auditQuickModeFailure(context, mainMode, { selector: askedSelector(mainMode, chain) }, reason);
  const proposed = findPayload(chain, 'sa')?.payload.proposals[0];
  const about = proposed === undefined ? {} : { protocol: proposed.protocol, spi: proposed.spi };
  const notifies = [notifyPayload(notifyOfReason(error.reason), about)];
  // Before the other, which ends it: whoever understands this one starts a new main mode.
  if (error.reason === 'quick-mode-limit') notifies.unshift(statusPayload(quickModeLimitCode));
  const sealed = sealInformational(context, mainMode, notifies);
  if (sealed === undefined) return;
  const send = () =>
    context.send(mainMode, sealed.bytes, { name: 'informational', payloads: sealed.payloads });
  mainMode.duplicates.remember(datagram.bytes, context.nowMs, send);
  send();
}
