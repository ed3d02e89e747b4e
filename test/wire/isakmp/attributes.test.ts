import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex, toHex, WireError } from '../../../src/wire/bytes.js';
import {
  attributeNumber,
  decodeAttributes,
  encodeAttributes,
  printAttributes,
  shortestNumber,
  tlv,
  tlvNumber,
  tv,
} from '../../../src/wire/isakmp/attributes.js';
import { SeededRandom } from '../../support/random.js';
import { randomAttributes } from './random-payloads.js';

describe('forms', () => {
  test('life duration as strongSwan and as Windows write it', () => {
    assert.equal(toHex(encodeAttributes([shortestNumber(12, 28800)])), '800c7080');
    assert.equal(toHex(encodeAttributes([tlvNumber(12, 28800)])), '000c000400007080');
    assert.equal(toHex(encodeAttributes([shortestNumber(2, 250_000)])), '000200040003d090');
  });

  test('what decodes encodes to the same bytes', () => {
    const bytes = fromHex('800c7080 000c0004 00007080 4000 0004 41004200 000c0000 000c0003 000001');
    assert.equal(toHex(encodeAttributes(decodeAttributes(bytes))), toHex(bytes));
  });

  test('random lists', () => {
    const seed = 11;
    console.log(`attributes seed ${seed}`);
    const random = new SeededRandom(seed);
    for (let run = 0; run < 500; run++) {
      const attributes = randomAttributes(random, 40);
      assert.deepEqual(decodeAttributes(encodeAttributes(attributes)), attributes);
    }
  });

  test('an attribute cut short is an error', () => {
    assert.throws(() => decodeAttributes(fromHex('000c0004 000070')), WireError);
    assert.throws(() => decodeAttributes(fromHex('800c70')), WireError);
  });

  test('a number that does not fit is refused', () => {
    assert.throws(() => tlvNumber(12, 2 ** 32), RangeError);
  });
});

describe('numbers', () => {
  const cases = [
    ['short form', tv(12, 28800), 28800],
    ['1 byte', tlv(12, fromHex('07')), 7],
    ['4 bytes', tlv(12, fromHex('ffffffff')), 0xffffffff],
    ['8 bytes, small', tlv(12, fromHex('0000000000000e10')), 3600],
    ['8 bytes, huge', tlv(12, fromHex('ffffffffffffffff')), Number.MAX_SAFE_INTEGER],
    ['many bytes', tlv(12, new Uint8Array(2000).fill(0xff)), Number.MAX_SAFE_INTEGER],
    ['empty', tlv(12, new Uint8Array(0)), undefined],
  ] as const;
  for (const [name, attribute, expected] of cases)
    test(name, () => assert.equal(attributeNumber(attribute), expected));
});

test('printed with the names of their protocol', () => {
  const attributes = [
    tv(1, 5),
    tlvNumber(12, 28800),
    tv(4, 2),
    tv(99, 3),
    tlv(16384, fromHex('41004200430044')),
  ];
  assert.deepEqual(printAttributes(attributes, 1), [
    'encryption 3DES (5)',
    'life duration 28800, 4 bytes',
    'group MODP1024 (2)',
    '99 3',
    'GSS identity name 41004200430044',
  ]);
  assert.deepEqual(printAttributes([tv(4, 61444), tlv(5, new Uint8Array(0))], 3), [
    'encapsulation UDP-transport (draft) (61444)',
    'authentication (empty), 0 bytes',
  ]);
  assert.deepEqual(printAttributes([tv(1, 5)], undefined), ['1 5']);
});
