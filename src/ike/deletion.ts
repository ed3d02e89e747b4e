/** Ending SAs, and telling the peer or hearing it from the peer (RFC 2408 3.15, ike.md 8.1 and 8.2). */
import type { SaHalf } from '../driver/api.js';
import { dois, protocols } from '../wire/isakmp/numbers.js';
import type { DeletePayload, Payload } from '../wire/isakmp/payloads.js';
import { isSameWay } from './auth/binding.js';
import type { Context } from './context.js';
import { cookiesOf, sealInformational, sendProtected } from './informational-send.js';
import { type EstablishedMainMode, isEstablished, type MainMode } from './main-mode.js';
import { endMainMode, nonceBytes } from './main-mode-life.js';
import { isAt, isWith, type PeerPlace, placeOf } from './peer-place.js';
import type { PairRecord } from './quick-mode.js';
import { auditSpis } from './quick-mode-life.js';
import { Retransmission } from './retransmission.js';
import { spiBytes, spiOf } from './spi.js';

/** Why a pair or main mode ended that the peer has deleted. */
export const deletedByPeer = 'deleted by the peer';

/** Pauses of Microsoft's reliable delete ([MS-IKEE] 3.8): 1 s doubling, at most 16 s. */
const reliableDeletePausesMs = [1_000, 2_000, 4_000, 8_000, 16_000];

/** The newest established main mode with a peer: what carries messages about its pairs. */
export function newestMainMode(
  context: Context,
  { peer, local, peerPort }: PeerPlace,
  usable: (mainMode: EstablishedMainMode) => boolean = () => true,
): EstablishedMainMode | undefined {
  return context.mainModes
    .ofPeer(peer)
    .filter(isEstablished)
    .filter(mainMode => mainMode.local === local && isAt(mainMode, peerPort) && usable(mainMode))
    .sort((a, b) => a.state.establishedAtMs - b.state.establishedAtMs)
    .at(-1);
}

/**
 * The main mode that carries messages about a pair. Where several are up because rules authenticate in different ways, one
 * of the pair's own way: a peer may look for its SAs under the main mode that they were made under.
 */
function carrierOf(context: Context, record: PairRecord): EstablishedMainMode | undefined {
  const isOwn = ({ policy }: MainMode) => isSameWay(policy, record.mainModePolicy);
  return newestMainMode(context, placeOf(record), isOwn) ?? newestMainMode(context, placeOf(record));
}

/** Removes a pair; with `tellPeer`, its inbound SPIs are deleted at the peer too, if a main mode is up. */
export function endPair(context: Context, record: PairRecord, reason: string, tellPeer: boolean): void {
  const { pair, peer } = record;
  if (context.pairs.get(pair.id) === undefined) return;
  context.timers.cancel(record.removal);
  context.timers.cancel(record.idle);
  delete record.confirm;
  record.ended = reason;
  context.pairs.remove(record);
  context.noteEnded(pair);
  context.emit({ kind: 'removePair', pairId: pair.id, reason });
  if (record.active)
    context.audit({ id: 542, local: pair.local, peer, filter: pair.selector, ...auditSpis(pair), reason });
  context.progress(peer, 'note', 'quick mode', `ended: ${reason}`);
  const mainMode = tellPeer ? carrierOf(context, record) : undefined;
  if (mainMode !== undefined) sendDeletes(context, mainMode, pairDeletes([record]));
}

/** Removes pairs, then main modes, and tells the peers: with few Deletes for many pairs. */
export function endTogether(
  context: Context,
  pairs: readonly PairRecord[],
  mainModes: readonly EstablishedMainMode[],
  reason: string,
): void {
  const told = new Map<EstablishedMainMode | undefined, PairRecord[]>();
  for (const record of pairs) {
    const mainMode = carrierOf(context, record);
    const together = told.get(mainMode) ?? [];
    told.set(mainMode, together);
    together.push(record);
  }
  for (const [mainMode, records] of told) {
    for (const record of records) endPair(context, record, reason, false);
    if (mainMode !== undefined) sendDeletes(context, mainMode, pairDeletes(records));
  }
  for (const mainMode of mainModes) deleteMainMode(context, mainMode, reason);
}

/** Tells the peer that a main mode is over, and ends it. */
export function deleteMainMode(context: Context, mainMode: EstablishedMainMode, reason: string): void {
  sendDeletes(context, mainMode, [mainModeDelete(mainMode)]);
  endMainMode(context, mainMode, reason);
}

/** SPIs in one Delete, so that its message fits one packet. */
const spisPerDelete = 200;

