import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex, toHex, WireError, type WireErrorReason } from '../../../src/wire/bytes.js';
import { tv } from '../../../src/wire/isakmp/attributes.js';
import {
  decodeHeader,
  decodeMessage,
  decodePayloads,
  encodePayloadBody,
  encodePayloads,
  headerLength,
} from '../../../src/wire/isakmp/message.js';
import { payloadTypes } from '../../../src/wire/isakmp/numbers.js';
import type { Payload } from '../../../src/wire/isakmp/payloads.js';

const hex16 = (value: number) => value.toString(16).padStart(4, '0');
const hex8 = (value: number) => value.toString(16).padStart(2, '0');

/** A substructure or payload: generic header and body, given as hexadecimal. */
function payload(next: number, body: string): string {
  return `${hex8(next)}00${hex16(4 + fromHex(body).length)}${body}`;
}

function expectError(decode: () => unknown, reason: WireErrorReason, offset: number): void {
  assert.throws(decode, (error: unknown) => {
    assert.ok(error instanceof WireError, String(error));
    assert.deepEqual({ reason: error.reason, offset: error.offset }, { reason, offset }, error.message);
    return true;
  });
}

describe('headers', () => {
  const good = '0102030405060708 0000000000000000 00 10 02 00 00000000 0000001c';
  const cases: readonly (readonly [string, string, WireErrorReason, number])[] = [
    ['nothing', '', 'truncated', 0],
    ['one byte short', good.slice(0, -2), 'truncated', 0],
    ['length below the header', good.replace('0000001c', '0000001b'), 'bad-length', 24],
    ['length beyond the datagram', good.replace('0000001c', '0000001d'), 'truncated', 28],
    ['length of 4 GB', good.replace('0000001c', 'ffffffff'), 'truncated', 28],
    ['major version 2', good.replace(' 10 ', ' 20 '), 'unsupported', 17],
    ['major version 0', good.replace(' 10 ', ' 01 '), 'unsupported', 17],
    ['no initiator cookie', good.replace('0102030405060708', '0000000000000000'), 'bad-value', 0],
  ];
  test('the good one', () => assert.equal(decodeHeader(fromHex(good)).length, headerLength));
  for (const [name, hex, reason, offset] of cases)
    test(name, () => expectError(() => decodeHeader(fromHex(hex)), reason, offset));

  test('encrypted where clear is wanted', () =>
    expectError(() => decodeMessage(fromHex(good.replace('02 00 ', '02 01 '))), 'unsupported', 28));
});

