/** The life of a quick mode besides its messages: requests, the pair it makes, failure, remembrance. */
import { encryption, group, hash } from '../crypto/algorithms.js';
import type { SaPair } from '../driver/api.js';
import type { SecurityMethod } from '../policy/model.js';
import { printSelector } from '../wire/ip/selector.js';
import type { MessageHeader } from '../wire/isakmp/message.js';
import { exchangeTypes } from '../wire/isakmp/numbers.js';
import type { Payload } from '../wire/isakmp/payloads.js';
import type { AttributeMismatch, FailureReason, NegotiationFailure, QuickModePolicy } from './api.js';
import type { Context } from './context.js';
import { failure } from './failures.js';
import { watchIdle } from './idle.js';
import type { EstablishedMainMode, MainMode } from './main-mode.js';
import { auditIdentity } from './main-mode-life.js';
import { seal } from './protection.js';
import type { PairRecord, QuickMode } from './quick-mode.js';

/** A finished quick mode is remembered this long, to answer repeated messages. */
const rememberMs = 60_000;

export function quickModeHeader(mainMode: MainMode, messageId: number): MessageHeader {
  const { initiatorCookie, responderCookie } = mainMode;
  return { initiatorCookie, responderCookie, exchangeType: exchangeTypes['Quick mode'], flags: 0, messageId };
}

/** Encrypts a message of the exchange and moves its chain on. `flags`: those of the header besides E. */
export function sealQuickMode(
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  payloads: readonly Payload[],
  flags = 0,
): Uint8Array {
  const header = { ...quickModeHeader(mainMode, quickMode.messageId), flags };
  const { value, nextIv } = seal(mainMode.state.keys, quickMode.iv, header, payloads);
  quickMode.iv = nextIv;
  return value;
}

/** Makes the inbound half of a pair live. */
export function installPair(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  pair: SaPair,
  method: SecurityMethod,
): PairRecord {
  const record: PairRecord = {
    pair,
    peer: mainMode.peer,
    role: quickMode.role,
    method,
    policy: quickMode.policy,
    mainModePolicy: mainMode.policy,
    establishedAtMs: context.nowMs,
    usedAtMs: context.nowMs,
    peerIdentity: mainMode.state.peerIdentity,
    active: false,
    ...(pair.udpEncapsulation === undefined
      ? {}
      : { seenAt: { address: pair.peer, port: pair.udpEncapsulation.peerPort } }),
  };
  context.pairs.add(record);
  context.counters.keyUpdates++;
  context.emit({ kind: 'installInbound', pair });
  if (context.options.exportKeys) context.emit({ kind: 'keys', keys: { kind: 'sa', pair } });
  return record;
}

/** Sends with a pair from now on: the quick mode has succeeded. */
export function activatePair(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  record: PairRecord,
): void {
  const { pair } = record;
  delete record.confirm;
  context.timers.cancel(quickMode.timer);
  watchIdle(context, mainMode, record, context.pairs.newest(record));
  context.pairs.setActive(record);
  context.counters.keyAdditions++;
  context.counters.quickModes++;
  context.emit({ kind: 'activateOutbound', pairId: pair.id });
  const { local, peer } = mainMode;
  const { method } = record;
  context.audit({
    id: 541,
    mode: 'quick',
    local,
    peer,
    peerIdentity: auditIdentity(mainMode, record.peerIdentity),
    filter: pair.selector,
    parameters: {
      esp: method.esp ? encryption(method.esp.encryption).name : 'None',
      hmac: method.esp?.hash ? hash(method.esp.hash).name : 'None',
      ah: method.ah ? hash(method.ah.hash).name : 'None',
      encapsulation: pair.mode === 'tunnel' ? 'Tunnel Mode' : 'Transport Mode',
      ...auditSpis(pair),
      lifetimeSeconds: pair.lifetime.hardSeconds,
      lifetimeKilobytes: pair.lifetime.hardKilobytes,
    },
  });
  const { hardSeconds, hardKilobytes } = pair.lifetime;
  context.progress(
    peer,
    'note',
    'quick mode',
    `established: ${printSecurityMethod(method)} ${pair.mode}${pair.udpEncapsulation ? ' in UDP' : ''}, ` +
      `${printSelector(pair.selector)}, ${hardSeconds} s, ${hardKilobytes} KB`,
  );
  context.listener.quickModeEstablished(mainMode, quickMode, record);
}

