/** Quick mode as responder; `quick-mode-initiator.ts` shows the messages. It answers and never repeats by itself. */
import { generateKeyPair } from '../crypto/dh.js';
import { mirrorSelector, printSelector } from '../wire/ip/selector.js';
import { encodeAttributes } from '../wire/isakmp/attributes.js';
import { bytesAfterFirst, findPayload, findPayloads, type PayloadChain } from '../wire/isakmp/message.js';
import { dois, headerFlags, lifeTypes, notifyTypes, protocols } from '../wire/isakmp/numbers.js';
import type { NotifyPayload, Payload } from '../wire/isakmp/payloads.js';
import type { QuickModePolicy } from './api.js';
import { bindingMismatch } from './auth/binding.js';
import type { Context } from './context.js';
import { encapsulationOf, modeOfEncapsulation, requestedEncapsulation } from './encapsulation.js';
import { ExchangeError } from './exchange-error.js';
import { selectorOfIds } from './identity.js';
import { type Incoming, requirePayload } from './incoming.js';
import { agreeLimits, limitsOf } from './lifetimes.js';
import type { EstablishedMainMode } from './main-mode.js';
import { agreeOrRefuse } from './main-mode-keys.js';
import { acceptMessage, nonceBytes } from './main-mode-life.js';
import {
  natDetected,
  natOriginalPayloads,
  natOriginals,
  passableMethods,
  udpRevision,
} from './nat-traversal.js';
import { macsEqual, messageIdBytes, phase2Hash, phase2Iv, unseal, withHash } from './protection.js';
import { newQuickMode, type OwnSpis, type PairRecord, type QuickMode, type StateAt } from './quick-mode.js';
import { derivePair } from './quick-mode-keys.js';
import {
  activatePair,
  auditQuickModeFailure,
  installPair,
  quickModeFailure,
  rememberForAWhile,
  sealQuickMode,
} from './quick-mode-life.js';
import {
  answerQuickMode,
  chooseQuickMode,
  offeredLimits,
  type QuickModeChoice,
} from './quick-mode-proposal.js';
import { spiBytes } from './spi.js';
import { lifeAttributePair } from './transform-attributes.js';

/** How long an installed pair waits for message 3, or for the initiator's first packet. */
const awaiting3Ms = 30_000;

/** Message 1, decrypted and authenticated. */
export interface QuickModeProposal {
  readonly chain: PayloadChain;
  readonly nextIv: Uint8Array;
}

/** Decrypts and authenticates message 1; nothing has changed if it throws. */
export function open1(
  context: Context,
  mainMode: EstablishedMainMode,
  incoming: Incoming,
): QuickModeProposal {
  const { header, datagram } = incoming;
  const { keys, lastBlock } = mainMode.state;
  const iv = phase2Iv(keys.method, lastBlock, header.messageId);
  const { value: chain, nextIv } = unseal(keys, iv, header, datagram.bytes);
  const proof = requirePayload(chain, 'hash').payload.data;
  if (!macsEqual(proof, phase2Hash(keys, messageIdBytes(header.messageId), bytesAfterFirst(chain))))
    throw new ExchangeError('authentication-failed', 'HASH(1) is wrong');
  acceptMessage(context, mainMode, incoming, 'quick mode 1', chain);
  return { chain, nextIv };
}

/**
 * Message 1: what the initiator asks for. Installs the pair's inbound SAs and sends message 2. Throws
 * `ExchangeError` when it is refused.
 */
