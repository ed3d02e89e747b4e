/**
 * Quick mode as initiator (RFC 2409 5.5), its messages in order:
 *
 *   1  ->  HDR*, HASH(1), SA, Ni, [KE,] IDci, IDcr, [NAT-OA, NAT-OA]
 *   2  <-  HDR*, HASH(2), SA, Nr, [KE,] IDci, IDcr, [NAT-OA, NAT-OA,] [N(RESPONDER-LIFETIME)]
 *   3  ->  HDR*, HASH(3)
 *   4  <-  HDR*, HASH(4), N(CONNECTED)          only after a commit bit, or from Windows
 */
import { generateKeyPair } from '../crypto/dh.js';
import { type Selector, selectorsEqual } from '../wire/ip/selector.js';
import { decodeAttributes } from '../wire/isakmp/attributes.js';
import { bytesAfterFirst, findPayload, findPayloads, type PayloadChain } from '../wire/isakmp/message.js';
import { headerFlags, notifyTypes } from '../wire/isakmp/numbers.js';
import type { IdPayload, Payload } from '../wire/isakmp/payloads.js';
import type { NegotiationFailure, QuickModePolicy } from './api.js';
import type { Context } from './context.js';
import { deletedByPeer, disownSpis } from './deletion.js';
import { encapsulationOf } from './encapsulation.js';
import { asExchangeError, ExchangeError } from './exchange-error.js';
import { selectorOfIds, selectorPayloads } from './identity.js';
import { type Incoming, requirePayload } from './incoming.js';
import { agreeLimits, type Limits, limitsOf } from './lifetimes.js';
import type { EstablishedMainMode } from './main-mode.js';
import { agreeOrRefuse } from './main-mode-keys.js';
import { acceptMessage, nonceBytes } from './main-mode-life.js';
import { natDetected, natOriginalPayloads, natOriginals, udpRevision } from './nat-traversal.js';
import { macsEqual, messageIdBytes, phase2Hash, phase2Iv, unseal, withHash } from './protection.js';
import { newQuickMode, type PairRecord, type QuickMode, type StateAt } from './quick-mode.js';
import { derivePair } from './quick-mode-keys.js';
import {
  activatePair,
  failQuickMode,
  installPair,
  quickModeFailure,
  rememberForAWhile,
  sealQuickMode,
} from './quick-mode-life.js';
import {
  acceptQuickMode,
  offerableTogether,
  offeredLimits,
  pfsGroupOf,
  quickModeSa,
} from './quick-mode-proposal.js';
import { Retransmission } from './retransmission.js';
import { readTransform } from './transform-attributes.js';
import { explainSilence } from './undelivered.js';

/**
 * How long the outbound SA waits for the peer to make its inbound SA work, unless CONNECTED or a packet says earlier
 * that it does: with the commit bit, while an old pair carries the traffic, and while the first packets wait. Whoever
 * sends with message 3 loses what arrives before the peer has worked through it.
 */
const readyWaitMs = { commit: 1_000, renewal: 250, first: 50 } as const;

/** Starts a quick mode: sends message 1. */
export function startQuickMode(
  context: Context,
  mainMode: EstablishedMainMode,
  policy: QuickModePolicy,
  onRetransmission: (retransmission: number) => void = () => {},
): QuickMode {
  const { keys, lastBlock } = mainMode.state;
  const mainModeGroup = keys.method.group;
  const udp = udpRevision(mainMode);
  const methods = offerableTogether(policy.methods, mainModeGroup);
  const offer = { methods, encapsulation: encapsulationOf(policy.mode, udp), mainModeGroup };
  const [first] = methods;
  const pfsGroup = first && pfsGroupOf(first, mainModeGroup);
  const own = pfsGroup && generateKeyPair(pfsGroup, length => context.random(length));
  const spis = context.reserveSpis();
  const nonce = Uint8Array.from(context.random(nonceBytes));
  const messageId = context.newMessageId(mainMode);
  const quickMode = newQuickMode({
    role: 'initiator',
    messageId,
    policy,
    state: { stage: 'awaiting 2', offer, spis, nonce, ...(own === undefined ? {} : { own }) },
    iv: phase2Iv(keys.method, lastBlock, messageId),
  });
  mainMode.quickModes.set(messageId, quickMode);
  mainMode.quickModesMade++;

  const payloads = withHash(
    keys,
    [messageIdBytes(messageId)],
    [
      quickModeSa(offer, spis, context.options.vendorProfile === 'windows-2003'),
      { kind: 'nonce', data: nonce },
      ...(own === undefined ? [] : [{ kind: 'ke', data: own.publicValue } as const]),
      ...selectorPayloads(policy.selector),
      ...(udp !== undefined && policy.mode === 'transport'
        ? natOriginalPayloads(udp, 'initiator', mainMode.local, mainMode.peerAddress)
        : []),
    ],
  );
  const bytes = sealQuickMode(mainMode, quickMode, payloads);
  quickMode.request = new Retransmission(
    context,
    retransmission => {
      context.send(mainMode, bytes, { name: 'quick mode 1', payloads, retransmission });
      if (retransmission > 0) onRetransmission(retransmission);
    },
    () =>
      failQuickMode(
        context,
        mainMode,
        quickMode,
        quickModeFailure(mainMode, {
          point: 'peer',
          reason: 'no-response',
          text: explainSilence(mainMode, `${mainMode.peer} did not answer quick mode 1`),
          message: 'quick mode 1',
        }),
      ),
  );
  return quickMode;
}

