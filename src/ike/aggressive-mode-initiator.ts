/**
 * Aggressive mode as initiator (RFC 2409 5.4, RFC 3947 4), its messages in order:
 *
 *   1  ->  HDR, SA, KE, Ni, IDii, CERTREQ*, VID*
 *   2  <-  HDR, SA, KE, Nr, IDir, CERTREQ*, HASH_R | CERT+ SIG_R, NAT-D, NAT-D, VID*
 *   3  ->  HDR*, HASH_I | CERT+ SIG_I, NAT-D, NAT-D, N(INITIAL-CONTACT)
 */
import { generateKeyPair } from '../crypto/dh.js';
import type { IpAddress } from '../wire/ip/address.js';
import { encodePayloadBody, findPayloads, type PayloadChain } from '../wire/isakmp/message.js';
import type { Payload } from '../wire/isakmp/payloads.js';
import type { MainModePolicy } from './api.js';
import { certificateRequests, noteCertificateRequests } from './auth/certificates.js';
import { authenticationOffers } from './auth/offers.js';
import { checkPeerProof, ownIdentity, proofOf } from './auth/proof.js';
import type { Context } from './context.js';
import { ExchangeError } from './exchange-error.js';
import { type Incoming, requirePayload } from './incoming.js';
import { type CandidateFilter, type MainMode, newMainMode, type StateAt } from './main-mode.js';
import { firstContact } from './main-mode-initiator.js';
import { agreeOrRefuse, deriveMainModeKeys } from './main-mode-keys.js';
import {
  clearMessage,
  establishMainMode,
  mainModeFailure,
  mainModeHeader,
  nonceBytes,
  sendMainModeRequest,
} from './main-mode-life.js';
import { acceptMainMode, mainModeSa } from './main-mode-proposal.js';
import { detectNat, ikePort, natDetected, natDetectionPayloads, natPort, printNat } from './nat-traversal.js';
import { phase1Iv, seal } from './protection.js';
import { Retransmission } from './retransmission.js';
import { ownVendors, readVendors } from './vendors.js';

/**
 * What message 1 can offer: the public value and the identity are in it, so only methods of the first one's group, and
 * only ways to authenticate that go with the identity.
 */
export function aggressiveOffer(policy: MainModePolicy): CandidateFilter {
  const [preferred] = authenticationOffers(policy);
  const group = policy.methods[0]?.group;
  return ({ method, authentication }) =>
    method.group === group && (policy.identity !== undefined || authentication.id === preferred?.id);
}

/** Starts an aggressive mode: sends message 1. */
export function startAggressiveMode(
  context: Context,
  local: IpAddress,
  peer: IpAddress,
  policy: MainModePolicy,
): MainMode {
  const [preferred] = authenticationOffers(policy);
  const group = policy.methods[0]?.group;
  if (preferred === undefined || group === undefined)
    throw new TypeError('aggressive mode for a policy that has nothing to offer');
  const offer = aggressiveOffer(policy);
  const { vendorProfile } = context.options;
  const sa = mainModeSa(policy, vendorProfile === 'windows-2003', offer);
  const own = generateKeyPair(group, length => context.random(length));
  const nonce = Uint8Array.from(context.random(nonceBytes));
  const identity = ownIdentity({ local, policy, requestedAuthorities: [] }, preferred);
  const payloads: Payload[] = [
    sa,
    { kind: 'ke', data: own.publicValue },
    { kind: 'nonce', data: nonce },
    identity,
    ...(preferred.kind === 'certificate' ? certificateRequests(policy) : []),
    // Whether anything of ours is alive is said in message 3, where nobody can forge it.
    ...ownVendors(vendorProfile, policy, false),
  ];
  const mainMode = newMainMode({
    exchange: 'aggressive',
    role: 'initiator',
    local,
    peer,
    localPort: ikePort,
    peerPort: ikePort,
    initiatorCookie: context.newCookie(),
    responderCookie: new Uint8Array(8),
    policy,
    startedAtMs: context.nowMs,
    state: { stage: 'awaiting aggressive 2', saBody: encodePayloadBody(sa), offer, own, nonce, identity },
  });
  context.mainModes.add(mainMode);
  const bytes = clearMessage(mainMode, payloads);
  sendMainModeRequest(context, mainMode, 'aggressive mode 1', bytes, payloads, () =>
    mainModeFailure(mainMode, {
      point: 'peer',
      reason: 'no-response',
      text: `${peer} did not answer aggressive mode 1: it may not speak aggressive mode, or not know our identity`,
      message: 'aggressive mode 1',
    }),
  );
  return mainMode;
}

