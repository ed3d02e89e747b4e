import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex, toHex } from '../../../src/wire/bytes.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { tlvNumber, tv } from '../../../src/wire/isakmp/attributes.js';
import { addressId } from '../../../src/wire/isakmp/identification.js';
import {
  assembleMessage,
  bytesAfterFirst,
  decodeHeader,
  decodeMessage,
  decodePayloads,
  encodeMessage,
  encodePayloadBody,
  encodePayloads,
  findPayload,
  findPayloads,
  headerLength,
  type MessageHeader,
  payloadType,
} from '../../../src/wire/isakmp/message.js';
import type { Payload } from '../../../src/wire/isakmp/payloads.js';
import { SeededRandom } from '../../support/random.js';
import { payloadKinds, randomHeader, randomPayload, randomPayloads } from './random-payloads.js';

const header: MessageHeader = {
  initiatorCookie: fromHex('0102030405060708'),
  responderCookie: new Uint8Array(8),
  exchangeType: 2,
  flags: 0,
  messageId: 0,
};

/** Payload bodies written out by hand from RFC 2407 and 2408. */
const bodies: readonly (readonly [name: string, payload: Payload, hex: string])[] = [
  [
    'AH and ESP in one proposal',
    {
      kind: 'sa',
      doi: 1,
      situation: 1,
      proposals: [
        {
          number: 1,
          protocol: 2,
          spi: fromHex('00001111'),
          transforms: [
            { number: 1, transformId: 3, attributes: [tv(1, 1), tlvNumber(2, 3600), tv(4, 2), tv(5, 2)] },
          ],
        },
        {
          number: 1,
          protocol: 3,
          spi: fromHex('00002222'),
          transforms: [
            { number: 1, transformId: 3, attributes: [tv(4, 2)] },
            { number: 2, transformId: 11, attributes: [] },
          ],
        },
      ],
    },
    `00000001 00000001
     02000028 01020401 00001111  0000001c 01030000 80010001 00020004 00000e10 80040002 80050002
     00000020 01030402 00002222  0300000c 01030000 80040002  00000008 020b0000`,
  ],
  ['KE', { kind: 'ke', data: fromHex('abcd') }, 'abcd'],
  ['ID', addressId(ipAddress('192.0.2.1'), 17, 1701), '01 11 06a5 c0000201'],
  ['CERT', { kind: 'cert', encoding: 4, data: fromHex('3082') }, '04 3082'],
  ['CERTREQ for any authority', { kind: 'certreq', encoding: 4, authority: fromHex('') }, '04'],
  ['HASH', { kind: 'hash', data: fromHex('00ff') }, '00ff'],
  ['SIG', { kind: 'sig', data: fromHex('00ff') }, '00ff'],
  ['NONCE', { kind: 'nonce', data: fromHex('0011223344556677') }, '0011223344556677'],
  [
    'NOTIFY CONNECTED',
    { kind: 'notify', doi: 1, protocol: 3, notifyType: 16384, spi: fromHex('01020304'), data: fromHex('') },
    '00000001 03 04 4000 01020304',
  ],
  [
    'DELETE of two SPIs',
    { kind: 'delete', doi: 1, protocol: 3, spis: [fromHex('01020304'), fromHex('05060708')] },
    '00000001 03 04 0002 01020304 05060708',
  ],
  ['VID', { kind: 'vid', data: fromHex('09002689dfd6b712') }, '09002689dfd6b712'],
  [
    'ATTRIBUTES',
    { kind: 'attributes', messageType: 1, identifier: 7, attributes: [tv(1, 2)] },
    '01 00 0007 80010002',
  ],
  ['NAT-D', { kind: 'nat-d', type: 20, data: fromHex('e28a') }, 'e28a'],
  ['NAT-OA', { kind: 'nat-oa', type: 131, idType: 1, address: fromHex('c0000201') }, '01 000000 c0000201'],
  ['GSS token', { kind: 'gss-token', data: fromHex('6001') }, '6001'],
  [
    'fragment',
    { kind: 'fragment', fragmentId: 1, number: 2, flags: 1, data: fromHex('aabb') },
    '0001 02 01 aabb',
  ],
  ['unknown', { kind: 'unknown', type: 200, data: fromHex('aabb') }, 'aabb'],
];

describe('payload bodies', () => {
  test('every kind of payload is here', () => {
    assert.deepEqual(new Set(bodies.map(([, payload]) => payload.kind)), new Set(payloadKinds));
  });

  for (const [name, payload, hex] of bodies) {
    test(name, () => {
      const body = fromHex(hex);
      assert.equal(toHex(encodePayloadBody(payload)), toHex(body));
      const [decoded] = decodePayloads(encodePayloads([payload]), payloadType(payload)).payloads;
      assert.deepEqual(decoded?.payload, payload);
      assert.deepEqual(decoded?.body, body);
      assert.equal(decoded?.offset, headerLength);
    });
  }
});

