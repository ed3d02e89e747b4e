/**
 * Main mode as initiator (RFC 2409 5.4), its messages in order:
 *
 *   1  ->  HDR, SA, VID*
 *   2  <-  HDR, SA, VID*
 *   3  ->  HDR, KE, Ni, CERTREQ*, NAT-D, NAT-D
 *   4  <-  HDR, KE, Nr, CERTREQ*, NAT-D, NAT-D
 *   5  ->  HDR*, IDii, HASH_I | CERT+ SIG_I, N(INITIAL-CONTACT)
 *   6  <-  HDR*, IDir, HASH_R | CERT+ SIG_R
 */
import { generateKeyPair } from '../crypto/dh.js';
import type { IpAddress } from '../wire/ip/address.js';
import { encodePayloadBody, findPayloads, type PayloadChain } from '../wire/isakmp/message.js';
import { dois, notifyTypes, protocols } from '../wire/isakmp/numbers.js';
import type { Payload } from '../wire/isakmp/payloads.js';
import { startAggressiveMode } from './aggressive-mode-initiator.js';
import type { MainModePolicy } from './api.js';
import { certificateRequests, noteCertificateRequests } from './auth/certificates.js';
import { checkPeerProof, ownProof } from './auth/proof.js';
import type { Context } from './context.js';
import { ExchangeError } from './exchange-error.js';
import { type Incoming, requirePayload } from './incoming.js';
import { isEstablished, type MainMode, type MainModeChoice, newMainMode, type StateAt } from './main-mode.js';
import { agreeOrRefuse, deriveMainModeKeys } from './main-mode-keys.js';
import {
  acceptMessage,
  clearMessage,
  complain,
  establishMainMode,
  exportMainModeKeys,
  mainModeFailure,
  mainModeHeader,
  nonceBytes,
  sendMainModeRequest,
} from './main-mode-life.js';
import { withResponderLifetime } from './main-mode-lifetime.js';
import { acceptMainMode, mainModeSa } from './main-mode-proposal.js';
import { detectNat, ikePort, natDetected, natDetectionPayloads, natPort, printNat } from './nat-traversal.js';
import { phase1Iv, seal, unseal } from './protection.js';
import { ownVendors, readVendors } from './vendors.js';

/** Starts a main mode: sends message 1. */
export function startMainMode(
  context: Context,
  local: IpAddress,
  peer: IpAddress,
  policy: MainModePolicy,
  isFirst: boolean,
): MainMode {
  if (policy.aggressive) return startAggressiveMode(context, local, peer, policy);
  const { vendorProfile } = context.options;
  const sa = mainModeSa(policy, vendorProfile === 'windows-2003');
  const payloads = [sa, ...ownVendors(vendorProfile, policy, isFirst)];
  const state = { stage: 'awaiting 2', saBody: encodePayloadBody(sa), payloads } as const;
  const mainMode = newMainMode({
    role: 'initiator',
    local,
    peer,
    localPort: ikePort,
    peerPort: ikePort,
    initiatorCookie: context.newCookie(),
    responderCookie: new Uint8Array(8),
    policy,
    startedAtMs: context.nowMs,
    state,
  });
  mainMode.saidFirstContact = isFirst && vendorProfile === 'windows-2003';
  context.mainModes.add(mainMode);
  send1(context, mainMode, state, new Uint8Array(8));
  return mainMode;
}

/**
 * Sends message 1. A peer under attack answers with a cookie that it wants to see in it before it remembers
 * anything of us (ike.md 17): then it is sent again with that.
 */
export function send1(
  context: Context,
  mainMode: MainMode,
  { payloads }: StateAt<'awaiting 2'>,
  responderCookie: Uint8Array,
): void {
  const bytes = clearMessage({ ...mainMode, responderCookie }, payloads);
  sendMainModeRequest(context, mainMode, 'main mode 1', bytes, payloads, () =>
    mainModeFailure(mainMode, {
      point: 'peer',
      reason: 'no-response',
      text: `${mainMode.peer} did not answer main mode 1`,
      message: 'main mode 1',
    }),
  );
}

/** Message 2: what the peer chose. Sends message 3. */
export function receive2(
  context: Context,
  mainMode: MainMode,
  state: StateAt<'awaiting 2'>,
  { header, datagram }: Incoming,
  chain: PayloadChain,
): void {
  const verdict = acceptMainMode(requirePayload(chain, 'sa').payload, mainMode.policy);
  if ('refused' in verdict)
    throw new ExchangeError('no-proposal-chosen', 'the peer chose what we did not offer', verdict);
  const choice = verdict.chosen;
  context.mainModes.setResponderCookie(mainMode, header.responderCookie);
  mainMode.vendors = readVendors(findPayloads(chain, 'vid').map(({ payload }) => payload));
  mainMode.duplicates.remember(datagram.bytes, context.nowMs);
  noteCertificateRequests(mainMode, chain);

  const own = generateKeyPair(choice.method.group, length => context.random(length));
  const nonce = Uint8Array.from(context.random(nonceBytes));
  mainMode.state = { stage: 'awaiting 4', saBody: state.saBody, choice, own, nonce };
  const payloads: Payload[] = [
    { kind: 'ke', data: own.publicValue },
    { kind: 'nonce', data: nonce },
    ...(choice.authentication.kind === 'certificate' ? certificateRequests(mainMode.policy) : []),
    ...natDetectionPayloads(mainMode, choice.method.hash, datagram, length => context.random(length)),
  ];
  sendMainModeRequest(context, mainMode, 'main mode 3', clearMessage(mainMode, payloads), payloads, () =>
    mainModeFailure(mainMode, {
      point: 'peer',
      reason: 'no-response',
      text: `${mainMode.peer} answered main mode 1, but not main mode 3`,
      message: 'main mode 3',
    }),
  );
}

