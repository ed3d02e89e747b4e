/** The CBC ciphers that protect IKE messages (RFC 2409 appendix B): whole blocks in, whole blocks out. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { type EncryptionId, encryption } from './algorithms.js';
import { opensslKey, opensslName } from './openssl-cipher.js';

/** Encrypts `plaintext`, whose length must be a multiple of the cipher's block, with a whole-block `iv`. */
export function cbcEncrypt(
  cipher: EncryptionId,
  key: Uint8Array,
  iv: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const row = encryption(cipher);
  const state = createCipheriv(opensslName(row), opensslKey(row, key), iv).setAutoPadding(false);
  return Buffer.concat([state.update(plaintext), state.final()]);
}

/** The reverse of `cbcEncrypt`. */
export function cbcDecrypt(
  cipher: EncryptionId,
  key: Uint8Array,
  iv: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  const row = encryption(cipher);
  const state = createDecipheriv(opensslName(row), opensslKey(row, key), iv).setAutoPadding(false);
  return Buffer.concat([state.update(ciphertext), state.final()]);
}
