/** The ways to authenticate that a policy and the credentials at hand allow, in order of preference. */

import { type CertificateKey, printKey } from '../../crypto/certificates/certificate.js';
import {
  isUnderAuthority,
  noCredentials,
  type OwnCertificate,
} from '../../crypto/certificates/credentials.js';
import type { Secret } from '../../crypto/secret.js';
import type { CertificateMethod } from '../../policy/model.js';
import { bytesEqual } from '../../wire/bytes.js';
import { authenticationMethods, xauthMethods } from '../../wire/isakmp/numbers.js';
import type { FailureReason, MainModePolicy } from '../api.js';
import { type SignatureMethod, signatureMethods } from './signatures.js';

/** One value of the authentication attribute, with what it takes. */
export type AuthenticationOffer =
  | { readonly kind: 'preshared'; readonly id: number; readonly key: Secret<string> }
  | { readonly kind: 'certificate'; readonly id: number; readonly signature: SignatureMethod };

/** What we can offer and accept. Several CAs and the certificates under them make one offer a kind of key. */
export function authenticationOffers(
  policy: MainModePolicy,
  role: 'initiator' | 'responder' = 'initiator',
): AuthenticationOffer[] {
  const offers: AuthenticationOffer[] = [];
  for (const method of policy.authentication) {
    if (method.kind === 'preshared')
      offers.push({ kind: 'preshared', id: authenticationMethods['pre-shared key'], key: method.key });
    if (method.kind === 'certificate')
      for (const { certificate } of ownCertificates(policy, method)) {
        const signature = signatureMethodOf(certificate.key);
        if (signature !== undefined) offers.push({ kind: 'certificate', id: signature.id, signature });
      }
  }
  const distinct = offers.filter(({ id }, i) => offers.findIndex(other => other.id === id) === i);
  return policy.xauth === undefined ? distinct : distinct.flatMap(offer => withXauth(offer, role));
}

/** The same way, with the user's own proof after it: we are the user, whichever side begins. None by ECDSA. */
function withXauth(offer: AuthenticationOffer, role: 'initiator' | 'responder'): AuthenticationOffer[] {
  if (offer.kind === 'preshared')
    return [
      { ...offer, id: xauthMethods[role === 'initiator' ? 'presharedInitiator' : 'presharedResponder'] },
    ];
  if (offer.id !== authenticationMethods['RSA signatures']) return [];
  return [{ ...offer, id: xauthMethods[role === 'initiator' ? 'rsaInitiator' : 'rsaResponder'] }];
}

/** Why there is no offer at all, as a failure of ours. */
export function nothingToOffer(policy: MainModePolicy): {
  readonly reason: FailureReason;
  readonly text: string;
} {
  const authorities = certificateMethods(policy).map(({ authority }) => `"${authority}"`);
  if (authorities.length > 0) {
    const others = (policy.credentials ?? noCredentials).own.map(
      ({ certificate }) =>
        `${certificate.subject.text} (${printKey(certificate.key)}) of ${certificate.issuer.text}`,
    );
    return {
      reason: 'no-certificate',
      text: `no certificate with a private key under ${authorities.join(' or ')}; at hand: ${others.join(', ') || 'none'}`,
    };
  }
  const kinds = policy.authentication.map(({ kind }) => kind).join(', ');
  return { reason: 'authentication-unsupported', text: `it authenticates only by ${kinds || 'nothing'}` };
}

/** The certificate methods of a policy. */
export function certificateMethods({ authentication }: MainModePolicy): CertificateMethod[] {
  return authentication.flatMap(method => (method.kind === 'certificate' ? [method] : []));
}

/** Our certificates under the CA of a method, preferred first. */
function ownCertificates({ credentials = noCredentials }: MainModePolicy, method: CertificateMethod) {
  return credentials.own.filter(own => isUnderAuthority(own, method.authority));
}

/**
 * Our certificate for an agreed kind of signature: one under a CA the peer has asked for (`requested`, DER Names),
 * else the preferred one; of a given `subject` (DER) where that has been promised.
 */
export function ownCertificateFor(
  policy: MainModePolicy,
  signature: SignatureMethod,
  requested: readonly Uint8Array[],
  subject?: Uint8Array,
): OwnCertificate | undefined {
  const candidates = certificateMethods(policy)
    .flatMap(method => ownCertificates(policy, method))
    .filter(({ certificate }) => signatureMethodOf(certificate.key)?.id === signature.id)
    .filter(({ certificate }) => subject === undefined || bytesEqual(certificate.subject.der, subject));
  const asked = new Set(requested.map(name => Buffer.from(name).toString('hex')));
  const isAsked = ({ certificate, chain }: OwnCertificate) =>
    [certificate, ...chain].some(({ issuer }) => asked.has(Buffer.from(issuer.der).toString('hex')));
  return candidates.find(isAsked) ?? candidates[0];
}

function signatureMethodOf(key: CertificateKey): SignatureMethod | undefined {
  return signatureMethods.find(({ curve }) =>
    key.kind === 'ec' ? curve === key.curve : key.kind === 'rsa' && curve === undefined,
  );
}
