/** A cipher in OpenSSL's words. */
import type { EncryptionAlgorithm } from './algorithms.js';

/** Throws `TypeError` for one that is no CBC cipher. */
export function opensslName(row: EncryptionAlgorithm): string {
  if (row.opensslName === undefined) throw new TypeError(`${row.name} is no CBC cipher`);
  return row.opensslName;
}

/** OpenSSL 3 refuses single DES; triple DES with the key three times is the same function. */
export function opensslKey(row: EncryptionAlgorithm, key: Uint8Array): Uint8Array {
  return row.opensslName === 'des-ede3-cbc' && row.keyBytes === 8 ? Buffer.concat([key, key, key]) : key;
}
