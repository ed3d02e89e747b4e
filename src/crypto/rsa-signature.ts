/**
 * Signatures of IKE's hashes as main mode has them: RSA by PKCS#1 block type 1 over the hash itself, without the
 * DigestInfo every other protocol puts around it (RFC 2409 5.1).
 */
import { constants, type KeyObject, privateEncrypt, publicDecrypt } from 'node:crypto';
import { bytesEqual } from '../wire/bytes.js';

const padding = constants.RSA_PKCS1_PADDING;

export function rsaSign(privateKey: KeyObject, hash: Uint8Array): Uint8Array {
  return Uint8Array.from(privateEncrypt({ key: privateKey, padding }, hash));
}

/** Whether the key's owner signed this hash; never throws on what a peer can send. */
export function rsaVerifies(publicKey: KeyObject, hash: Uint8Array, signature: Uint8Array): boolean {
  const recovered = rsaRecovered(publicKey, signature);
  return recovered !== undefined && bytesEqual(recovered, hash);
}

/** What the key's owner signed; `undefined` when another key made the signature. */
export function rsaRecovered(publicKey: KeyObject, signature: Uint8Array): Uint8Array | undefined {
  try {
    return publicDecrypt({ key: publicKey, padding }, signature);
  } catch {
    return undefined;
  }
}