/**
 * Message 2: the peer's choice. Installs the pair and sends message 3. A message whose hash is wrong changes
 * nothing (`WireError` or `ExchangeError` with `authentication-failed`).
 */
export function receive2(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  state: StateAt<'awaiting 2'>,
  incoming: Incoming,
): void {
  const { header, datagram } = incoming;
  const { keys } = mainMode.state;
  const messageId = messageIdBytes(quickMode.messageId);
  const { value: chain, nextIv } = unseal(keys, quickMode.iv, header, datagram.bytes);
  const proof = requirePayload(chain, 'hash').payload.data;
  if (!macsEqual(proof, phase2Hash(keys, messageId, state.nonce, bytesAfterFirst(chain))))
    throw new ExchangeError('authentication-failed', 'HASH(2) is wrong');
  acceptMessage(context, mainMode, incoming, 'quick mode 2', chain);
  quickMode.iv = nextIv;
  quickMode.request?.stop();
  const commit = (header.flags & headerFlags.COMMIT) !== 0;
  try {
    const nonces = { initiator: state.nonce, responder: requirePayload(chain, 'nonce').payload.data };
    const { record } = acceptPair(context, mainMode, quickMode, state, chain, nonces);
    context.releaseSpis(state.spis);
    send3(context, mainMode, quickMode, datagram.bytes, [
      {
        kind: 'hash',
        data: phase2Hash(keys, Uint8Array.of(0), messageId, nonces.initiator, nonces.responder),
      },
    ]);
    finish(context, mainMode, quickMode, record, commit);
  } catch (caught) {
    const error = asExchangeError(caught);
    failQuickMode(
      context,
      mainMode,
      quickMode,
      quickModeFailure(mainMode, {
        point: 'me',
        reason: error.reason,
        text: `quick mode 2 from ${mainMode.peer} refused: ${error.message}`,
        message: 'quick mode 2',
        mismatches: error.mismatches,
      }),
    );
    // The responder has made its half. A refusal says no more, and to strongSwan it is the end of everything.
    disownSpis(context, mainMode, offeredHalves(state));
  }
}

/** Our SPIs of the protocols in an offer. */
function offeredHalves({ offer: { methods }, spis }: StateAt<'awaiting 2'>) {
  return (['esp', 'ah'] as const)
    .filter(protocol => methods.some(method => method[protocol] !== undefined))
    .map(protocol => ({ protocol, spi: spis[protocol] }));
}

function acceptPair(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  { offer, spis, own }: StateAt<'awaiting 2'>,
  chain: PayloadChain,
  nonces: { readonly initiator: Uint8Array; readonly responder: Uint8Array },
): { readonly record: PairRecord } {
  const ke = findPayload(chain, 'ke')?.payload;
  const verdict = acceptQuickMode(requirePayload(chain, 'sa').payload, offer, ke !== undefined);
  if ('refused' in verdict)
    throw new ExchangeError('no-proposal-chosen', 'the peer chose what we did not offer', verdict);
  const choice = verdict.chosen;
  if (choice.pfsGroup !== own?.group)
    throw new ExchangeError('invalid-key-exchange', 'the peer chose another PFS group than was offered');
  const sharedSecret = own && ke ? agreeOrRefuse(own, ke.data) : undefined;
  const { policy } = quickMode;
  checkReturnedIds(
    findPayloads(chain, 'id').map(({ payload }) => payload),
    mainMode,
    policy,
  );
  const limits = responderLimits(agreeLimits(limitsOf(choice.method), offeredLimits(choice)), chain);
  const originals = findPayloads(chain, 'nat-oa').map(({ payload }) => payload);
  const useOriginals = udpRevision(mainMode) !== undefined && policy.mode === 'transport';
  const pair = derivePair(context, mainMode, quickMode, {
    choice,
    spis,
    nonces,
    limits,
    ...(sharedSecret === undefined ? {} : { sharedSecret }),
    ...(useOriginals ? { natOriginal: natOriginals('initiator', originals) } : {}),
  });
  return { record: installPair(context, mainMode, quickMode, pair, choice.method) };
}

