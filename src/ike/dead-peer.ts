/** Dead peer detection (RFC 3706): asking a silent peer whether it lives, and answering when it asks. */
import { ByteReader, ByteWriter } from '../wire/bytes.js';
import { notifyTypes } from '../wire/isakmp/numbers.js';
import type { NotifyPayload } from '../wire/isakmp/payloads.js';
import type { Context } from './context.js';
import { newestMainMode } from './deletion.js';
import { cookiesOf, sendProtectedNotify } from './informational-send.js';
import type { EstablishedMainMode } from './main-mode.js';
import { isWith } from './peer-place.js';

/** Starts watching a peer that speaks DPD, if the policy wants it. */
export function watchPeer(context: Context, mainMode: EstablishedMainMode): void {
  const settings = mainMode.policy.deadPeerDetection;
  if (settings === undefined || !mainMode.vendors.keys.has('dpd')) return;
  const idleMs = Math.max(1, settings.idleSeconds) * 1_000;
  // RFC 3706 5.4: random, the top bit clear so that it does not wrap soon.
  let sequence = new ByteReader(context.random(4)).u32('sequence') >>> 1;

  const check = () => {
    // Only the newest main mode speaks for the peer; older ones wait in case they become that again.
    const dueAtMs = lastHeardMs(context, mainMode) + idleMs;
    const newest = newestMainMode(context, mainMode) === mainMode;
    if (newest && dueAtMs <= context.nowMs) probe(1, context.nowMs);
    else context.schedule(mainMode, newest ? dueAtMs : context.nowMs + idleMs, check);
  };

  const probe = (attempt: number, firstAtMs: number) => {
    sequence = (sequence + 1) >>> 0;
    sendProtectedNotify(context, mainMode, notifyTypes['R-U-THERE'], {
      spi: cookiesOf(mainMode),
      data: new ByteWriter().u32(sequence).finish(),
    });
    context.schedule(mainMode, context.nowMs + Math.max(1, settings.retrySeconds) * 1_000, () => {
      if (lastHeardMs(context, mainMode) >= firstAtMs) check();
      else if (attempt < settings.retries) probe(attempt + 1, firstAtMs);
      else context.listener.peerDead(mainMode);
    });
  };

  context.schedule(mainMode, context.nowMs + idleMs, check);
}

/** When anything authenticated came from the peer: IKE under this main mode, or traffic on any of the pairs with it. */
function lastHeardMs(context: Context, mainMode: EstablishedMainMode): number {
  const traffic = context.pairs
    .ofPeer(mainMode.peer)
    .filter(record => isWith(mainMode, record))
    .map(({ pair }) => context.environment.lastInboundAtMs(pair.id) ?? 0);
  return Math.max(mainMode.lastInboundAtMs, ...traffic);
}

/** R-U-THERE: answered with its own sequence number. */
export function answerProbe(context: Context, mainMode: EstablishedMainMode, { data }: NotifyPayload): void {
  if (data.length !== 4) return;
  sendProtectedNotify(context, mainMode, notifyTypes['R-U-THERE-ACK'], { spi: cookiesOf(mainMode), data });
}
