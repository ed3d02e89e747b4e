/** The main mode that something wanted of a peer goes under: one that is up, one being negotiated, or a new one. */
import type { FailureReason, MainModePolicy } from './api.js';
import { isSameWay, mayCarry } from './auth/binding.js';
import { authenticationOffers, nothingToOffer } from './auth/offers.js';
import type { Context } from './context.js';
import { newestMainMode } from './deletion.js';
import { type EstablishedMainMode, isReady, type MainMode } from './main-mode.js';
import { isFirstContact, startMainMode } from './main-mode-initiator.js';
import { natPort } from './nat-traversal.js';
import type { PeerPlace } from './peer-place.js';
import type { PairRequest } from './wanted.js';

/** Two hosts. */
export type Hosts = Pick<MainMode, 'local' | 'peer'>;

/** How phase 1 is negotiated for the rule of this traffic; `undefined` when the rule is gone. */
export function policyOf({ environment }: Context, { quickMode }: PairRequest): MainModePolicy | undefined {
  return environment.policy.mainModeOf(quickMode.filterId);
}

/** Whether a main mode has authenticated the peer as the rule of this traffic wants it. */
export function suits(context: Context, mainMode: EstablishedMainMode, request: PairRequest): boolean {
  const policy = policyOf(context, request);
  return policy !== undefined && mayCarry(context, mainMode, policy);
}

/** The newest main mode that a quick mode for this can begin under, but not `silent`. */
export function readyCarrier(
  context: Context,
  request: PairRequest,
  silent?: EstablishedMainMode,
): EstablishedMainMode | undefined {
  return newestMainMode(
    context,
    request,
    mainMode =>
      mainMode !== silent && !mainMode.retired && isReady(mainMode) && suits(context, mainMode, request),
  );
}

/** Quick modes cannot begin yet. */
export function isPending(mainMode: MainMode): boolean {
  return !isReady(mainMode) && mainMode.state.stage !== 'closed';
}

/** A NAT lets in what answers that client: a main mode from us would reach another one, or nobody. */
export function isBehindNat({ peerPort }: PeerPlace): boolean {
  return peerPort !== undefined && peerPort !== natPort;
}

/** A policy that a main mode can begin under, or why there is none. */
export function requireUsable(
  { peer }: Hosts,
  policy: MainModePolicy | undefined,
): { readonly policy: MainModePolicy } | { readonly reason: FailureReason; readonly text: string } {
  if (policy === undefined) return { reason: 'no-policy', text: `no rule covers ${peer}` };
  if (authenticationOffers(policy).length === 0) {
    const { reason, text } = nothingToOffer(policy);
    return { reason, text: `the rule for ${peer} cannot be used: ${text}` };
  }
  if (policy.methods.length === 0)
    return { reason: 'no-proposal-chosen', text: `the rule for ${peer} has no security method` };
  return { policy };
}

/** Our own main mode with this peer, for such a policy, that is still being negotiated; else a new one. */
export function pendingCarrier(context: Context, { local, peer }: Hosts, policy: MainModePolicy): MainMode {
  const begun = context.mainModes
    .ofPeer(peer)
    .find(
      mainMode =>
        mainMode.role === 'initiator' &&
        mainMode.local === local &&
        isPending(mainMode) &&
        isSameWay(mainMode.policy, policy),
    );
  return begun ?? startMainMode(context, local, peer, policy, isFirstContact(context, { local, peer }));
}

/** A new main mode takes over before the old one ends, if there is anything to take over. */
export function renewMainMode(context: Context, mainMode: EstablishedMainMode): void {
  const { local, peer } = mainMode;
  const inUse = context.pairs.ofPeer(peer).some(({ pair }) => pair.local === local);
  if (mainMode.retired || !inUse || (mainMode.nat.peer && isBehindNat(mainMode))) return;
  const isAlike = (policy: MainModePolicy) => isSameWay(policy, mainMode.policy);
  if (newestMainMode(context, mainMode, other => isAlike(other.policy)) !== mainMode) return;
  const policy = context.environment.policy.mainModes(local, peer).find(isAlike);
  if (policy !== undefined && authenticationOffers(policy).length > 0)
    startMainMode(context, local, peer, policy, false);
}