/**
 * Message 2: the peer's choice and its proof, in clear. Nothing is kept of it before the proof is right. Sends
 * message 3, which nobody answers: it is repeated until something else authentic comes from the peer.
 */
export function receive2(
  context: Context,
  mainMode: MainMode,
  { saBody, offer, own, nonce, identity }: StateAt<'awaiting aggressive 2'>,
  { header, datagram }: Incoming,
  chain: PayloadChain,
): void {
  const verdict = acceptMainMode(requirePayload(chain, 'sa').payload, mainMode.policy, offer);
  if ('refused' in verdict)
    throw new ExchangeError('no-proposal-chosen', 'the peer chose what we did not offer', verdict);
  const choice = verdict.chosen;
  const peerValue = requirePayload(chain, 'ke').payload.data;
  const nonces = { initiator: nonce, responder: requirePayload(chain, 'nonce').payload.data };
  const answered = { ...mainMode, responderCookie: header.responderCookie };
  const keys = deriveMainModeKeys(answered, choice, nonces, agreeOrRefuse(own, peerValue));
  const values = { initiator: own.publicValue, responder: peerValue };
  const basis = { saBody, choice, values, keys };
  const peerIdentity = provenIdentity(context, mainMode, answered, basis, chain);

  context.mainModes.setResponderCookie(mainMode, header.responderCookie);
  mainMode.vendors = readVendors(findPayloads(chain, 'vid').map(({ payload }) => payload));
  noteCertificateRequests(mainMode, chain);
  const natD = findPayloads(chain, 'nat-d').map(({ payload }) => payload);
  mainMode.nat = detectNat(mainMode, choice.method.hash, datagram, natD);
  context.progress(mainMode.peer, 'note', 'aggressive mode 2', printNat(mainMode.nat));
  if (natDetected(mainMode)) {
    mainMode.localPort = natPort;
    mainMode.peerPort = natPort;
  }

  const path = {
    local: { address: mainMode.local, port: mainMode.localPort },
    peer: { address: mainMode.peerAddress, port: mainMode.peerPort },
  };
  const payloads: Payload[] = [
    ...proofOf(context, mainMode, basis, identity),
    ...natDetectionPayloads(mainMode, choice.method.hash, path, length => context.random(length)),
    ...firstContact(context, mainMode),
  ];
  const iv = phase1Iv(choice.method, values.initiator, values.responder);
  const message = seal(keys, iv, mainModeHeader(mainMode), payloads);
  mainMode.request?.stop();
  const send = (retransmission: number) =>
    context.send(mainMode, message.value, { name: 'aggressive mode 3', payloads, retransmission });
  const request = new Retransmission(context, send, () => {});
  mainMode.duplicates.remember(datagram.bytes, context.nowMs, () => send(1));
  establishMainMode(context, mainMode, choice, keys, message.nextIv, peerIdentity);
  mainMode.request = request;
}

/** The peer's identity as message 2 proves it. `answered` is the main mode with the cookie of that message. */
function provenIdentity(
  context: Context,
  mainMode: MainMode,
  answered: MainMode,
  basis: Parameters<typeof proofOf>[2],
  chain: PayloadChain,
): string {
  try {
    return checkPeerProof(context, answered, basis, chain, () => {});
  } finally {
    // Good or bad, it is what a failure tells of.
    if (answered.peerVerdict !== undefined) mainMode.peerVerdict = answered.peerVerdict;
  }
}