export function receive1(
  context: Context,
  mainMode: EstablishedMainMode,
  incoming: Incoming,
  { chain, nextIv }: QuickModeProposal,
): void {
  const { header } = incoming;
  const { quickModeLimit } = mainMode.policy;
  if (quickModeLimit > 0 && mainMode.quickModesMade >= quickModeLimit)
    throw new ExchangeError(
      'quick-mode-limit',
      `its main mode may make ${quickModeLimit} quick modes, and has made them`,
    );
  const sa = requirePayload(chain, 'sa').payload;
  const initiatorNonce = requirePayload(chain, 'nonce').payload.data;
  const ke = findPayload(chain, 'ke')?.payload;
  const policy = policyFor(context, mainMode, chain);
  const udp = udpRevision(mainMode);
  const mainModeGroup = mainMode.state.keys.method.group;
  const own = { methods: policy.methods, encapsulation: encapsulationOf(policy.mode, udp), mainModeGroup };
  const verdict = chooseQuickMode(sa, own, ke !== undefined);
  if ('refused' in verdict) throw new ExchangeError('no-proposal-chosen', 'no acceptable proposal', verdict);
  const choice = verdict.chosen;

  const pfs = choice.pfsGroup && generateKeyPair(choice.pfsGroup, length => context.random(length));
  const sharedSecret = pfs && ke ? agreeOrRefuse(pfs, ke.data) : undefined;
  const nonces = { initiator: initiatorNonce, responder: Uint8Array.from(context.random(nonceBytes)) };
  const quickMode = newQuickMode({
    role: 'responder',
    messageId: header.messageId,
    policy,
    state: { stage: 'failed' },
    iv: nextIv,
  });
  const originals = findPayloads(chain, 'nat-oa').map(({ payload }) => payload);
  const transportInUdp = udp !== undefined && policy.mode === 'transport';
  const spis = context.reserveSpis();
  context.releaseSpis(spis);
  const pair = derivePair(context, mainMode, quickMode, {
    choice,
    spis,
    nonces,
    limits: agreeLimits(limitsOf(choice.method), offeredLimits(choice)),
    ...(sharedSecret === undefined ? {} : { sharedSecret }),
    ...(transportInUdp ? { natOriginal: natOriginals('responder', originals) } : {}),
  });
  const record = installPair(context, mainMode, quickMode, pair, choice.method);
  quickMode.state = {
    stage: 'awaiting 3',
    pairId: pair.id,
    nonces,
    sendConnected: wantsConnected(context, mainMode, header.flags),
  };
  record.confirm = () => complete(context, mainMode, quickMode, record);
  mainMode.quickModes.set(quickMode.messageId, quickMode);
  mainMode.quickModesMade++;
  if (quickModeLimit > 0 && mainMode.quickModesMade >= quickModeLimit) mainMode.retired = true;

  const answer = answerQuickMode(choice, spis);
  send2(context, mainMode, quickMode, record, incoming.datagram.bytes, initiatorNonce, [
    answer,
    { kind: 'nonce', data: nonces.responder },
    ...(pfs === undefined ? [] : [{ kind: 'ke', data: pfs.publicValue } as const]),
    ...findPayloads(chain, 'id').map(({ payload }) => payload),
    ...(transportInUdp ? natOriginalPayloads(udp, 'responder', mainMode.local, mainMode.peerAddress) : []),
    ...responderLifetime(choice, spis),
  ]);
}

/** The policy for the traffic asked for. Throws `ExchangeError` when there is none. */
function policyFor(context: Context, mainMode: EstablishedMainMode, chain: PayloadChain): QuickModePolicy {
  const { local, peer } = mainMode;
  const { mode, selector } = requestedTraffic(mainMode, chain);
  const found = context.environment.policy.quickMode({ local, peer, mode, selector });
  if ('refused' in found) throw new ExchangeError('invalid-id', found.refused);
  const wanted = context.environment.policy.mainModeOf(found.filterId);
  const mismatch = wanted && bindingMismatch(context, mainMode, wanted);
  if (mismatch !== undefined)
    throw new ExchangeError('authentication-differs', `asked ${printSelector(selector)}; ${mismatch}`);
  const passable = passableMethods(mainMode, found);
  if (passable.methods.length === 0)
    throw new ExchangeError(
      'no-proposal-chosen',
      'only AH is allowed, and it cannot pass the NAT between us',
    );
  return { ...passable, selector };
}

/** What the initiator asks for, from our side. Throws `ExchangeError`, or `WireError`, where that is unclear. */
export function requestedTraffic(
  mainMode: EstablishedMainMode,
  chain: PayloadChain,
): Pick<QuickModePolicy, 'mode' | 'selector'> {
  const encapsulation = requestedEncapsulation(requirePayload(chain, 'sa').payload);
  const mode = encapsulation === undefined ? undefined : modeOfEncapsulation(encapsulation);
  if (mode === undefined)
    throw new ExchangeError(
      'no-proposal-chosen',
      `no encapsulation mode we know (${encapsulation ?? 'none'})`,
    );
  const { local, peerAddress } = mainMode;
  const ids = findPayloads(chain, 'id').map(({ payload }) => payload);
  const nat = natDetected(mainMode);
  const asked = selectorOfIds(ids, { mode, nat, initiator: peerAddress, responder: local });
  return { mode, selector: mirrorSelector(asked) };
}

/** Message 2, sent again when message 1 comes again; each time the wait for message 3 begins anew. */
function send2(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  record: PairRecord,
  request: Uint8Array,
  initiatorNonce: Uint8Array,
  content: readonly Payload[],
): void {
  const prefix = [messageIdBytes(quickMode.messageId), initiatorNonce];
  const payloads = withHash(mainMode.state.keys, prefix, content);
  // The commit bit: wait for CONNECTED before you send (RFC 2408 3.1).
  const announced = quickMode.state.stage === 'awaiting 3' && quickMode.state.sendConnected;
  const bytes = sealQuickMode(mainMode, quickMode, payloads, announced ? headerFlags.COMMIT : 0);
  let retransmission = 0;
  const send = () => {
    context.send(mainMode, bytes, { name: 'quick mode 2', payloads, retransmission: retransmission++ });
    if (quickMode.state.stage !== 'awaiting 3') return;
    context.timers.cancel(quickMode.timer);
    quickMode.timer = context.schedule(mainMode, context.nowMs + awaiting3Ms, () =>
      giveUp(context, mainMode, quickMode, record),
    );
  };
  quickMode.duplicates.remember(request, context.nowMs, send);
  send();
}

