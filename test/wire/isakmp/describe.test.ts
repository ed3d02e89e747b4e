import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex } from '../../../src/wire/bytes.js';
import { tlvNumber, tv } from '../../../src/wire/isakmp/attributes.js';
import { payloadLines, summarisePayloads } from '../../../src/wire/isakmp/describe.js';
import { nameId } from '../../../src/wire/isakmp/identification.js';
import { decodeMessage } from '../../../src/wire/isakmp/message.js';
import type { Payload } from '../../../src/wire/isakmp/payloads.js';
import { hexFixture } from '../../support/fixtures.js';

const notify = (notifyType: number, protocol: number, data: string): Payload => ({
  kind: 'notify',
  doi: 1,
  protocol,
  notifyType,
  spi: fromHex('01020304'),
  data: fromHex(data),
});

test('a summary names payloads in order and counts neighbours', () => {
  const vid: Payload = { kind: 'vid', data: fromHex('aa') };
  const natD: Payload = { kind: 'nat-d', type: 130, data: fromHex('aa') };
  const unknown: Payload = { kind: 'unknown', type: 133, data: fromHex('') };
  assert.equal(
    summarisePayloads([vid, natD, natD, vid, vid, unknown, notify(14, 1, ''), notify(9999, 1, '')]),
    'VID NAT-D-02*2 VID*2 PAYLOAD-133 NOTIFY(NO-PROPOSAL-CHOSEN) NOTIFY(9999)',
  );
  assert.equal(summarisePayloads([]), '');
});

test('a dump shows every field with its name', () => {
  const { payloads } = decodeMessage(hexFixture('isakmp/ike-scan-windows-2003').bytes);
  const lines = payloadLines(payloads.map(({ payload }) => payload));
  assert.deepEqual(lines.slice(0, 15), [
    'SA',
    '  doi IPSEC (1)',
    '  situation IDENTITY-ONLY (1)',
    '  PROPOSAL',
    '    number 1',
    '    protocol ISAKMP (1)',
    '    TRANSFORM',
    '      number 1',
    '      transform id KEY_IKE (1)',
    '      encryption 3DES (5)',
    '      hash SHA (2)',
    '      group MODP2048 (14)',
    '      authentication pre-shared key (1)',
    '      life type seconds (1)',
    '      life duration 28800, 4 bytes',
  ]);
  assert.deepEqual(lines.slice(-2), ['VID', '  data 26244d38eddb61b3172a36e3d0cfb819 (Vid-Initial-Contact)']);
});

test('the attributes of a responder lifetime are shown, and its bytes when they are none', () => {
  assert.match(
    payloadLines([notify(24576, 3, '80010001 0002000400000e10')]).join('\n'),
    /\n {2}spi 01020304\n {2}life type seconds \(1\)\n {2}life duration 3600, 4 bytes$/,
  );
  assert.match(payloadLines([notify(24576, 3, '000100ff')]).join('\n'), /\n {2}data 000100ff$/);
});

test('names and protocol numbers depend on the protocol of the proposal', () => {
  const sa: Payload = {
    kind: 'sa',
    doi: 1,
    situation: 1,
    proposals: [
      {
        number: 1,
        protocol: 2,
        spi: fromHex('00001111'),
        transforms: [{ number: 1, transformId: 3, attributes: [tv(5, 2), tlvNumber(2, 100_000)] }],
      },
    ],
  };
  const dump = payloadLines([sa, nameId(2, 'gw\u0007.example.com')]).join('\n');
  assert.match(dump, /protocol AH \(2\)/);
  assert.match(dump, /transform id SHA \(3\)/);
  assert.match(dump, /authentication HMAC-SHA \(2\)/);
  assert.match(dump, /data gw\\u0007\.example\.com$/);
});