/** SPIs of the first SA of each direction, as audit events show them. */
export function auditSpis({ inbound, outbound }: SaPair): {
  inboundSpi: SaPair['inbound'][number]['spi'];
  outboundSpi: SaPair['inbound'][number]['spi'];
} {
  const [first] = inbound;
  const [firstOut] = outbound;
  if (first === undefined || firstOut === undefined) throw new TypeError('a pair without SAs');
  return { inboundSpi: first.spi, outboundSpi: firstOut.spi };
}

/** `esp 3des-sha1 + ah sha1, PFS modp1024`; `esp aes128-sha1-esn` with extended sequence numbers. */
export function printSecurityMethod({ esp, ah, pfs, extendedSequence }: SecurityMethod): string {
  const sequence = extendedSequence ? '-esn' : '';
  const parts = [
    ...(esp ? [`esp ${esp.encryption}${esp.hash ? `-${esp.hash}` : ''}${sequence}`] : []),
    ...(ah ? [`ah ${ah.hash}${sequence}`] : []),
  ];
  const forward =
    pfs === undefined ? '' : `, PFS${pfs.group === undefined ? '' : ` ${group(pfs.group).name}`}`;
  return parts.join(' + ') + forward;
}

/** Forgets the exchange once no repeated message can come any more. */
export function rememberForAWhile(context: Context, mainMode: MainMode, quickMode: QuickMode): void {
  quickMode.request?.stop();
  context.timers.cancel(quickMode.timer);
  quickMode.timer = context.schedule(mainMode, context.nowMs + rememberMs, () =>
    mainMode.quickModes.delete(quickMode.messageId),
  );
}

/** A failure of a quick mode. */
export function quickModeFailure(
  { local, peer }: Pick<MainMode, 'local' | 'peer'>,
  facts: {
    readonly point: 'me' | 'peer';
    readonly reason: FailureReason;
    readonly text: string;
    readonly message?: string;
    readonly notifyType?: number;
    readonly mismatches?: readonly AttributeMismatch[];
  },
): NegotiationFailure {
  return failure({ mode: 'quick', local, peer, ...facts });
}

/** Ends a quick mode that has made no pair. */
export function failQuickMode(
  context: Context,
  mainMode: MainMode,
  quickMode: QuickMode,
  reason: NegotiationFailure,
): void {
  const { state } = quickMode;
  if (state.stage === 'awaiting 2') context.releaseSpis(state.spis);
  quickMode.state = { stage: 'failed' };
  auditQuickModeFailure(context, mainMode, quickMode.policy, reason);
  rememberForAWhile(context, mainMode, quickMode);
  context.listener.quickModeFailed(mainMode, quickMode, reason);
}

/** Counts a failure and writes its audit events: 546 for each refused attribute, then 547. */
export function auditQuickModeFailure(
  context: Context,
  { local, peer }: Pick<MainMode, 'local' | 'peer'>,
  { selector }: Pick<QuickModePolicy, 'selector'>,
  reason: NegotiationFailure,
): void {
  context.counters.negotiationFailures++;
  const base = { local, peer, filter: selector, mode: 'quick' } as const;
  for (const { attribute, wanted, offered } of (reason.mismatches ?? []).slice(0, 8))
    context.audit({ ...base, id: 546, attribute, expected: wanted, received: offered });
  context.audit({
    ...base,
    id: 547,
    failurePoint: reason.point === 'me' ? 'Me' : 'Peer',
    failureReason: reason.text,
  });
  context.progress(peer, 'note', reason.message ?? 'quick mode', reason.text);
}