/** Message 3: the initiator has the keys. */
export function receive3(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  { nonces, sendConnected, pairId }: StateAt<'awaiting 3'>,
  incoming: Incoming,
): void {
  const { header, datagram } = incoming;
  const { keys } = mainMode.state;
  const messageId = messageIdBytes(quickMode.messageId);
  const { value: chain, nextIv } = unseal(keys, quickMode.iv, header, datagram.bytes);
  const proof = requirePayload(chain, 'hash').payload.data;
  const expected = phase2Hash(keys, Uint8Array.of(0), messageId, nonces.initiator, nonces.responder);
  if (!macsEqual(proof, expected)) throw new ExchangeError('authentication-failed', 'HASH(3) is wrong');
  acceptMessage(context, mainMode, incoming, 'quick mode 3', chain);
  quickMode.iv = nextIv;
  const record = context.pairs.get(pairId);
  if (record === undefined) return;
  if (sendConnected) send4(context, mainMode, quickMode, record, datagram.bytes);
  else quickMode.duplicates.remember(datagram.bytes, context.nowMs);
  complete(context, mainMode, quickMode, record);
}

/** Message 4, N(CONNECTED): our inbound SA is installed. Sent again when message 3 comes again. */
function send4(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  record: PairRecord,
  request: Uint8Array,
): void {
  const [half] = record.pair.inbound;
  if (half === undefined) return;
  const connected: NotifyPayload = {
    kind: 'notify',
    doi: dois.IPSEC,
    protocol: half.protocol === 'esp' ? protocols.ESP : protocols.AH,
    notifyType: notifyTypes.CONNECTED,
    spi: spiBytes(half.spi),
    data: new Uint8Array(0),
  };
  const payloads = withHash(mainMode.state.keys, [messageIdBytes(quickMode.messageId)], [connected]);
  const bytes = sealQuickMode(mainMode, quickMode, payloads);
  let retransmission = 0;
  const send = () =>
    context.send(mainMode, bytes, { name: 'quick mode 4', payloads, retransmission: retransmission++ });
  quickMode.duplicates.remember(request, context.nowMs, send);
  send();
}

/** Message 3 came, or a packet that proves the initiator has the keys. */
function complete(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  record: PairRecord,
): void {
  quickMode.state = { stage: 'done', pairId: record.pair.id };
  activatePair(context, mainMode, quickMode, record);
  rememberForAWhile(context, mainMode, quickMode);
}

function giveUp(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  record: PairRecord,
): void {
  const reason = quickModeFailure(mainMode, {
    point: 'peer',
    reason: 'no-response',
    text: `${mainMode.peer} began a quick mode and did not send message 3`,
    message: 'quick mode 3',
  });
  auditQuickModeFailure(context, mainMode, quickMode.policy, reason);
  quickMode.state = { stage: 'failed' };
  rememberForAWhile(context, mainMode, quickMode);
  context.listener.quickModeFailed(mainMode, quickMode, reason);
  context.listener.pairUnused(record, reason.text);
}

/** Whether the initiator gets the fourth message: it asked for it, or both sides are Windows (ike.md 9). */
function wantsConnected(context: Context, { vendors }: EstablishedMainMode, flags: number): boolean {
  if (flags & headerFlags.COMMIT) return true;
  return context.options.vendorProfile === 'windows-2003' && vendors.windowsVersion !== undefined;
}

/** N(RESPONDER-LIFETIME) when the initiator offered longer lives than ours (RFC 2407 4.6.3.1). */
function responderLifetime(choice: QuickModeChoice, spis: OwnSpis): Payload[] {
  const own = limitsOf(choice.method);
  const { lifetimeSeconds = 0, lifetimeKilobytes = 0 } = choice;
  const attributes = [
    ...(lifetimeSeconds > own.seconds ? lifeAttributePair(2, lifeTypes.seconds, own.seconds, true) : []),
    ...(lifetimeKilobytes > own.kilobytes
      ? lifeAttributePair(2, lifeTypes.kilobytes, own.kilobytes, true)
      : []),
  ];
  if (attributes.length === 0) return [];
  const esp = choice.method.esp !== undefined;
  return [
    {
      kind: 'notify',
      doi: dois.IPSEC,
      protocol: esp ? protocols.ESP : protocols.AH,
      notifyType: notifyTypes['RESPONDER-LIFETIME'],
      spi: spiBytes(esp ? spis.esp : spis.ah),
      data: encodeAttributes(attributes),
    },
  ];
}
