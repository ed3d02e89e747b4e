import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex, toHex, WireError } from '../../src/wire/bytes.js';
import {
  classifyEncapsulated,
  decodeEsp,
  decodeEspTrailer,
  type EspLayout,
  encodeEsp,
  espHeaderBytes,
  largestPayload,
  paddedBytes,
  suitsLayout,
  writeEspTrailer,
} from '../../src/wire/esp.js';
import { SeededRandom } from '../support/random.js';

const layouts: EspLayout[] = [
  { ivBytes: 8, blockBytes: 8, icvBytes: 12 },
  { ivBytes: 16, blockBytes: 16, icvBytes: 0 },
  { ivBytes: 16, blockBytes: 16, icvBytes: 32 },
  { ivBytes: 8, blockBytes: 4, icvBytes: 16 },
  { ivBytes: 0, blockBytes: 4, icvBytes: 12 },
];

describe('ESP packets', () => {
  test('the 3DES-SHA1 packet of esp-ah.md comes apart and goes together', () => {
    const bytes = fromHex(`00001001 00000001 a0a1a2a3a4a5a6a7
      213041748600b8f7f529559e8f0513394b7ebbd1a9d66700840bc7b15d2f11dc f6d95076d546f3f2d7423791`);
    const packet = decodeEsp(bytes, { ivBytes: 8, blockBytes: 8, icvBytes: 12 });
    assert.equal(packet.spi, 0x1001);
    assert.equal(packet.sequence, 1);
    assert.equal(toHex(packet.iv), 'a0a1a2a3a4a5a6a7');
    assert.equal(packet.ciphertext.length, 32);
    assert.equal(toHex(packet.icv), 'f6d95076d546f3f2d7423791');
    assert.equal(toHex(encodeEsp(packet)), toHex(bytes));
  });

  test('what decodes encodes back, for every length and layout', () => {
    const random = new SeededRandom(2406);
    for (const layout of layouts) {
      let fits = 0;
      for (let length = 0; length < 160; length++) {
        const bytes = random.bytes(length);
        if (!suitsLayout(bytes, layout)) {
          assert.throws(() => decodeEsp(bytes, layout), WireError);
          continue;
        }
        fits++;
        assert.equal(toHex(encodeEsp(decodeEsp(bytes, layout))), toHex(bytes));
      }
      assert.ok(fits > 5);
    }
  });

  test('padding is 1, 2, 3 … up to the block', () => {
    const plaintext = new Uint8Array(paddedBytes(5, 8));
    assert.equal(plaintext.length, 8);
    writeEspTrailer(plaintext, 5, 8, 17);
    assert.equal(toHex(plaintext.subarray(5)), '010111');
    const more = new Uint8Array(paddedBytes(7, 16));
    writeEspTrailer(more, 7, more.length, 4);
    assert.equal(toHex(more.subarray(7)), '01020304050607' + '0704');
    assert.deepEqual(decodeEspTrailer(more), { payloadBytes: 7, nextHeader: 4 });
  });

  test('a pad length beyond the packet is an error, one that fills it is not', () => {
    assert.throws(() => decodeEspTrailer(fromHex('00000701')), { name: 'WireError', reason: 'bad-value' });
    assert.deepEqual(decodeEspTrailer(fromHex('00000201')), { payloadBytes: 0, nextHeader: 1 });
    assert.throws(() => decodeEspTrailer(fromHex('01')), WireError);
  });

  test('the largest payload fits and one byte more does not', () => {
    for (const layout of layouts) {
      const total = (payload: number) =>
        espHeaderBytes + layout.ivBytes + paddedBytes(payload, layout.blockBytes) + layout.icvBytes;
      for (let room = 120; room < 220; room++) {
        const payload = largestPayload(room, layout);
        assert.ok(total(payload) <= room);
        assert.ok(total(payload + 1) > room);
      }
    }
  });
});

describe('UDP port 4500', () => {
  test('keepalive, IKE, ESP and rubbish are told apart', () => {
    assert.equal(classifyEncapsulated(fromHex('ff')), 'keepalive');
    assert.equal(classifyEncapsulated(fromHex('00000000 0102030405060708')), 'ike');
    assert.equal(classifyEncapsulated(fromHex('00000100 00000001')), 'esp');
    for (const short of ['', '00', '00000000', '00000100000000'])
      assert.equal(classifyEncapsulated(fromHex(short)), 'malformed', short);
  });
});
