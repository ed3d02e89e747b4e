/** Aggressive mode as responder; `aggressive-mode-initiator.ts` shows the messages. Only where the policy allows it. */
import type { IkeDatagram } from '../driver/api.js';
import { decodeMessage, findPayloads, type PayloadChain } from '../wire/isakmp/message.js';
import { headerFlags, notifyTypes } from '../wire/isakmp/numbers.js';
import type { Payload } from '../wire/isakmp/payloads.js';
import type { MainModePolicy } from './api.js';
import { certificateRequests, noteCertificateRequests } from './auth/certificates.js';
import { checkPeerProof, ownIdentity, proofOf } from './auth/proof.js';
import type { Context } from './context.js';
import { ExchangeError } from './exchange-error.js';
import { forgetInTime, makeRoom } from './half-open.js';
import { checkPeerIdentity } from './identity.js';
import { type Incoming, requirePayload } from './incoming.js';
import { cookiesOf, sendProtected } from './informational-send.js';
import { type MainMode, newMainMode, type StateAt } from './main-mode.js';
import { answerPublicValue, deriveMainModeKeys } from './main-mode-keys.js';
import {
  acceptMessage,
  answerMainMode as answer,
  clearMessage,
  establishMainMode,
  moveTo,
  nonceBytes,
} from './main-mode-life.js';
import { responderLifetime } from './main-mode-lifetime.js';
import { answerMainMode as answerSa } from './main-mode-proposal.js';
import { detectNat, natDetectionPayloads, printNat } from './nat-traversal.js';
import { type Chained, phase1Iv, unseal } from './protection.js';
import { chooseAnswer, policiesFor } from './responder-policy.js';
import { ownVendors, readVendors } from './vendors.js';

/** Message 1 costs a Diffie-Hellman computation before the sender has shown that it is there: no more than these. */
const answersPerSecond = 50;

/** Whether the policy for the two hosts lets us answer in aggressive mode. */
export function mayAnswer(context: Context, { local, peer }: IkeDatagram): boolean {
  return context.environment.policy.mainModes(local.address, peer.address).some(isAggressive);
}

function isAggressive({ aggressive }: MainModePolicy): boolean {
  return aggressive === true;
}

/** Message 1: a new exchange. Sends message 2, with our proof. Throws `ExchangeError` and leaves nothing behind. */
export function receive1(context: Context, { header, datagram }: Incoming, chain: PayloadChain): void {
  if (!context.aggressiveAnswers.allow(context.nowMs, answersPerSecond)) return;
  const { local, peer } = datagram;
  const sa = requirePayload(chain, 'sa');
  const answered = chooseAnswer(sa.payload, policiesFor(context, datagram).filter(isAggressive));
  if ('refused' in answered)
    throw new ExchangeError('no-proposal-chosen', 'no acceptable proposal', answered);
  const { policy, verdict } = answered;
  const choice = verdict.chosen;
  const { method } = choice;
  const peerId = requirePayload(chain, 'id');
  checkPeerIdentity(peerId.payload, policy.peerIdentity);
  const peerValue = requirePayload(chain, 'ke').payload.data;
  const initiatorNonce = requirePayload(chain, 'nonce').payload.data;

  const fields = {
    exchange: 'aggressive',
    role: 'responder',
    local: local.address,
    peer: peer.address,
    localPort: local.port,
    peerPort: peer.port,
    initiatorCookie: header.initiatorCookie.slice(),
    responderCookie: context.newCookie(),
    policy,
    startedAtMs: context.nowMs,
  } as const;
  const unfinished = newMainMode({ ...fields, state: { stage: 'closed' } });
  const { own, sharedSecret } = answerPublicValue(method.group, peerValue, length => context.random(length));
  const nonces = { initiator: initiatorNonce, responder: Uint8Array.from(context.random(nonceBytes)) };
  const keys = deriveMainModeKeys(unfinished, choice, nonces, sharedSecret);
  const values = { initiator: peerValue, responder: own.publicValue };
  const basis = { saBody: sa.body, choice, values, keys };
  const iv = phase1Iv(method, values.initiator, values.responder);
  const mainMode = newMainMode({
    ...fields,
    state: { stage: 'awaiting aggressive 3', ...basis, iv, peerId },
  });
  noteCertificateRequests(mainMode, chain);
  mainMode.vendors = readVendors(findPayloads(chain, 'vid').map(({ payload }) => payload));
  const { vendorProfile = 'ipseckit' } = context.options;
  const id = ownIdentity(mainMode, choice.authentication);
  const payloads: Payload[] = [
    answerSa(verdict.proposal, verdict.transform),
    { kind: 'ke', data: own.publicValue },
    { kind: 'nonce', data: nonces.responder },
    id,
    ...(choice.authentication.kind === 'certificate' ? certificateRequests(policy) : []),
    ...proofOf(context, mainMode, basis, id),
    ...natDetectionPayloads(mainMode, method.hash, datagram, length => context.random(length)),
    ...ownVendors(vendorProfile, policy, false),
  ];
  makeRoom(context, mainMode.peer);
  context.mainModes.add(mainMode);
  forgetInTime(context, mainMode);
  const bytes = clearMessage(mainMode, payloads);
  answer(context, mainMode, datagram.bytes, 'aggressive mode 2', bytes, payloads);
}

/** Message 3: the initiator proves itself, maybe from port 4500, mostly encrypted. */
export function receive3(
  context: Context,
  mainMode: MainMode,
  state: StateAt<'awaiting aggressive 3'>,
  incoming: Incoming,
): void {
  const { choice, keys, peerId } = state;
  const { datagram } = incoming;
  const { value: chain, nextIv } = open(state, incoming);
  const natD = findPayloads(chain, 'nat-d').map(({ payload }) => payload);
  const accept = () => {
    mainMode.nat = detectNat(mainMode, choice.method.hash, datagram, natD);
    acceptMessage(context, mainMode, incoming, 'aggressive mode 3', chain);
  };
  // What came in clear is authentic only when the whole proof is right.
  const encrypted = isEncrypted(incoming);
  const onReadable = encrypted ? accept : () => {};
  const peerIdentity = checkPeerProof(context, mainMode, state, chain, onReadable, peerId);
  if (!encrypted) accept();
  context.progress(mainMode.peer, 'note', 'aggressive mode 3', printNat(mainMode.nat));
  const notifies = findPayloads(chain, 'notify').map(({ payload }) => payload);
  if (notifies.some(({ notifyType }) => notifyType === notifyTypes['INITIAL-CONTACT']))
    mainMode.initialContact = true;
  moveTo(mainMode, datagram);
  mainMode.duplicates.remember(datagram.bytes, context.nowMs);
  for (const timer of mainMode.timers) context.timers.cancel(timer);
  establishMainMode(context, mainMode, choice, keys, nextIv, peerIdentity);
  const shorter = responderLifetime(choice, cookiesOf(mainMode), context.options.vendorProfile);
  if (shorter.length > 0) sendProtected(context, mainMode, shorter);
}

function open(
  { keys, iv }: StateAt<'awaiting aggressive 3'>,
  { header, datagram }: Incoming,
): Chained<PayloadChain> {
  if (isEncrypted({ header })) return unseal(keys, iv, header, datagram.bytes);
  return { value: decodeMessage(datagram.bytes), nextIv: iv };
}

function isEncrypted({ header }: Pick<Incoming, 'header'>): boolean {
  return (header.flags & headerFlags.ENCRYPTED) !== 0;
}