describe('messages', () => {
  const nonce: Payload = { kind: 'nonce', data: fromHex('0011223344556677') };
  const vid: Payload = { kind: 'vid', data: fromHex('aa') };

  test('a message is laid out as RFC 2408 says', () => {
    assert.equal(
      toHex(encodeMessage(header, [nonce, vid])),
      toHex(
        fromHex(
          '0102030405060708 0000000000000000 0a 10 02 00 00000000 0000002d  0d00000c 0011223344556677  00000005 aa',
        ),
      ),
    );
  });

  test('bytes after the length of the header are ignored', () => {
    const message = encodeMessage(header, [nonce]);
    const decoded = decodeMessage(Uint8Array.from([...message, 1, 2, 3]));
    assert.deepEqual(
      decoded.payloads.map(({ payload }) => payload),
      [nonce],
    );
  });

  test('a Buffer decodes to plain byte arrays', () => {
    const decoded = decodeMessage(Buffer.from(encodeMessage(header, [nonce])));
    assert.deepEqual(decoded.payloads[0]?.payload, nonce);
  });

  test('an encrypted message is a header before bytes', () => {
    const bytes = assembleMessage({ ...header, flags: 1 }, 5, fromHex('00112233'));
    assert.deepEqual(decodeHeader(bytes), { ...header, flags: 1, version: 0x10, nextPayload: 5, length: 32 });
    assert.equal(toHex(bytes.subarray(headerLength)), '00112233');
    assert.throws(() => decodeMessage(bytes), { reason: 'unsupported' });
  });

  test('a minor version and unknown flags are kept', () => {
    const decoded = decodeMessage(encodeMessage({ ...header, version: 0x1f, flags: 0xf0 }, []));
    assert.equal(decoded.header.version, 0x1f);
    assert.equal(decoded.header.flags, 0xf0);
    assert.equal(decoded.header.nextPayload, 0);
  });

  test('payloads are found by kind, with the bytes they came in', () => {
    const second: Payload = { kind: 'vid', data: fromHex('bb') };
    const chain = decodeMessage(encodeMessage(header, [nonce, vid, second]));
    assert.deepEqual(
      findPayloads(chain, 'vid').map(({ offset, raw }) => [offset, toHex(raw)]),
      [
        [40, '0d000005aa'],
        [45, '00000005bb'],
      ],
    );
    assert.equal(findPayload(chain, 'vid')?.payload.data[0], 0xaa);
    assert.equal(findPayload(chain, 'ke'), undefined);
    assert.equal(toHex(bytesAfterFirst(chain)), '0d000005aa00000005bb');
  });

  test('padding of a decrypted chain may be anything', () => {
    const chain = decodePayloads(Uint8Array.from([...encodePayloads([vid]), 9, 9, 9]), 13, {
      decrypted: true,
    });
    assert.equal(chain.paddingLength, 3);
    assert.equal(toHex(chain.bytes), '00000005aa');
    assert.deepEqual(bytesAfterFirst(chain), new Uint8Array(0));
  });
});

describe('values that do not fit are refused when writing', () => {
  const wrong: readonly (readonly [name: string, payload: Payload])[] = [
    ['port', { ...addressId(ipAddress('192.0.2.1')), port: 70000 }],
    ['fraction', { ...addressId(ipAddress('192.0.2.1')), port: 1.5 }],
    [
      'SPI longer than its length byte',
      {
        kind: 'notify',
        doi: 1,
        protocol: 1,
        notifyType: 1,
        spi: new Uint8Array(256),
        data: new Uint8Array(0),
      },
    ],
    ['no SPI', { kind: 'delete', doi: 1, protocol: 3, spis: [] }],
    [
      'SPIs of two lengths',
      { kind: 'delete', doi: 1, protocol: 3, spis: [new Uint8Array(4), new Uint8Array(8)] },
    ],
    ['no proposal', { kind: 'sa', doi: 1, situation: 1, proposals: [] }],
    ['attribute type', { kind: 'attributes', messageType: 1, identifier: 1, attributes: [tv(0x8000, 1)] }],
    ['attribute value', { kind: 'attributes', messageType: 1, identifier: 1, attributes: [tv(1, 0x10000)] }],
    ['type number of another kind', { kind: 'unknown', type: 1, data: new Uint8Array(1) }],
    ['payload', { kind: 'vid', data: new Uint8Array(0x10000) }],
  ];
  for (const [name, payload] of wrong)
    test(name, () => assert.throws(() => encodePayloads([payload]), RangeError));

  test('cookie', () =>
    assert.throws(() => encodeMessage({ ...header, initiatorCookie: new Uint8Array(7) }, []), RangeError));
});

describe('whatever encodes decodes to the same', () => {
  const seed = 20240611;
  console.log(`round trip seed ${seed}`);

  for (const kind of payloadKinds) {
    test(kind, () => {
      const random = new SeededRandom(seed);
      for (let run = 0; run < 200; run++) {
        const payload = randomPayload(random, kind);
        const bytes = encodeMessage(header, [payload]);
        const decoded = decodeMessage(bytes);
        assert.deepEqual(decoded.payloads[0]?.payload, payload);
        assert.equal(toHex(encodeMessage(decoded.header, [payload])), toHex(bytes));
      }
    });
  }

  test('whole messages', () => {
    const random = new SeededRandom(seed);
    for (let run = 0; run < 2000; run++) {
      const payloads = randomPayloads(random);
      const chosen = randomHeader(random);
      const decoded = decodeMessage(encodeMessage(chosen, payloads));
      assert.deepEqual(
        decoded.payloads.map(({ payload }) => payload),
        payloads,
      );
      const { nextPayload, length, ...rest } = decoded.header;
      assert.deepEqual(rest, chosen);
      assert.equal(length, headerLength + decoded.bytes.length);
      assert.equal(nextPayload, payloads[0] === undefined ? 0 : payloadType(payloads[0]));
    }
  });
});
