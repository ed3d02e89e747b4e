/** What ends with a peer that has forgotten what it had with us, or that answers no more, and with an address of our own. */
import type { IpAddress } from '../wire/ip/address.js';
import type { Context } from './context.js';
import { endPair } from './deletion.js';
import { type EstablishedMainMode, isEstablished } from './main-mode.js';
import { closeMainMode, endMainMode } from './main-mode-life.js';
import { isAt } from './peer-place.js';

/** Ends what is older than a main mode whose peer says that it has nothing older (INITIAL-CONTACT, RFC 2407 4.6.3.3). */
export function endForgotten(context: Context, mainMode: EstablishedMainMode): void {
  const reason = 'the peer has started anew (INITIAL-CONTACT)';
  const { local, peer, startedAtMs, nat, peerPort } = mainMode;
  // What it has with another address of ours it has said elsewhere. Behind a NAT there may be several peers: only those
  // of the same port.
  for (const record of context.pairs.ofPeer(peer)) {
    if (record.establishedAtMs >= startedAtMs || record.pair.local !== local) continue;
    if (!nat.peer || record.seenAt?.port === peerPort) endPair(context, record, reason, false);
  }
  for (const other of context.mainModes.ofPeer(peer)) {
    if (!isEstablished(other) || other.state.establishedAtMs >= startedAtMs || other.local !== local)
      continue;
    if (!nat.peer || other.peerPort === peerPort) endMainMode(context, other, reason);
  }
}

/** The main modes of one address of ours with clients at a peer's address: those of the one that is dead, and those of others behind its NAT. */
export interface Casualties {
  readonly dead: readonly EstablishedMainMode[];
  readonly living: readonly EstablishedMainMode[];
}

/** What the death of this main mode's peer concerns. */
export function casualtiesOf(context: Context, { local, peer, peerPort }: EstablishedMainMode): Casualties {
  const all = context.mainModes
    .ofPeer(peer)
    .filter(isEstablished)
    .filter(other => other.local === local);
  return {
    dead: all.filter(other => isAt(other, peerPort)),
    living: all.filter(other => !isAt(other, peerPort)),
  };
}

/** Ends the main modes with the dead, and every pair that is with none of the living. */
export function endDead(
  context: Context,
  { local, peer }: EstablishedMainMode,
  { dead, living }: Casualties,
  reason: string,
): void {
  for (const record of context.pairs.ofPeer(peer))
    if (record.pair.local === local && !living.some(other => other.peerPort === record.seenAt?.port))
      endPair(context, record, reason, false);
  for (const other of dead) endMainMode(context, other, reason);
}

/** Ends what was negotiated from an address that this host has no longer: its peers cannot be told from there. */
export function endAddress(context: Context, local: IpAddress, reason: string): void {
  for (const record of context.pairs.all())
    if (record.pair.local === local) endPair(context, record, reason, false);
  for (const mainMode of context.mainModes.all()) {
    if (mainMode.local !== local) continue;
    if (isEstablished(mainMode)) endMainMode(context, mainMode, reason);
    else closeMainMode(context, mainMode);
  }
}
