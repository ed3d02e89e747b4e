import assert from 'node:assert/strict';
import { getDiffieHellman, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { dhGroups, group, groupIds } from '../../src/crypto/algorithms.js';
import { agree, generateKeyPair, InvalidPublicValue } from '../../src/crypto/dh.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';

describe('Diffie-Hellman', () => {
  for (const id of groupIds)
    test(`group ${id}: both sides agree, and OpenSSL's own named group agrees with us`, () => {
      const a = generateKeyPair(id, randomBytes);
      const b = generateKeyPair(id, randomBytes);
      assert.equal(a.publicValue.length, group(id).bytes);
      const secret = agree(a, b.publicValue);
      assert.equal(secret.length, group(id).bytes);
      assert.equal(toHex(secret), toHex(agree(b, a.publicValue)));

      const judge = getDiffieHellman(dhGroups[id].nodeName);
      const judgeValue = new Uint8Array(group(id).bytes);
      const short = judge.generateKeys();
      judgeValue.set(short, judgeValue.length - short.length);
      const judged = toHex(judge.computeSecret(a.publicValue)).padStart(2 * group(id).bytes, '0');
      assert.equal(toHex(agree(a, judgeValue)), judged);
    });

  test('against plain modular exponentiation', () => {
    const prime = BigInt(`0x${getDiffieHellman('modp1').getPrime('hex')}`);
    const power = (base: bigint, exponent: bigint) => {
      let result = 1n;
      for (let bits = exponent, square = base; bits > 0n; bits >>= 1n, square = (square * square) % prime)
        if (bits & 1n) result = (result * square) % prime;
      return result;
    };
    const own = generateKeyPair(1, randomBytes);
    const x = BigInt(`0x${toHex(own.exponent.reveal())}`);
    assert.equal(BigInt(`0x${toHex(own.publicValue)}`), power(2n, x));
    const other = generateKeyPair(1, randomBytes);
    assert.equal(
      BigInt(`0x${toHex(agree(own, other.publicValue))}`),
      power(BigInt(`0x${toHex(other.publicValue)}`), x),
    );
  });

  test('a short public value is padded on the left (seed found by search)', () => {
    for (let n = 0; ; n++) {
      const seed = new Uint8Array(32);
      new DataView(seed.buffer).setUint32(28, n);
      const pair = generateKeyPair(1, () => seed);
      assert.equal(pair.publicValue.length, 96);
      if (pair.publicValue[0] !== 0) continue;
      const other = generateKeyPair(1, randomBytes);
      assert.equal(toHex(agree(pair, other.publicValue)), toHex(agree(other, pair.publicValue)));
      break;
    }
  });

  test('0, 1, p-1, p, more than p and a wrong length are refused', () => {
    for (const id of [1, 2, 14] as const) {
      const own = generateKeyPair(id, randomBytes);
      const prime = getDiffieHellman(dhGroups[id].nodeName).getPrime('hex');
      const bytes = group(id).bytes;
      const number = (value: bigint) => fromHex(value.toString(16).padStart(2 * bytes, '0'));
      const p = BigInt(`0x${prime}`);
      for (const bad of [0n, 1n, p - 1n, p, p + 1n])
        assert.throws(() => agree(own, number(bad)), InvalidPublicValue, `group ${id}: ${bad}`);
      for (const good of [2n, p - 2n]) assert.equal(agree(own, number(good)).length, bytes);
      assert.throws(() => agree(own, number(2n).subarray(1)), InvalidPublicValue);
      assert.throws(() => agree(own, new Uint8Array(bytes + 1).fill(2)), InvalidPublicValue);
    }
  });

  test('the exponent is a secret', () => {
    const own = generateKeyPair(1, randomBytes);
    assert.equal(JSON.parse(JSON.stringify(own)).exponent, '(not shown)');
  });
});
