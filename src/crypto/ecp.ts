/** Diffie-Hellman on the curves of RFC 5903, in IKE's form: no leading octet, all numbers at full length. */
import { createECDH } from 'node:crypto';
import type { EcpGroup } from './algorithms.js';
import { leftPad } from './left-pad.js';

/** OpenSSL writes a point as this octet, X and Y; IKE leaves it out. */
const uncompressed = 0x04;

/** X | Y of the generator times `exponent`, which lies in 1 … n-1. */
export function ecpPublicValue(group: EcpGroup, exponent: Uint8Array): Uint8Array {
  const key = createECDH(group.curve);
  key.setPrivateKey(exponent);
  return Uint8Array.from(key.getPublicKey()).subarray(1);
}

/** X of the shared point; `undefined` when `peerValue` is not a point of the curve. */
export function ecpAgree(
  group: EcpGroup,
  exponent: Uint8Array,
  peerValue: Uint8Array,
): Uint8Array | undefined {
  const key = createECDH(group.curve);
  key.setPrivateKey(exponent);
  try {
    const secret = key.computeSecret(Buffer.concat([Uint8Array.of(uncompressed), peerValue]));
    return leftPad(secret, group.coordinateBytes);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY') return undefined;
    throw error;
  }
}
