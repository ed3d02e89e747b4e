/**
 * The last two messages of main mode: who we are and the proof of it, and the same of the peer (RFC 2409 5.1, 5.4).
 *
 *   preshared key   ID, HASH
 *   signatures      ID, CERT+, SIG
 */
import type { OwnCertificate } from '../../crypto/certificates/credentials.js';
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
import { acceptJudgement, certificatePayloads, judgePeerCertificate } from './certificates.js';
import { type AuthenticationOffer, ownCertificateFor } from './offers.js';
import { hashVerifies, type SignatureMethod, signHash } from './signatures.js';

/** What both sides' proofs are made of. */
type ProofBasis = Pick<
  Extract<MainModeState, { stage: 'awaiting 6' }>,
  'saBody' | 'choice' | 'values' | 'keys'
>;

type Side = MainMode['role'];

/** Our identity and its proof. Throws `ExchangeError` (`no-certificate`) when the certificate for it is gone. */
export function ownProof(context: Context, mainMode: MainMode, basis: ProofBasis): Payload[] {
  const id = ownIdentity(mainMode, basis.choice.authentication);
  return [id, ...proofOf(context, mainMode, basis, id)];
}

/** Who we say we are. Throws `ExchangeError` (`no-certificate`). */
export function ownIdentity(
  mainMode: Pick<MainMode, 'local' | 'policy' | 'requestedAuthorities'>,
  authentication: AuthenticationOffer,
): IdPayload {
  const { identity } = mainMode.policy;
  if (identity !== undefined) return identityPayload(identity);
  if (authentication.kind === 'preshared')
    return identityPayload({ kind: 'address', address: mainMode.local });
  return subjectId(certificateFor(mainMode, authentication.signature).certificate.subject.der);
}

/** The proof that we are `id`: HASH, or CERT+ and SIG. Throws `ExchangeError` (`no-certificate`). */
export function proofOf(context: Context, mainMode: MainMode, basis: ProofBasis, id: IdPayload): Payload[] {
  const { authentication } = basis.choice;
  const hash = proofHash(mainMode, mainMode.role, basis, encodePayloadBody(id));
  if (authentication.kind === 'preshared') return [{ kind: 'hash', data: hash }];
  const { signature } = authentication;
  const own = certificateFor(mainMode, signature, id);
  const data = signHash(signature, own.privateKey.reveal(), hash, length => context.random(length));
  return [...certificatePayloads(own, mainMode), { kind: 'sig', data }];
}

/** Our certificate for a kind of signature; where its subject has been sent as our identity, that one. */
function certificateFor(
  { policy, requestedAuthorities }: Pick<MainMode, 'policy' | 'requestedAuthorities'>,
  signature: SignatureMethod,
  id?: IdPayload,
): OwnCertificate {
  const subject = id?.idType === idTypes.DER_ASN1_DN ? id.data : undefined;
  const own = ownCertificateFor(policy, signature, requestedAuthorities, subject);
  if (own === undefined)
    throw new ExchangeError('no-certificate', `there is no certificate for ${signature.name} any more`);
  return own;
}

/**
 * Checks who the peer is and its proof; returns its identity for people. `onReadable` is called when the message is
 * certainly of the side we exchanged keys with, before anyone hears whether it is who it says. `id` comes from elsewhere in
 * aggressive mode. Throws `ExchangeError`, or `CrlsWanted` before anything has changed.
 */
export function checkPeerProof(
  context: Context,
  mainMode: MainMode,
  basis: ProofBasis,
  chain: PayloadChain,
  onReadable: () => void,
  id = requirePayload(chain, 'id'),
): string {
  const peerSide = mainMode.role === 'initiator' ? 'responder' : 'initiator';
  const expected = proofHash(mainMode, peerSide, basis, id.body);
  const { authentication } = basis.choice;
  if (authentication.kind === 'preshared') {
    if (!macsEqual(requirePayload(chain, 'hash').payload.data, expected))
      throw new ExchangeError(
        'preshared-keys-differ',
        `HASH_${peerSide === 'initiator' ? 'I' : 'R'} is wrong: the preshared keys differ`,
      );
    onReadable();
  } else {
    const { signature } = authentication;
    const proof = requirePayload(chain, 'sig').payload.data;
    const judgement = judgePeerCertificate(context, mainMode, chain, id.payload, leaf =>
      hashVerifies(signature, leaf.publicKey, expected, proof),
    );
    // Nobody but whom we exchanged keys with can have encrypted it, whoever that turns out to be.
    onReadable();
    acceptJudgement(context, mainMode, judgement);
  }
  checkPeerIdentity(id.payload, mainMode.policy.peerIdentity);
  mainMode.peerId = id.payload;
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
