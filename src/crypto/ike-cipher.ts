/** The CBC ciphers that protect IKE messages (RFC 2409 appendix B): whole blocks in, whole blocks out. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { type EncryptionId, encryption } from './algorithms.js';

/** Encrypts `plaintext`, whose length must be a multiple of the cipher's block, with a whole-block `iv`. */
export function cbcEncrypt(
  cipher: EncryptionId,
  key: Uint8Array,
  iv: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const state = createCipheriv(opensslName(cipher), opensslKey(cipher, key), iv).setAutoPadding(false);
  return Buffer.concat([state.update(plaintext), state.final()]);
}

/** The reverse of `cbcEncrypt`. */
export function cbcDecrypt(
  cipher: EncryptionId,
  key: Uint8Array,
  iv: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  const state = createDecipheriv(opensslName(cipher), opensslKey(cipher, key), iv).setAutoPadding(false);
  return Buffer.concat([state.update(ciphertext), state.final()]);
}

function opensslName(cipher: EncryptionId): string {
  const name = encryption(cipher).opensslName;
  if (name === undefined) throw new TypeError(`${cipher} cannot encrypt IKE messages`);
  return name;
}

/** OpenSSL 3 refuses single DES; triple DES with the key three times is the same function. */
function opensslKey(cipher: EncryptionId, key: Uint8Array): Uint8Array {
  return cipher === 'des' ? Buffer.concat([key, key, key]) : key;
}