describe('chains', () => {
  const vid = payloadTypes.VID;
  const chained = (count: number, type: number, body: string) =>
    Array.from({ length: count }, (_, i) => payload(i + 1 < count ? type : 0, body)).join('');
  const cases: readonly (readonly [string, number, string, WireErrorReason, number])[] = [
    ['no payload where one is announced', vid, '', 'truncated', 28],
    ['half a generic header', vid, '0000', 'truncated', 30],
    ['reserved byte', vid, '00 01 0005 aa', 'bad-value', 29],
    ['length 0', vid, '00 00 0000', 'bad-length', 30],
    ['length 3', vid, '00 00 0003', 'bad-length', 30],
    ['length beyond the message', vid, '00 00 0006 aa', 'truncated', 32],
    ['next payload missing', vid, '0d 00 0005 aa', 'truncated', 33],
    ['bytes after the last payload', vid, '00 00 0005 aa bb', 'trailing-bytes', 33],
    [
      'more zeros after the last payload than alignment takes',
      vid,
      '00 00 0005 aa 00000000',
      'trailing-bytes',
      33,
    ],
    ['bytes without a payload', 0, 'aa', 'trailing-bytes', 28],
    ['a proposal outside of an SA', payloadTypes.PROPOSAL, payload(0, '01010000'), 'bad-order', 28],
    ['a transform outside of an SA', vid, `03 00 0005 aa ${payload(0, '01010000')}`, 'bad-order', 33],
    [
      'a fragment before others',
      payloadTypes.FRAGMENT,
      `0d 00 0009 000101 00 aa ${payload(0, 'aa')}`,
      'bad-order',
      28,
    ],
    ['a fragment after others', vid, `84 00 0005 aa ${payload(0, '00010100aa')}`, 'bad-order', 33],
    ['33 vendor IDs', vid, chained(33, vid, 'aa'), 'too-many', 28 + 32 * 5],
    [
      '257 payloads',
      payloadTypes.CERTREQ,
      chained(257, payloadTypes.CERTREQ, '04'),
      'too-many',
      28 + 256 * 5,
    ],
  ];
  for (const [name, type, hex, reason, offset] of cases)
    test(name, () => expectError(() => decodePayloads(fromHex(hex), type), reason, offset));

  test('zeros that align an attributes payload to 4 bytes are no attribute', () => {
    const attributes = (hex: string) => decodePayloads(fromHex(payload(0, hex)), payloadTypes.ATTRIBUTES);
    const [located] = attributes('02 00 0000 c0890001 000000').payloads;
    assert.deepEqual(located?.payload, {
      kind: 'attributes',
      messageType: 2,
      identifier: 0,
      attributes: [{ form: 'tv', type: 0x4089, value: 1 }],
    });
    expectError(() => attributes('02 00 0000 c0890001 0000 01'), 'truncated', 40);
  });

  test('zeros that align the message to 4 bytes are no part of the chain', () => {
    const chain = decodePayloads(fromHex('00 00 0005 aa 000000'), vid);
    assert.deepEqual([chain.payloads.length, chain.bytes.length, chain.paddingLength], [1, 5, 3]);
  });

  test('32 vendor IDs and 256 payloads are accepted', () => {
    assert.equal(decodePayloads(fromHex(chained(32, vid, 'aa')), vid).payloads.length, 32);
    const requests = fromHex(chained(256, payloadTypes.CERTREQ, '04'));
    assert.equal(decodePayloads(requests, payloadTypes.CERTREQ).payloads.length, 256);
  });

  for (const [name, hex] of [
    ['reserved byte', '00 01 0005 aa'],
    ['length 3', '00 00 0003'],
    ['length beyond the message', '00 00 0006 aa'],
  ] as const) {
    test(`${name}, decrypted: the key is suspected`, () => {
      assert.throws(() => decodePayloads(fromHex(hex), vid, { decrypted: true }), /WireError: .*wrong key/);
      assert.throws(
        () => decodePayloads(fromHex(hex), vid),
        (error: Error) => !/key/.test(error.message),
      );
    });
  }
});

/** Every payload below is alone in its chain: its body begins here. */
const bodyOffset = headerLength + 4;

