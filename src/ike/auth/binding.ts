/**
 * What binds a quick mode to its rule: the main mode it runs under must have authenticated the peer in a way that the
 * rule allows, whichever rule that main mode was negotiated for.
 */
import { checkCertificate, failedTest, printTest } from '../../crypto/certificates/chain.js';
import type { MainModePolicy } from '../api.js';
import type { Context } from '../context.js';
import { peerIdentityMismatch } from '../identity.js';
import type { EstablishedMainMode } from '../main-mode.js';
import { chainSettings } from './certificates.js';
import { certificateMethods } from './offers.js';

/** Whether quick modes of a rule that is negotiated in the `wanted` way may run under this main mode. */
export function mayCarry(context: Context, mainMode: EstablishedMainMode, wanted: MainModePolicy): boolean {
  return bindingMismatch(context, mainMode, wanted) === undefined;
}

/** Why they may not: what was proved and what is wanted. */
export function bindingMismatch(
  context: Context,
  mainMode: EstablishedMainMode,
  wanted: MainModePolicy,
): string | undefined {
  if (isSameWay(mainMode.policy, wanted)) return undefined;
  const { peerId } = mainMode;
  const identity = peerId && peerIdentityMismatch(peerId, wanted.peerIdentity);
  if (identity !== undefined) return identity;
  const { authentication } = mainMode.state.choice;
  if (authentication.kind === 'certificate') return certificateMismatch(context, mainMode, wanted);
  const keys = presharedKeys(wanted);
  if (keys.includes(authentication.key.reveal())) return undefined;
  return keys.length > 0
    ? 'its main mode authenticated the peer by another preshared key'
    : `its main mode authenticated the peer by a preshared key, and the rule wants ${printWays(wanted)}`;
}

/** Whether both are the settings of the same rule, or of rules that do not differ in them. */
export function isSameWay(one: MainModePolicy, other: MainModePolicy): boolean {
  return one === other || (one.fingerprint !== undefined && one.fingerprint === other.fingerprint);
}

/** The peer's certificate is judged anew: the rule may trust others, and be stricter. */
function certificateMismatch(
  { calendarMs }: Context,
  { peerVerdict, peerId, revocation }: EstablishedMainMode,
  wanted: MainModePolicy,
): string | undefined {
  const [leaf, ...others] = peerVerdict?.chain ?? [];
  if (leaf === undefined || peerId === undefined || certificateMethods(wanted).length === 0)
    return `its main mode authenticated the peer by certificate, and the rule wants ${printWays(wanted)}`;
  const settings = chainSettings({ policy: wanted, revocation }, others, peerId, calendarMs);
  const failed = failedTest(checkCertificate(leaf, settings));
  return failed && `the peer's certificate is not one that the rule accepts: ${printTest(failed)}`;
}

function presharedKeys({ authentication }: MainModePolicy): string[] {
  return authentication.flatMap(method => (method.kind === 'preshared' ? [method.key.reveal()] : []));
}

function printWays({ authentication }: MainModePolicy): string {
  const ways = authentication.map(method => {
    if (method.kind === 'preshared') return 'a preshared key';
    return method.kind === 'certificate' ? `a certificate under "${method.authority}"` : 'Kerberos';
  });
  return [...new Set(ways)].join(' or ') || 'nothing that there is';
}
