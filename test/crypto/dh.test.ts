import assert from 'node:assert/strict';
import { createECDH, getDiffieHellman, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { dhGroups, type GroupId, group, groupIds } from '../../src/crypto/algorithms.js';
import {
  agree,
  generateKeyPair,
  InvalidPublicValue,
  keyPairOf,
  publicValueBytes,
} from '../../src/crypto/dh.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';

/** The other side's public value, and the secret it comes to, both by OpenSSL alone. */
function opensslAgreement(id: GroupId, peerValue: Uint8Array): { publicValue: Uint8Array; secret: string } {
  const row = group(id);
  const pad = (value: Buffer, bytes: number) => fromHex(value.toString('hex').padStart(2 * bytes, '0'));
  if (row.kind === 'ecp') {
    const judge = createECDH(row.curve);
    const publicValue = Uint8Array.from(judge.generateKeys()).subarray(1);
    return { publicValue, secret: toHex(judge.computeSecret(Uint8Array.of(4, ...peerValue))) };
  }
  const judge = getDiffieHellman(row.nodeName);
  const publicValue = pad(judge.generateKeys(), row.bytes);
  return { publicValue, secret: toHex(pad(judge.computeSecret(peerValue), row.bytes)) };
}

const rfc5903: readonly { id: GroupId; i: string; gi: string; r: string; gr: string; secret: string }[] = [
  {
    id: 19,
    i: 'C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433',
    gi: `DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180
      5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3`,
    r: 'C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53',
    gr: `D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63
      56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB`,
    secret: 'D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE',
  },
  {
    id: 20,
    i: `099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194`,
    gi: `667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA
      9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C`,
    r: '41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC',
    gr: `E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571
      DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C`,
    secret:
      '11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746',
  },
  {
    id: 21,
    i: `0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A0
      95AA85A30FE1C2952C6771D937BA9777F5957B2639BAB072462F68C27A57382D4A52`,
    gi: `0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBEE1E3BF42E00B8E380AEAE57C2D107564941885942AF5A7F4601723C4195D176CED3E
      017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10AD8A788015AC405D7799DC75E7B7D5B6CF2261A6A7F1507438BF01BEB6CA3926F9582`,
    r: `0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E
      9C677D600B343757A3BDBF2A3163E4C2F869CCA7458AA4A4EFFC311F5CB151685EB9`,
    gr: `00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A219B97C356436ADC6E95BB0352F6BE64A6C2912D4EF2D0433CED2B6171640012D9460F
      015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87220B6536C5C408A1D2AEBB8E86D678AE49CB57091F4732296579AB44FCD17F0FC56A`,
    secret: `01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04
      D1427E73CA4BAA240A34786859810C06B3C715A3A8CC3151F2BEE417996D19F3DDEA`,
  },
];

describe('Diffie-Hellman', () => {
  for (const id of groupIds)
    test(`group ${id}: both sides agree, and OpenSSL's own named group agrees with us`, () => {
      const a = generateKeyPair(id, randomBytes);
      const b = generateKeyPair(id, randomBytes);
      assert.equal(a.publicValue.length, publicValueBytes(id));
      const secret = agree(a, b.publicValue);
      assert.equal(secret.length, publicValueBytes(id) / (group(id).kind === 'modp' ? 1 : 2));
      assert.equal(toHex(secret), toHex(agree(b, a.publicValue)));
      const judged = opensslAgreement(id, a.publicValue);
      assert.equal(toHex(agree(a, judged.publicValue)), judged.secret);
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
      const bytes = publicValueBytes(id);
      const number = (value: bigint) => fromHex(value.toString(16).padStart(2 * bytes, '0'));
      const p = BigInt(`0x${prime}`);
      for (const bad of [0n, 1n, p - 1n, p, p + 1n])
        assert.throws(() => agree(own, number(bad)), InvalidPublicValue, `group ${id}: ${bad}`);
      for (const good of [2n, p - 2n]) assert.equal(agree(own, number(good)).length, bytes);
      assert.throws(() => agree(own, number(2n).subarray(1)), InvalidPublicValue);
      assert.throws(() => agree(own, new Uint8Array(bytes + 1).fill(2)), InvalidPublicValue);
    }
  });

  for (const { id, i, gi, r, gr, secret } of rfc5903)
    test(`group ${id}: the vector of RFC 5903 8`, () => {
      const a = keyPairOf(id, fromHex(i));
      const b = keyPairOf(id, fromHex(r));
      assert.equal(toHex(a.publicValue), toHex(fromHex(gi)));
      assert.equal(toHex(b.publicValue), toHex(fromHex(gr)));
      assert.equal(toHex(agree(a, b.publicValue)), toHex(fromHex(secret)));
      assert.equal(toHex(agree(b, a.publicValue)), toHex(fromHex(secret)));
    });

  test('a point that is not on the curve, is infinite, or has a wrong length is refused', () => {
    for (const id of [19, 20, 21] as const) {
      const own = generateKeyPair(id, randomBytes);
      const { publicValue } = generateKeyPair(id, randomBytes);
      const bytes = publicValueBytes(id);
      const moved = publicValue.map((byte, i) => (i === bytes - 1 ? byte ^ 1 : byte));
      const beyondThePrime = publicValue.map((byte, i) => (i < bytes / 2 ? 0xff : byte));
      for (const bad of [moved, beyondThePrime, new Uint8Array(bytes), new Uint8Array(bytes).fill(0xff)])
        assert.throws(() => agree(own, bad), InvalidPublicValue, `group ${id}: ${toHex(bad)}`);
      for (const length of [1, bytes / 2, bytes - 1, bytes + 1])
        assert.throws(() => agree(own, new Uint8Array(length)), InvalidPublicValue);
      assert.throws(() => agree(own, Uint8Array.of(4, ...publicValue)), InvalidPublicValue);
    }
  });

  test('every random exponent of a curve is valid', () => {
    for (const id of [19, 20, 21] as const) {
      const highest = generateKeyPair(id, length => new Uint8Array(length).fill(0xff));
      const other = generateKeyPair(id, randomBytes);
      assert.equal(toHex(agree(highest, other.publicValue)), toHex(agree(other, highest.publicValue)));
    }
  });

  test('the exponent is a secret', () => {
    const own = generateKeyPair(1, randomBytes);
    assert.equal(JSON.parse(JSON.stringify(own)).exponent, '(not shown)');
  });
});