describe('SA', () => {
  const transform = (next = 0, rest = '01 01 0000') => payload(next, rest);
  const proposal = (count: number, transforms: string, { next = 0, spi = '' } = {}) =>
    payload(next, `01 01 ${hex8(fromHex(spi).length)} ${hex8(count)} ${spi} ${transforms}`);
  const body = (proposals: string, doi = '00000001', situation = '00000001') =>
    `${doi}${situation}${proposals}`;
  const transforms = (count: number) =>
    Array.from({ length: count }, (_, i) => transform(i + 1 < count ? 3 : 0)).join('');

  const cases: readonly (readonly [string, string, WireErrorReason, number])[] = [
    ['empty', '', 'truncated', 0],
    ['another DOI', body(proposal(1, transform()), '00000002'), 'unsupported', 0],
    ['generic DOI', body(proposal(1, transform()), '00000000'), 'unsupported', 0],
    ['situation secrecy', body(proposal(1, transform()), '00000001', '00000002'), 'unsupported', 4],
    ['no proposal', body(''), 'truncated', 8],
    ['another payload among the proposals', body(proposal(1, transform(), { next: 4 })), 'bad-order', 24],
    ['bytes after the last proposal', body(`${proposal(1, transform())}00`), 'trailing-bytes', 24],
    ['second proposal missing', body(proposal(1, transform(), { next: 2 })), 'truncated', 24],
    ['reserved byte of a proposal', body('00 01 000c 01010001 00000008 01010000'), 'bad-value', 9],
    ['proposal longer than the SA', body('00 00 0011 01010001 00000008 01010000'), 'truncated', 12],
    ['no transform', body(proposal(0, '')), 'truncated', 16],
    ['fewer transforms than announced', body(proposal(2, transform())), 'bad-length', 16],
    ['more transforms than announced', body(proposal(1, transforms(2))), 'bad-length', 16],
    ['another payload among the transforms', body(proposal(1, transform(4))), 'bad-order', 24],
    ['bytes after the last transform', body(proposal(1, `${transform()}00`)), 'trailing-bytes', 24],
    ['SPI of 17 bytes', body(proposal(1, transform(), { spi: '00'.repeat(17) })), 'bad-length', 16],
    ['SPI beyond the proposal', body(payload(0, '0101ff01 00')), 'truncated', 16],
    ['reserved bytes of a transform', body(proposal(1, transform(0, '01010001'))), 'bad-value', 22],
    ['transform cut short', body(proposal(1, transform(0, '0101'))), 'truncated', 22],
    ['half an attribute type', body(proposal(1, transform(0, '01010000 80'))), 'truncated', 24],
    ['half an attribute value', body(proposal(1, transform(0, '01010000 8001 00'))), 'truncated', 26],
    [
      'attribute beyond its transform',
      body(proposal(2, `${transform(3, '01010000 000c0008 00007080')}${transform()}`)),
      'truncated',
      28,
    ],
    ['201 transforms in a proposal', body(proposal(201, transforms(201))), 'too-many', 16 + 200 * 8],
    [
      '201 transforms in two proposals',
      body(proposal(101, transforms(101), { next: 2 }) + proposal(100, transforms(100))),
      'too-many',
      0,
    ],
  ];
  for (const [name, hex, reason, offset] of cases) {
    const bytes = fromHex(payload(0, hex));
    test(name, () => expectError(() => decodePayloads(bytes, payloadTypes.SA), reason, bodyOffset + offset));
  }

  test('200 transforms are accepted', () => {
    const bytes = fromHex(payload(0, body(proposal(200, transforms(200)))));
    assert.equal(decodePayloads(bytes, payloadTypes.SA).payloads.length, 1);
  });
});

