/** Where a peer is: several clients behind one NAT share its address, and only the port tells them apart (RFC 3947 7). */
import type { Endpoint } from '../driver/api.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { Context } from './context.js';
import { isEstablished, type MainMode } from './main-mode.js';
import type { PairRecord } from './quick-mode.js';

/** Two hosts, and which of the clients behind the peer's address is meant; any when absent. A main mode is one too. */
export interface PeerPlace {
  readonly local: IpAddress;
  readonly peer: IpAddress;
  readonly peerPort?: number;
}

/** Where the peer of a pair is. */
export function placeOf({ pair, peer, seenAt }: PairRecord): PeerPlace {
  return { local: pair.local, peer, ...(seenAt === undefined ? {} : { peerPort: seenAt.port }) };
}

/** Whether a main mode is with the client at that port. Without a NAT there is only one. */
export function isAt({ nat, peerPort }: MainMode, port: number | undefined): boolean {
  return !nat.peer || port === undefined || peerPort === port;
}

/** Whether a pair is with the peer of a main mode: between the same hosts, and with the same client behind a NAT. */
export function isWith(mainMode: MainMode, { pair, peer, seenAt }: PairRecord): boolean {
  return pair.local === mainMode.local && peer === mainMode.peer && isAt(mainMode, seenAt?.port);
}

/** The mapping of a client behind a NAT has moved: what was with it before is with it there. */
export function followPeer(context: Context, peer: IpAddress, from: Endpoint, to: Endpoint): void {
  const isThere = ({ address, port }: Endpoint) => address === from.address && port === from.port;
  for (const mainMode of context.mainModes.ofPeer(peer)) {
    const { peerAddress: address, peerPort: port } = mainMode;
    if (!isEstablished(mainMode) || !mainMode.nat.peer || !isThere({ address, port })) continue;
    mainMode.peerAddress = to.address;
    mainMode.peerPort = to.port;
  }
  for (const record of context.pairs.ofPeer(peer))
    if (record.seenAt !== undefined && isThere(record.seenAt)) record.seenAt = to;
}
