/**
 * Pairs nobody uses end, and the next packet brings them back ([MS-IKEE] 3.5, `SAIdleTime`). Only packets they carry count
 * as use: what IKE itself sends to keep a peer or a NAT's mapping alive does not pass them.
 */
import type { Context } from './context.js';
import { endPair } from './deletion.js';
import type { MainMode } from './main-mode.js';
import type { PairRecord } from './quick-mode.js';

/** Behind NLBS_PRESENT there is a cluster, whose members must be free to take over. */
const clusterIdleSeconds = 60;

/** Starts watching a pair that has come into use; one that renews `replaced` has been idle as long as that. */
export function watchIdle(
  context: Context,
  { vendors }: Pick<MainMode, 'vendors'>,
  record: PairRecord,
  replaced: PairRecord | undefined,
): void {
  const { idleSeconds = 0 } = context.options;
  if (idleSeconds === 0 || record.policy.staysUp) return;
  const limitSeconds = vendors.keys.has('nlbsPresent')
    ? Math.min(idleSeconds, clusterIdleSeconds)
    : idleSeconds;
  if (replaced !== undefined) record.usedAtMs = lastUsedMs(context, replaced);
  const check = () => {
    const dueAtMs = lastUsedMs(context, record) + limitSeconds * 1_000;
    if (dueAtMs <= context.nowMs) endPair(context, record, `no traffic for ${limitSeconds} s`, true);
    else record.idle = context.timers.schedule(dueAtMs, check);
  };
  check();
}

/** When a packet last went through, in either direction; before the first one, when it was made. */
function lastUsedMs({ environment }: Context, { pair, usedAtMs }: PairRecord): number {
  return Math.max(
    usedAtMs,
    environment.lastInboundAtMs(pair.id) ?? 0,
    environment.lastOutboundAtMs?.(pair.id) ?? 0,
  );
}
