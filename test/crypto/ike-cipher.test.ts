import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EncryptionId } from '../../src/crypto/algorithms.js';
import { cbcDecrypt, cbcEncrypt } from '../../src/crypto/ike-cipher.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';

/** FIPS 81 appendix C, NIST SP 800-67 / 800-20, and NIST SP 800-38A F.2. */
const vectors: [string, EncryptionId, string, string, string, string][] = [
  [
    'FIPS 81 DES-CBC',
    'des',
    '0123456789abcdef',
    '1234567890abcdef',
    Buffer.from('Now is the time for all ').toString('hex'),
    'e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6',
  ],
  [
    'RFC 3602 case 1 AES-128-CBC',
    'aes128',
    '06a9214036b8a15b512e03d534120006',
    '3dafba429d9eb430b422da802c9fac41',
    Buffer.from('Single block msg').toString('hex'),
    'e353779c1079aeb82708942dbe77181a',
  ],
  [
    'SP 800-38A F.2.3 AES-192-CBC',
    'aes192',
    '8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b',
    '000102030405060708090a0b0c0d0e0f',
    '6bc1bee22e409f96e93d7e117393172a',
    '4f021db243bc633d7178183a9fa071e8',
  ],
  [
    'SP 800-38A F.2.5 AES-256-CBC',
    'aes256',
    '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4',
    '000102030405060708090a0b0c0d0e0f',
    '6bc1bee22e409f96e93d7e117393172a',
    'f58c4c04d6e5f1ba779eabfb5f7bfbd6',
  ],
];

describe('IKE ciphers', () => {
  for (const [name, cipher, key, iv, plaintext, ciphertext] of vectors)
    test(name, () => {
      assert.equal(toHex(cbcEncrypt(cipher, fromHex(key), fromHex(iv), fromHex(plaintext))), ciphertext);
      assert.equal(toHex(cbcDecrypt(cipher, fromHex(key), fromHex(iv), fromHex(ciphertext))), plaintext);
    });

  test('3DES with one key three times is DES; with three keys it is E(D(E))', () => {
    const iv = fromHex('1234567890abcdef');
    const text = fromHex('0011223344556677');
    const [k1, k2, k3] = ['0123456789abcdef', '23456789abcdef01', '456789abcdef0123'].map(fromHex);
    assert.ok(k1 && k2 && k3);
    const zero = new Uint8Array(8);
    const mixed = text.map((byte, i) => byte ^ (iv[i] ?? 0));
    const expected = cbcEncrypt(
      'des',
      k3,
      zero,
      cbcDecrypt('des', k2, zero, cbcEncrypt('des', k1, zero, mixed)),
    );
    assert.equal(toHex(cbcEncrypt('3des', Buffer.concat([k1, k2, k3]), iv, text)), toHex(expected));
  });

  test('a cipher IKE cannot use is a programming error', () => {
    assert.throws(
      () => cbcEncrypt('null', new Uint8Array(0), new Uint8Array(8), new Uint8Array(8)),
      TypeError,
    );
  });
});