/** Deletes of our inbound SPIs, each for one protocol. */
function pairDeletes(records: readonly PairRecord[]): DeletePayload[] {
  return inboundDeletes(records.flatMap(({ pair }) => pair.inbound));
}

function inboundDeletes(halves: readonly Pick<SaHalf, 'protocol' | 'spi'>[]): DeletePayload[] {
  return (['esp', 'ah'] as const).flatMap(name => {
    const spis = halves.filter(({ protocol }) => protocol === name).map(({ spi }) => spiBytes(spi));
    const protocol = protocols[name === 'esp' ? 'ESP' : 'AH'];
    return Array.from({ length: Math.ceil(spis.length / spisPerDelete) }, (_, i) => ({
      kind: 'delete' as const,
      doi: dois.IPSEC,
      protocol,
      spis: spis.slice(i * spisPerDelete, (i + 1) * spisPerDelete),
    }));
  });
}

/** Tells the peer that SAs it has made with these SPIs of ours have come to nothing. */
export function disownSpis(
  context: Context,
  mainMode: EstablishedMainMode,
  halves: readonly Pick<SaHalf, 'protocol' | 'spi'>[],
): void {
  sendDeletes(context, mainMode, inboundDeletes(halves));
}

/** Says that an ISAKMP SA is over. */
export function mainModeDelete(mainMode: MainMode): DeletePayload {
  return { kind: 'delete', doi: dois.IPSEC, protocol: protocols.ISAKMP, spis: [cookiesOf(mainMode)] };
}

/** One message each: strongSwan acts on one Delete payload of a message only. Windows confirms those of pairs. */
function sendDeletes(
  context: Context,
  mainMode: EstablishedMainMode,
  payloads: readonly DeletePayload[],
): void {
  const windows =
    context.options.vendorProfile === 'windows-2003' && mainMode.vendors.windowsVersion !== undefined;
  for (const payload of payloads) {
    if (windows && payload.protocol !== protocols.ISAKMP) sendReliably(context, mainMode, payload);
    else sendProtected(context, mainMode, [payload]);
  }
}

/** Microsoft's reliable delete: `HASH, Ni, D`, repeated until the peer answers under the same message id. */
function sendReliably(context: Context, mainMode: EstablishedMainMode, payload: DeletePayload): void {
  const nonce: Payload = { kind: 'nonce', data: Uint8Array.from(context.random(nonceBytes)) };
  const sealed = sealInformational(context, mainMode, [nonce, payload]);
  if (sealed === undefined) return;
  const { messageId, bytes, payloads } = sealed;
  // Sent back to us it is no answer.
  mainMode.duplicates.remember(bytes, context.nowMs);
  const stop = () => mainMode.pendingDeletes.delete(messageId);
  const request = new Retransmission(
    context,
    retransmission => context.send(mainMode, bytes, { name: 'informational', payloads, retransmission }),
    stop,
    reliableDeletePausesMs,
  );
  mainMode.pendingDeletes.set(messageId, request);
}

/** How long a main mode the peer has deleted still reads: a Delete of its pairs may have been overtaken. */
const overtakenMs = 500;

function endSoon(context: Context, mainMode: EstablishedMainMode): void {
  mainMode.retired = true;
  context.schedule(mainMode, context.nowMs + overtakenMs, () =>
    endMainMode(context, mainMode, deletedByPeer),
  );
}

/**
 * The peer has deleted SAs. It should name its inbound ones, our outbound ones; strongSwan names our inbound one when
 * it could not install the pair.
 */
export function receiveDelete(context: Context, mainMode: EstablishedMainMode, payload: DeletePayload): void {
  if (payload.protocol === protocols.ISAKMP) {
    for (const spi of payload.spis) {
      const named = context.mainModes.byCookies(spi.subarray(0, 8), spi.subarray(8));
      if (named !== undefined && isEstablished(named) && isOfSamePeer(named, mainMode))
        endSoon(context, named);
    }
    return;
  }
  const protocol = payload.protocol === protocols.ESP ? 'esp' : 'ah';
  if (protocol === 'ah' && payload.protocol !== protocols.AH) return;
  const spis = new Set(payload.spis.map(spiOf));
  for (const record of context.pairs.ofPeer(mainMode.peer))
    if (
      isWith(mainMode, record) &&
      [...record.pair.outbound, ...record.pair.inbound].some(
        half => half.protocol === protocol && spis.has(half.spi),
      )
    )
      endPair(context, record, deletedByPeer, false);
}

/** A client behind a NAT ends nothing of the others behind it. */
function isOfSamePeer(named: MainMode, { local, peer, peerPort }: MainMode): boolean {
  return named.local === local && named.peer === peer && isAt(named, peerPort);
}
