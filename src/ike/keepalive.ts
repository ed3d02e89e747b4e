/** Keeps the NAT's mapping for our UDP 4500 alive (RFC 3948 4): the side behind the NAT sends a byte now and then. */
import type { Context } from './context.js';
import { newestMainMode } from './deletion.js';
import { type EstablishedMainMode, isEstablished } from './main-mode.js';
import { keepaliveMs, keepalivePayload, natPort } from './nat-traversal.js';

/** Goes on as long as this main mode, or SAs in UDP with its peer and no newer main mode, are alive. */
export function startKeepalives(context: Context, mainMode: EstablishedMainMode): void {
  if (!mainMode.nat.local || mainMode.localPort !== natPort) return;
  const again = () => context.timers.schedule(context.nowMs + keepaliveMs, send);
  const send = () => {
    const { local, peer, localPort, peerAddress, peerPort } = mainMode;
    const newest = newestMainMode(context, mainMode);
    const pairsAlive = context.pairs.ofPeer(peer).some(({ pair }) => pair.udpEncapsulation !== undefined);
    const ours = newest === undefined ? pairsAlive : newest === mainMode;
    if (!ours && !isEstablished(mainMode)) return;
    if (ours)
      context.emit({
        kind: 'send',
        datagram: {
          local: { address: local, port: localPort },
          peer: { address: peerAddress, port: peerPort },
          bytes: keepalivePayload,
        },
      });
    again();
  };
  again();
}
