import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import { hash, hashIds } from '../../src/crypto/algorithms.js';
import { PacketMac } from '../../src/crypto/packet-mac.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';
import { SeededRandom } from '../support/random.js';

const hiThere = new TextEncoder().encode('Hi There');

/** RFC 2202 cases 1, RFC 4868 2.7.2 (keys of the length ESP uses), cut to the ICV. */
const vectors = [
  { hash: 'md5', keyBytes: 16, icv: '9294727a3638bb1c13f48ef8' },
  { hash: 'sha1', keyBytes: 20, icv: 'b617318655057264e28bc0b6' },
  { hash: 'sha256', keyBytes: 32, icv: '198a607eb44bfbc69903a0f1cf2bbdc5' },
  { hash: 'sha384', keyBytes: 48, icv: 'b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973' },
  {
    hash: 'sha512',
    keyBytes: 64,
    icv: '637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8',
  },
] as const;

function signed(mac: PacketMac, message: Uint8Array): Uint8Array {
  const icv = new Uint8Array(mac.icvBytes);
  mac.load(message, 0, message.length);
  mac.sign(icv, 0);
  return icv;
}

describe('packet HMAC', () => {
  for (const vector of vectors) {
    test(`${vector.hash}: published vector, cut to the ICV`, () => {
      const mac = new PacketMac(vector.hash, new Uint8Array(vector.keyBytes).fill(0x0b));
      assert.equal(toHex(signed(mac, hiThere)), vector.icv);
      mac.load(hiThere, 0, hiThere.length);
      assert.equal(mac.verify(fromHex(vector.icv), 0), true);
    });
  }

  test('equals an independent HMAC for random keys and lengths up to the longest packet', () => {
    const random = new SeededRandom(2104);
    const all = hashIds.map(id => ({ id, key: random.bytes(hash(id).digestBytes) }));
    const macs = all.map(({ id, key }) => new PacketMac(id, key));
    for (const length of [0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 1400, 65_575]) {
      const message = random.bytes(length);
      all.forEach(({ id, key }, i) => {
        const mac = macs[i];
        assert.ok(mac);
        const expected = createHmac(hash(id).opensslName, key).update(message).digest();
        assert.equal(toHex(signed(mac, message)), toHex(expected.subarray(0, hash(id).icvBytes)));
      });
    }
  });

  test('a change in any ICV byte is seen', () => {
    const mac = new PacketMac('sha256', new Uint8Array(32).fill(7), 12);
    const icv = signed(mac, hiThere);
    assert.equal(icv.length, 12);
    for (let i = 0; i < icv.length; i++) {
      const wrong = Uint8Array.from(icv);
      wrong[i] = (wrong[i] ?? 0) ^ 1;
      mac.load(hiThere, 0, hiThere.length);
      assert.equal(mac.verify(wrong, 0), false, `byte ${i}`);
    }
  });

  test('a key of the wrong length is refused', () => {
    assert.throws(() => new PacketMac('sha1', new Uint8Array(16)), RangeError);
  });
});
