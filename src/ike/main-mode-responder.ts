/** Main mode as responder; `main-mode-initiator.ts` shows the messages. It only answers, unless it plays Windows. */
import { findPayloads, type PayloadChain } from '../wire/isakmp/message.js';
import { notifyTypes } from '../wire/isakmp/numbers.js';
import type { Payload } from '../wire/isakmp/payloads.js';
import { certificateRequests, noteCertificateRequests } from './auth/certificates.js';
import { checkPeerProof, ownProof } from './auth/proof.js';
import type { Context } from './context.js';
import { ExchangeError } from './exchange-error.js';
import { forgetInTime, makeRoom } from './half-open.js';
import { type Incoming, requirePayload } from './incoming.js';
import { cookiesOf } from './informational-send.js';
import { type MainMode, newMainMode, type StateAt } from './main-mode.js';
import { answerPublicValue, deriveMainModeKeys } from './main-mode-keys.js';
import {
  acceptMessage,
  answerMainMode as answer,
  clearMessage,
  establishMainMode,
  exportMainModeKeys,
  mainModeHeader,
  moveTo,
  nonceBytes,
} from './main-mode-life.js';
import { responderLifetime } from './main-mode-lifetime.js';
import { answerMainMode as answerSa } from './main-mode-proposal.js';
import { detectNat, natDetectionPayloads, printNat } from './nat-traversal.js';
import { phase1Iv, seal, unseal } from './protection.js';
import { chooseAnswer, policiesFor } from './responder-policy.js';
import { ownVendors, readVendors } from './vendors.js';

/** Message 1: a new exchange. Sends message 2. Throws `ExchangeError` when nothing acceptable is offered. */
export function receive1(context: Context, { header, datagram }: Incoming, chain: PayloadChain): MainMode {
  const sa = requirePayload(chain, 'sa');
  const { local, peer } = datagram;
  const answered = chooseAnswer(sa.payload, policiesFor(context, datagram));
  if ('refused' in answered)
    throw new ExchangeError('no-proposal-chosen', 'no acceptable proposal', answered);
  const { policy, verdict } = answered;

  makeRoom(context, peer.address);
  const mainMode = newMainMode({
    role: 'responder',
    local: local.address,
    peer: peer.address,
    localPort: local.port,
    peerPort: peer.port,
    initiatorCookie: header.initiatorCookie.slice(),
    responderCookie: context.newCookie(),
    policy,
    startedAtMs: context.nowMs,
    state: { stage: 'awaiting 3', saBody: sa.body, choice: verdict.chosen },
  });
  context.mainModes.add(mainMode);
  noteCertificateRequests(mainMode, chain);
  mainMode.vendors = readVendors(findPayloads(chain, 'vid').map(({ payload }) => payload));
  mainMode.initialContact = mainMode.vendors.keys.has('initialContact');
  const { vendorProfile = 'ipseckit' } = context.options;
  forgetInTime(context, mainMode);
  const payloads: Payload[] = [
    answerSa(verdict.proposal, verdict.transform),
    ...ownVendors(vendorProfile, policy, false),
  ];
  answer(context, mainMode, datagram.bytes, 'main mode 2', clearMessage(mainMode, payloads), payloads);
  return mainMode;
}

/** Message 3: the initiator's public value. Sends message 4. */
export function receive3(
  context: Context,
  mainMode: MainMode,
  { saBody, choice }: StateAt<'awaiting 3'>,
  { datagram }: Incoming,
  chain: PayloadChain,
): void {
  const { method } = choice;
  noteCertificateRequests(mainMode, chain);
  const peerValue = requirePayload(chain, 'ke').payload.data;
  const initiatorNonce = requirePayload(chain, 'nonce').payload.data;
  const { own, sharedSecret } = answerPublicValue(method.group, peerValue, length => context.random(length));
  const nonces = { initiator: initiatorNonce, responder: Uint8Array.from(context.random(nonceBytes)) };
  const keys = deriveMainModeKeys(mainMode, choice, nonces, sharedSecret);
  exportMainModeKeys(context, mainMode, keys);
  const values = { initiator: peerValue, responder: own.publicValue };
  const natD = findPayloads(chain, 'nat-d').map(({ payload }) => payload);
  mainMode.nat = detectNat(mainMode, method.hash, datagram, natD);
  context.progress(mainMode.peer, 'note', 'main mode 3', printNat(mainMode.nat));
  const iv = phase1Iv(method, values.initiator, values.responder);
  mainMode.state = { stage: 'awaiting 5', saBody, choice, values, keys, iv };
  context.mainModes.setReturned(mainMode);
  const payloads: Payload[] = [
    { kind: 'ke', data: own.publicValue },
    { kind: 'nonce', data: nonces.responder },
    ...(choice.authentication.kind === 'certificate' ? certificateRequests(mainMode.policy) : []),
    ...natDetectionPayloads(mainMode, method.hash, datagram, length => context.random(length)),
  ];
  answer(context, mainMode, datagram.bytes, 'main mode 4', clearMessage(mainMode, payloads), payloads);
}

/** Message 5: the initiator proves itself, maybe from port 4500. Sends message 6. */
export function receive5(
  context: Context,
  mainMode: MainMode,
  state: StateAt<'awaiting 5'>,
  incoming: Incoming,
): void {
  const { choice, keys } = state;
  const { header, datagram } = incoming;
  const { value: chain, nextIv } = unseal(keys, state.iv, header, datagram.bytes);
  const peerIdentity = checkPeerProof(context, mainMode, state, chain, () => {
    acceptMessage(context, mainMode, incoming, 'main mode 5', chain);
    mainMode.state = { ...state, iv: nextIv };
  });
  noteCertificateRequests(mainMode, chain);
  const notifies = findPayloads(chain, 'notify').map(({ payload }) => payload);
  if (notifies.some(({ notifyType }) => notifyType === notifyTypes['INITIAL-CONTACT']))
    mainMode.initialContact = true;
  moveTo(mainMode, datagram);

  const payloads = [
    ...ownProof(context, mainMode, state),
    ...responderLifetime(choice, cookiesOf(mainMode), context.options.vendorProfile),
  ];
  const message = seal(keys, nextIv, mainModeHeader(mainMode), payloads);
  answer(context, mainMode, datagram.bytes, 'main mode 6', message.value, payloads);
  for (const timer of mainMode.timers) context.timers.cancel(timer);
  establishMainMode(context, mainMode, choice, keys, message.nextIv, peerIdentity);
}