describe('other payloads', () => {
  const { KE, ID, CERT, CERTREQ, HASH, SIG, NONCE, NOTIFY, DELETE, ATTRIBUTES, FRAGMENT } = payloadTypes;
  const cases: readonly (readonly [string, number, string, WireErrorReason, number])[] = [
    ['KE empty', KE, '', 'bad-length', 0],
    ['HASH empty', HASH, '', 'bad-length', 0],
    ['SIG empty', SIG, '', 'bad-length', 0],
    ['CERT without data', CERT, '04', 'bad-length', 1],
    ['CERTREQ without encoding', CERTREQ, '', 'truncated', 0],
    ['nonce of 7 bytes', NONCE, '00'.repeat(7), 'bad-length', 0],
    ['nonce of 257 bytes', NONCE, '00'.repeat(257), 'bad-length', 0],
    ['ID cut short', ID, '011106', 'truncated', 2],
    ['ID without data', ID, '02000000', 'bad-length', 4],
    ['IPV4_ADDR of 5 bytes', ID, `01000000${'00'.repeat(5)}`, 'bad-length', 0],
    ['IPV4_ADDR_SUBNET of 4 bytes', ID, `04000000${'00'.repeat(4)}`, 'bad-length', 0],
    ['IPV6_ADDR of 4 bytes', ID, `05000000${'00'.repeat(4)}`, 'bad-length', 0],
    ['IPV6_ADDR_SUBNET of 17 bytes', ID, `06000000${'00'.repeat(17)}`, 'bad-length', 0],
    ['IPV4_ADDR_RANGE of 16 bytes', ID, `07000000${'00'.repeat(16)}`, 'bad-length', 0],
    ['IPV6_ADDR_RANGE of 31 bytes', ID, `08000000${'00'.repeat(31)}`, 'bad-length', 0],
    ['NOTIFY cut short', NOTIFY, '00000001 0304 40', 'truncated', 6],
    ['NOTIFY with an SPI beyond its end', NOTIFY, '00000001 0304 4000 010203', 'truncated', 8],
    ['NOTIFY with an SPI of 17 bytes', NOTIFY, `00000001 0311 4000 ${'00'.repeat(17)}`, 'bad-length', 8],
    ['DELETE with less than its count', DELETE, '00000001 0304 0002 01020304', 'bad-length', 8],
    ['DELETE with more than its count', DELETE, '00000001 0304 0001 0102030405060708', 'bad-length', 8],
    ['DELETE of nothing', DELETE, '00000001 0304 0000', 'bad-length', 8],
    ['DELETE of SPIs without bytes', DELETE, '00000001 0300 ffff', 'bad-length', 8],
    ['DELETE of SPIs of 17 bytes', DELETE, `00000001 0311 0001 ${'00'.repeat(17)}`, 'bad-length', 8],
    ['DELETE of 4097 SPIs', DELETE, `00000001 0301 1001 ${'00'.repeat(4097)}`, 'too-many', 8],
    ['ATTRIBUTES reserved byte', ATTRIBUTES, '01 01 0007', 'bad-value', 1],
    ['ATTRIBUTES with half an attribute', ATTRIBUTES, '01 00 0007 0001 0004 0102', 'truncated', 8],
    ['NAT-D empty', payloadTypes['NAT-D-02'], '', 'bad-length', 0],
    ['NAT-OA reserved bytes', payloadTypes['NAT-OA'], '01 000001 c0000201', 'bad-value', 1],
    ['NAT-OA of a name', payloadTypes['NAT-OA'], '02 000000 c0000201', 'bad-value', 0],
    ['NAT-OA of 16 bytes as IPv4', payloadTypes['NAT-OA'], `01 000000 ${'00'.repeat(16)}`, 'bad-length', 0],
    ['NAT-OA of 4 bytes as IPv6', payloadTypes['NAT-OA-02'], '05 000000 c0000201', 'bad-length', 0],
    ['GSS token empty', payloadTypes['GSS-TOKEN'], '', 'bad-length', 0],
    ['fragment without data', FRAGMENT, '0001 01 00', 'bad-length', 4],
    ['fragment cut short', FRAGMENT, '0001', 'truncated', 2],
  ];
  for (const [name, type, hex, reason, offset] of cases) {
    const bytes = fromHex(payload(0, hex));
    test(name, () => expectError(() => decodePayloads(bytes, type), reason, bodyOffset + offset));
  }
});

describe('cut anywhere', () => {
  const whole: readonly Payload[] = [
    {
      kind: 'sa',
      doi: 1,
      situation: 1,
      proposals: [
        {
          number: 1,
          protocol: 3,
          spi: fromHex('00001111'),
          transforms: [{ number: 1, transformId: 3, attributes: [tv(4, 2)] }],
        },
      ],
    },
    { kind: 'nonce', data: new Uint8Array(20) },
    {
      kind: 'notify',
      doi: 1,
      protocol: 1,
      notifyType: 24578,
      spi: new Uint8Array(16),
      data: new Uint8Array(0),
    },
    { kind: 'delete', doi: 1, protocol: 3, spis: [new Uint8Array(4)] },
  ];

  test('a chain cut at any byte is an error at or before the cut', () => {
    const bytes = encodePayloads(whole);
    for (let cut = 0; cut < bytes.length; cut++) {
      assert.throws(
        () => decodePayloads(bytes.subarray(0, cut), payloadTypes.SA),
        (error: unknown) => error instanceof WireError && error.offset <= headerLength + cut,
      );
    }
  });

  test('nothing beyond the given view is read', () => {
    const bytes = encodePayloads(whole);
    const memory = new Uint8Array(bytes.length + 64).fill(0xff);
    memory.set(bytes, 32);
    const chain = decodePayloads(memory.subarray(32, 32 + bytes.length), payloadTypes.SA);
    assert.equal(toHex(chain.bytes), toHex(bytes));
    assert.deepEqual(
      chain.payloads.map(({ body }) => toHex(body)),
      whole.map(value => toHex(encodePayloadBody(value))),
    );
  });
});
