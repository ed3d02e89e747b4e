/** DES key rules: odd parity, and the keys RFC 2405 and RFC 2451 forbid (`FIPS 46-3`, weak and semi-weak). */
import { bytesEqual, toHex } from '../wire/bytes.js';
import type { EncryptionId } from './algorithms.js';

const desKeyBytes = 8;

const weakDesKeys = new Set([
  '0101010101010101',
  'fefefefefefefefe',
  '1f1f1f1f0e0e0e0e',
  'e0e0e0e0f1f1f1f1',
  '011f011f010e010e',
  '1f011f010e010e01',
  '01e001e001f101f1',
  'e001e001f101f101',
  '01fe01fe01fe01fe',
  'fe01fe01fe01fe01',
  '1fe01fe00ef10ef1',
  'e01fe01ff10ef10e',
  '1ffe1ffe0efe0efe',
  'fe1ffe1ffe0efe0e',
  'e0fee0fef1fef1fe',
  'fee0fee0fef1fef1',
]);

/** The key with the lowest bit of every byte set so that the byte has an odd number of ones. */
export function withOddParity(key: Uint8Array): Uint8Array {
  return key.map(byte => {
    let parity = 1;
    for (let bits = byte >>> 1; bits !== 0; bits >>>= 1) parity ^= bits & 1;
    return (byte & 0xfe) | parity;
  });
}

/**
 * Whether a DES or 3DES key must not be used: a weak or semi-weak third, or two neighbouring thirds alike.
 * Always false for other ciphers.
 */
export function isWeakKey(encryption: EncryptionId, key: Uint8Array): boolean {
  if (encryption !== 'des' && encryption !== '3des') return false;
  const adjusted = withOddParity(key);
  const thirds: Uint8Array[] = [];
  for (let start = 0; start < adjusted.length; start += desKeyBytes)
    thirds.push(adjusted.subarray(start, start + desKeyBytes));
  return thirds.some((third, i) => {
    const next = thirds[i + 1];
    return weakDesKeys.has(toHex(third)) || (next !== undefined && bytesEqual(third, next));
  });
}
