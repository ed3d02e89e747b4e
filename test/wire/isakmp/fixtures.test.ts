import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toHex } from '../../../src/wire/bytes.js';
import { attributeNumber } from '../../../src/wire/isakmp/attributes.js';
import { payloadLines, summarisePayloads } from '../../../src/wire/isakmp/describe.js';
import { printId } from '../../../src/wire/isakmp/identification.js';
import {
  bytesAfterFirst,
  decodeMessage,
  decodePayloads,
  encodeMessage,
  encodePayloadBody,
  encodePayloads,
  findPayload,
  findPayloads,
  type PayloadChain,
} from '../../../src/wire/isakmp/message.js';
import { recogniseVendorId } from '../../../src/wire/isakmp/vendor-ids.js';
import { type HexFixture, hexFixture, hexFixtures } from '../../support/fixtures.js';

/** The chain of a fixture: a whole clear message, or, with the note `first payload`, decrypted payloads. */
function decodeFixture({ bytes, notes }: HexFixture): PayloadChain {
  const first = notes.get('first payload');
  return first === undefined
    ? decodeMessage(bytes)
    : decodePayloads(bytes, Number(first), { decrypted: true });
}

const valuesOf = (chain: PayloadChain) => chain.payloads.map(located => located.payload);

describe('what other implementations sent', () => {
  const fixtures = hexFixtures('isakmp');
  assert.ok(fixtures.length >= 16, 'found the fixtures');

  for (const fixture of fixtures) {
    test(fixture.name, () => {
      const chain = decodeFixture(fixture);
      const payloads = valuesOf(chain);
      assert.equal(summarisePayloads(payloads), fixture.notes.get('payloads'));
      assert.equal(toHex(encodePayloads(payloads)), toHex(chain.bytes));
      for (const { payload, body } of chain.payloads)
        assert.equal(toHex(encodePayloadBody(payload)), toHex(body));
      assert.ok(payloadLines(payloads).length > payloads.length);
      if (!fixture.notes.has('first payload')) {
        const { header } = decodeMessage(fixture.bytes);
        assert.equal(toHex(encodeMessage(header, payloads)), toHex(fixture.bytes));
      }
    });
  }
});

test('quick mode 1 of strongSwan: every part that IKE computes with', () => {
  const chain = decodeFixture(hexFixture('isakmp/strongswan-quick-mode-1-decrypted'));
  const sa = findPayload(chain, 'sa')?.payload;
  const [proposal] = sa?.proposals ?? [];
  assert.equal(proposal?.protocol, 3);
  assert.equal(proposal?.spi.length, 4);
  assert.equal(proposal?.transforms[0]?.transformId, 3);
  const ids = findPayloads(chain, 'id').map(({ payload }) => printId(payload));
  assert.deepEqual(ids, ['10.1.0.0/24', '10.2.0.0/24']);
  const hash = chain.payloads[0];
  assert.ok(hash);
  assert.equal(toHex(hash.raw) + toHex(bytesAfterFirst(chain)), toHex(chain.bytes));
  assert.equal(chain.paddingLength, 0);
});

test('quick mode 2 of strongSwan: padding is counted and left out', () => {
  const fixture = hexFixture('isakmp/strongswan-quick-mode-2-decrypted');
  const chain = decodeFixture(fixture);
  assert.equal(chain.paddingLength, 8);
  assert.equal(chain.bytes.length, fixture.bytes.length - 8);
});

test('a life duration of 8 bytes reads as its number and keeps its form', () => {
  const chain = decodeFixture(hexFixture('isakmp/ike-scan-long-lifetime'));
  const duration = findPayload(chain, 'sa')?.payload.proposals[0]?.transforms[0]?.attributes.find(
    ({ type }) => type === 12,
  );
  assert.ok(duration?.form === 'tlv');
  assert.equal(duration.bytes.length, 8);
  assert.equal(attributeNumber(duration), 65535);
});

test('the vendor IDs of a Windows Server 2003 initiator', () => {
  const chain = decodeFixture(hexFixture('isakmp/ike-scan-windows-2003'));
  const keys = findPayloads(chain, 'vid').map(({ payload }) => recogniseVendorId(payload.data)?.key);
  assert.deepEqual(keys, ['msNt5', 'fragmentation', 'natTDraft02Newline', 'initialContact']);
});