/** Message 3, sent again when message 2 comes again. */
function send3(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  request: Uint8Array,
  payloads: readonly Payload[],
): void {
  const bytes = sealQuickMode(mainMode, quickMode, payloads);
  let retransmission = 0;
  const send = () =>
    context.send(mainMode, bytes, { name: 'quick mode 3', payloads, retransmission: retransmission++ });
  quickMode.duplicates.remember(request, context.nowMs, send);
  send();
}

/** Sends with the pair as soon as the peer shows that it is ready, or has had the time to be. */
function finish(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  record: PairRecord,
  commit: boolean,
): void {
  const pairId = record.pair.id;
  const activate = () => {
    if (record.ended !== undefined) {
      failQuickMode(context, mainMode, quickMode, endedUnused(mainMode, record.ended));
      return;
    }
    quickMode.state = { stage: 'done', pairId };
    activatePair(context, mainMode, quickMode, record);
    rememberForAWhile(context, mainMode, quickMode);
  };
  const renewal = context.pairs.newest(record) !== undefined;
  const waitMs = readyWaitMs[commit ? 'commit' : renewal ? 'renewal' : 'first'];
  quickMode.state = { stage: 'awaiting 4', pairId };
  record.confirm = activate;
  quickMode.timer = context.schedule(mainMode, context.nowMs + waitMs, activate);
}

/** The pair was there, and went before it was used. */
function endedUnused(mainMode: EstablishedMainMode, why: string): NegotiationFailure {
  const byPeer = why === deletedByPeer;
  return quickModeFailure(mainMode, {
    point: byPeer ? 'peer' : 'me',
    reason: byPeer ? 'peer-deleted' : 'cancelled',
    text: `the SAs with ${mainMode.peer} ended as soon as they were made: ${why}`,
    message: 'quick mode 3',
  });
}

/** Message 4: HASH(4), N(CONNECTED). Anything else in its place is ignored. */
export function receive4(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  incoming: Incoming,
): void {
  const { header, datagram } = incoming;
  const { keys } = mainMode.state;
  const { value: chain, nextIv } = unseal(keys, quickMode.iv, header, datagram.bytes);
  const proof = requirePayload(chain, 'hash').payload.data;
  const messageId = messageIdBytes(quickMode.messageId);
  if (!macsEqual(proof, phase2Hash(keys, messageId, bytesAfterFirst(chain))))
    throw new ExchangeError('authentication-failed', 'HASH(4) is wrong');
  acceptMessage(context, mainMode, incoming, 'quick mode 4', chain);
  quickMode.iv = nextIv;
  quickMode.duplicates.remember(datagram.bytes, context.nowMs);
  const connected = findPayloads(chain, 'notify').some(
    ({ payload }) => payload.notifyType === notifyTypes.CONNECTED,
  );
  if (connected && quickMode.state.stage === 'awaiting 4')
    context.pairs.get(quickMode.state.pairId)?.confirm?.();
}

/** The IDs must come back as sent; behind NAT only protocol and ports count (ike.md 7.1). */
function checkReturnedIds(
  ids: readonly IdPayload[],
  mainMode: EstablishedMainMode,
  { mode, selector }: QuickModePolicy,
): void {
  if (ids.length === 0) return;
  const nat = natDetected(mainMode);
  const returned = selectorOfIds(ids, {
    mode,
    nat,
    initiator: mainMode.local,
    responder: mainMode.peerAddress,
  });
  const same =
    mode === 'transport' && nat ? samePorts(returned, selector) : selectorsEqual(returned, selector);
  if (!same) throw new ExchangeError('invalid-id', 'the peer answered for other traffic than was asked');
}

const l2tpPort = 1701;
const udpProtocol = 17;

/** Port 0 and 1701 are the same to L2TP peers (KB 248750). */
function samePorts(a: Selector, b: Selector): boolean {
  const same = (x: number, y: number) =>
    x === y || (a.protocol === udpProtocol && Math.max(x, y) === l2tpPort && Math.min(x, y) === 0);
  return (
    a.protocol === b.protocol &&
    same(a.sourcePort, b.sourcePort) &&
    same(a.destinationPort, b.destinationPort)
  );
}

/** Shortens the limits by an N(RESPONDER-LIFETIME). */
function responderLimits(limits: Limits, chain: PayloadChain): Limits {
  let agreed = limits;
  for (const { payload } of findPayloads(chain, 'notify')) {
    if (payload.notifyType !== notifyTypes['RESPONDER-LIFETIME']) continue;
    const { lifetimeSeconds, lifetimeKilobytes } = readTransform(2, decodeAttributes(payload.data));
    agreed = agreeLimits(agreed, { seconds: lifetimeSeconds, kilobytes: lifetimeKilobytes });
  }
  return agreed;
}
