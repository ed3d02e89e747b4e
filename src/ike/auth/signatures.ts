/** The signature methods of phase 1: what is hashed with what, and signed how (RFC 2409 5.1, RFC 4754, ike.md 4.8). */
import type { KeyObject } from 'node:crypto';
import type { HashId } from '../../crypto/algorithms.js';
import { type EcdsaCurve, ecdsaSign, ecdsaVerifies } from '../../crypto/ecdsa.js';
import { rsaSign, rsaVerifies } from '../../crypto/rsa-signature.js';
import { authenticationMethods } from '../../wire/isakmp/numbers.js';

export interface SignatureMethod {
  /** Value of the authentication attribute. */
  readonly id: number;
  readonly name: string;
  /** Of the key; absent for RSA. */
  readonly curve?: EcdsaCurve;
  /** The hash of the prf that makes HASH_I and HASH_R; the negotiated one when absent. */
  readonly hash?: HashId;
}

export const signatureMethods: readonly SignatureMethod[] = [
  { id: authenticationMethods['RSA signatures'], name: 'RSA signatures' },
  { id: authenticationMethods['ECDSA-256'], name: 'ECDSA-256', curve: 'prime256v1', hash: 'sha256' },
  { id: authenticationMethods['ECDSA-384'], name: 'ECDSA-384', curve: 'secp384r1', hash: 'sha384' },
  { id: authenticationMethods['ECDSA-521'], name: 'ECDSA-521', curve: 'secp521r1', hash: 'sha512' },
];

/** Signs HASH_I or HASH_R. `random` draws what ECDSA needs anew for each signature. */
export function signHash(
  { curve }: SignatureMethod,
  key: KeyObject,
  hash: Uint8Array,
  random: (length: number) => Uint8Array,
): Uint8Array {
  return curve === undefined ? rsaSign(key, hash) : ecdsaSign(curve, key, hash, random);
}

/** Whether the owner of a key of this method signed `hash`; never throws on what a peer can send. */
export function hashVerifies(
  { curve }: SignatureMethod,
  key: KeyObject,
  hash: Uint8Array,
  signature: Uint8Array,
): boolean {
  return curve === undefined ? rsaVerifies(key, hash, signature) : ecdsaVerifies(curve, key, hash, signature);
}
