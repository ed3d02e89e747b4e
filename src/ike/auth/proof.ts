/**
 * The last two messages of main mode: who we are and the proof of it, and the same of the peer (RFC 2409 5.1, 5.4).
 *
 *   preshared key   ID, HASH
 *   signatures      ID, CERT+, SIG
 */
import { printId } from '../../wire/isakmp/identification.js';
import { encodePayloadBody, type PayloadChain } from '../../wire/isakmp/message.js';
import { idTypes } from '../../wire/isakmp/numbers.js';
import type { IdPayload, Payload } from '../../wire/isakmp/payloads.js';
import type { Context } from '../context.js';
import { ExchangeError } from '../exchange-error.js';
import { checkPeerIdentity, identityPayload } from '../identity.js';
import { requirePayload } from '../incoming.js';
import type { MainMode, MainModeState } from '../main-mode.js';
import { identityHash } from '../main-mode-keys.js';
import { macsEqual } from '../protection.js';
import { certificatePayloads, judgePeerCertificate } from './certificates.js';
import { ownCertificateFor } from './offers.js';
import { hashVerifies, signHash } from './signatures.js';

/** What both sides' proofs are made of. */
type ProofBasis = Pick<
  Extract<MainModeState, { stage: 'awaiting 6' }>,
  'saBody' | 'choice' | 'values' | 'keys'
>;

type Side = MainMode['role'];

/** Our identity and its proof. Throws `ExchangeError` (`no-certificate`) when the certificate for it is gone. */
export function ownProof(context: Context, mainMode: MainMode, basis: ProofBasis): Payload[] {
  const { authentication } = basis.choice;
  const { identity } = mainMode.policy;
  const hashOf = (id: IdPayload) => proofHash(mainMode, mainMode.role, basis, encodePayloadBody(id));
  if (authentication.kind === 'preshared') {
    const id = identityPayload(identity ?? { kind: 'address', address: mainMode.local });
    return [id, { kind: 'hash', data: hashOf(id) }];
  }
  const { signature } = authentication;
  const own = ownCertificateFor(mainMode.policy, signature, mainMode.requestedAuthorities);
  if (own === undefined)
    throw new ExchangeError('no-certificate', `there is no certificate for ${signature.name} any more`);
  const id = identity === undefined ? subjectId(own.certificate.subject.der) : identityPayload(identity);
  const data = signHash(signature, own.privateKey.reveal(), hashOf(id), length => context.random(length));
  return [id, ...certificatePayloads(own), { kind: 'sig', data }];
}

/**
 * Checks who the peer is and its proof; returns its identity for people. `onAuthentic` is called when the message is
 * certainly of the side we exchanged keys with, before what it says of itself is judged. Throws `ExchangeError`.
 */
export function checkPeerProof(
  context: Context,
  mainMode: MainMode,
  basis: ProofBasis,
  chain: PayloadChain,
  onAuthentic: () => void,
): string {
  const id = requirePayload(chain, 'id');
  const peerSide = mainMode.role === 'initiator' ? 'responder' : 'initiator';
  const expected = proofHash(mainMode, peerSide, basis, id.body);
  const { authentication } = basis.choice;
  if (authentication.kind === 'preshared') {
    if (!macsEqual(requirePayload(chain, 'hash').payload.data, expected))
      throw new ExchangeError(
        'preshared-keys-differ',
        `HASH_${peerSide === 'initiator' ? 'I' : 'R'} is wrong: the preshared keys differ`,
      );
    onAuthentic();
  } else {
    const proof = requirePayload(chain, 'sig').payload.data;
    // Nobody but whom we exchanged keys with can have encrypted it, whoever that turns out to be.
    onAuthentic();
    const certificate = judgePeerCertificate(context, mainMode, chain, id.payload);
    if (!hashVerifies(authentication.signature, certificate.publicKey, expected, proof))
      throw new ExchangeError(
        'invalid-signature',
        `SIG_${peerSide === 'initiator' ? 'I' : 'R'} is wrong: it was not made with the key of ${certificate.subject.text}`,
      );
  }
  checkPeerIdentity(id.payload, mainMode.policy.peerIdentity);
  return printId(id.payload);
}

/** HASH_I or HASH_R, by the prf of the method: ECDSA has its own. */
function proofHash(
  mainMode: MainMode,
  side: Side,
  { choice, keys, values, saBody }: ProofBasis,
  idBody: Uint8Array,
): Uint8Array {
  const { authentication, method } = choice;
  const hash =
    (authentication.kind === 'certificate' ? authentication.signature.hash : undefined) ?? method.hash;
  return identityHash(mainMode, side, { hash, skeyid: keys.skeyid }, values, saBody, idBody);
}

/** The subject byte for byte as the certificate has it. */
function subjectId(der: Uint8Array): IdPayload {
  return { kind: 'id', idType: idTypes.DER_ASN1_DN, protocol: 0, port: 0, data: der };
}