/** Message 4: the keys are known, and whether a NAT is between us. Sends message 5, the first encrypted one. */
export function receive4(
  context: Context,
  mainMode: MainMode,
  { saBody, choice, own, nonce }: StateAt<'awaiting 4'>,
  { datagram }: Incoming,
  chain: PayloadChain,
): void {
  const { method } = choice;
  const peerValue = requirePayload(chain, 'ke').payload.data;
  const nonces = { initiator: nonce, responder: requirePayload(chain, 'nonce').payload.data };
  const keys = deriveMainModeKeys(mainMode, choice, nonces, agreeOrRefuse(own, peerValue));
  exportMainModeKeys(context, mainMode, keys);
  const values = { initiator: own.publicValue, responder: peerValue };
  const natD = findPayloads(chain, 'nat-d').map(({ payload }) => payload);
  mainMode.nat = detectNat(mainMode, method.hash, datagram, natD);
  mainMode.duplicates.remember(datagram.bytes, context.nowMs);
  context.progress(mainMode.peer, 'note', 'main mode 4', printNat(mainMode.nat));
  if (natDetected(mainMode)) {
    mainMode.localPort = natPort;
    mainMode.peerPort = natPort;
  }

  noteCertificateRequests(mainMode, chain);
  const payloads = ownProof(context, mainMode, { saBody, choice, values, keys });
  // Windows says so by a vendor ID in message 1.
  const windows = context.options.vendorProfile === 'windows-2003';
  if (!windows) payloads.push(...firstContact(context, mainMode));
  const iv = phase1Iv(method, values.initiator, values.responder);
  const message = seal(keys, iv, mainModeHeader(mainMode), payloads);
  mainMode.state = { stage: 'awaiting 6', saBody, choice, values, keys, iv: message.nextIv };
  sendMainModeRequest(context, mainMode, 'main mode 5', message.value, payloads, () =>
    mainModeFailure(mainMode, {
      point: 'peer',
      reason: choice.authentication.kind === 'preshared' ? 'preshared-keys-differ' : 'certificate-refused',
      text:
        `${mainMode.peer} answered main mode 1 and 3, but not main mode 5: ` +
        `most likely ${likelyCause(choice)}${natDetected(mainMode) ? ', or UDP port 4500 is blocked' : ''}`,
      message: 'main mode 5',
    }),
  );
}

/**
 * The peer repeats message 4 instead of answering message 5: libreswan and racoon do not say that they cannot read it,
 * and racoon not that it refuses our identity either. A peer that was only slow has got it once it was sent three times;
 * on another port it may not get it at all.
 */
export function receiveAgain(context: Context, mainMode: MainMode): void {
  const { state, peer, request } = mainMode;
  if (state.stage !== 'awaiting 6' || state.choice.authentication.kind !== 'preshared') return;
  if (natDetected(mainMode) || (request?.transmissions ?? 0) < 3) return;
  const failure = mainModeFailure(mainMode, {
    point: 'peer',
    reason: 'preshared-keys-differ',
    text:
      `${peer} repeats main mode 4 and does not answer main mode 5: ` +
      `most likely ${likelyCause(state.choice)}, or it does not accept our identity`,
    message: 'main mode 5',
  });
  complain(context, mainMode, failure);
}

/** Message 6: the peer proves itself. */
export function receive6(
  context: Context,
  mainMode: MainMode,
  state: StateAt<'awaiting 6'>,
  incoming: Incoming,
): void {
  const { header, datagram } = incoming;
  const { choice, keys } = state;
  const { value: chain, nextIv } = unseal(keys, state.iv, header, datagram.bytes);
  const peerIdentity = checkPeerProof(context, mainMode, state, chain, () => {
    acceptMessage(context, mainMode, incoming, 'main mode 6', chain);
    // For the peer, main mode is complete: what refuses it starts from this block.
    mainMode.state = { ...state, iv: nextIv };
  });
  const agreed = withResponderLifetime(choice, chain);
  mainMode.duplicates.remember(datagram.bytes, context.nowMs);
  establishMainMode(context, mainMode, agreed, keys, nextIv, peerIdentity);
}

/** Why a peer that knows our keys does not answer message 5. */
function likelyCause({ authentication }: MainModeChoice): string {
  return authentication.kind === 'preshared'
    ? 'the preshared keys differ'
    : 'it does not accept our certificate';
}

/** Whether nothing of ours with this peer is alive: it may drop what it remembers. */
export function isFirstContact(context: Context, mainMode: Pick<MainMode, 'local' | 'peer'>): boolean {
  // Of those begun together, for rules that authenticate in different ways, one says it.
  const isKnown = context.mainModes
    .ofPeer(mainMode.peer)
    .some(other => other.local === mainMode.local && (isEstablished(other) || other.saidFirstContact));
  return !isKnown && context.pairs.ofPeer(mainMode.peer).length === 0;
}

/** N(INITIAL-CONTACT), if it is that. */
export function firstContact(context: Context, mainMode: MainMode): Payload[] {
  if (!isFirstContact(context, mainMode)) return [];
  mainMode.saidFirstContact = true;
  const { initiatorCookie, responderCookie } = mainMode;
  return [
    {
      kind: 'notify',
      doi: dois.IPSEC,
      protocol: protocols.ISAKMP,
      notifyType: notifyTypes['INITIAL-CONTACT'],
      spi: Buffer.concat([initiatorCookie, responderCookie]),
      data: new Uint8Array(0),
    },
  ];
}
