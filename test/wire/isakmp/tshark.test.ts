import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fromHex } from '../../../src/wire/bytes.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { subnetRange } from '../../../src/wire/ip/selector.js';
import { encodeAttributes, tlvNumber, tv } from '../../../src/wire/isakmp/attributes.js';
import { addressId, nameId, rangeId } from '../../../src/wire/isakmp/identification.js';
import { encodeMessage } from '../../../src/wire/isakmp/message.js';
import { idTypes, natPayloadTypes, notifyTypes } from '../../../src/wire/isakmp/numbers.js';
import type { Payload, Proposal } from '../../../src/wire/isakmp/payloads.js';
import { vendorIds } from '../../../src/wire/isakmp/vendor-ids.js';

const bytes = (length: number) => new Uint8Array(length).fill(0x5a);
const vid = (data: Uint8Array): Payload => ({ kind: 'vid', data });
const sa = (...proposals: Proposal[]): Payload => ({ kind: 'sa', doi: 1, situation: 1, proposals });

const phase1 = (number: number, encryption: number, hash: number, group: number) => ({
  number,
  transformId: 1,
  attributes: [tv(1, encryption), tv(2, hash), tv(3, 1), tv(4, group), tv(11, 1), tlvNumber(12, 28800)],
});
const phase2 = (number: number, transformId: number) => ({
  number,
  transformId,
  attributes: [tv(4, 2), tv(5, 2), tv(1, 1), tlvNumber(2, 3600), tv(1, 2), tlvNumber(2, 250_000)],
});

/** Messages of ours, and all payload types in them, inner ones too, as another decoder should find them. */
const messages: readonly { exchangeType: number; payloads: readonly Payload[]; types: readonly number[] }[] =
  [
    {
      exchangeType: 2,
      payloads: [
        sa({ number: 1, protocol: 1, spi: bytes(0), transforms: [phase1(1, 5, 2, 14), phase1(2, 1, 1, 1)] }),
        vid(Uint8Array.from([...vendorIds.msNt5.bytes, 0, 0, 0, 4])),
        vid(vendorIds.natTRfc3947.bytes),
      ],
      types: [1, 2, 3, 3, 13, 13],
    },
    {
      exchangeType: 2,
      payloads: [
        { kind: 'ke', data: bytes(128) },
        { kind: 'nonce', data: bytes(20) },
        { kind: 'certreq', encoding: 4, authority: bytes(0) },
        { kind: 'nat-d', type: natPayloadTypes.draft02.natD, data: bytes(20) },
        { kind: 'nat-d', type: natPayloadTypes.rfc.natD, data: bytes(20) },
      ],
      types: [4, 10, 7, 130, 20],
    },
    {
      exchangeType: 2,
      payloads: [
        nameId(idTypes.FQDN, 'gw.example.com'),
        { kind: 'sig', data: bytes(128) },
        {
          kind: 'notify',
          doi: 1,
          protocol: 1,
          notifyType: notifyTypes['INITIAL-CONTACT'],
          spi: bytes(16),
          data: bytes(0),
        },
      ],
      types: [5, 9, 11],
    },
    {
      exchangeType: 32,
      payloads: [
        { kind: 'hash', data: bytes(20) },
        sa(
          { number: 1, protocol: 2, spi: bytes(4), transforms: [phase2(1, 3)] },
          { number: 1, protocol: 3, spi: bytes(4), transforms: [phase2(1, 3), phase2(2, 2)] },
          { number: 2, protocol: 3, spi: bytes(4), transforms: [phase2(1, 12)] },
        ),
        { kind: 'nonce', data: bytes(16) },
        addressId(ipAddress('192.0.2.1'), 17, 1701),
        rangeId(subnetRange(ipAddress('10.2.0.0'), 16)),
        rangeId(subnetRange(ipAddress('2001:db8::'), 32)),
        { kind: 'nat-oa', type: natPayloadTypes.rfc.natOa, idType: 1, address: fromHex('c0000201') },
        {
          kind: 'notify',
          doi: 1,
          protocol: 3,
          notifyType: notifyTypes['RESPONDER-LIFETIME'],
          spi: bytes(4),
          data: encodeAttributes([tv(1, 1), tlvNumber(2, 900)]),
        },
      ],
      types: [8, 1, 2, 3, 2, 3, 3, 2, 3, 10, 5, 5, 5, 21, 11],
    },
    {
      exchangeType: 5,
      payloads: [
        { kind: 'hash', data: bytes(20) },
        { kind: 'delete', doi: 1, protocol: 3, spis: [bytes(4), bytes(4)] },
        { kind: 'delete', doi: 1, protocol: 1, spis: [bytes(16)] },
      ],
      types: [8, 12, 12],
    },
  ];

function tsharkFields(datagrams: readonly Uint8Array[], fields: readonly string[]): string[][] {
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-tshark-'));
  try {
    const hexDump = datagrams.map(
      datagram => `000000 ${[...datagram].map(byte => byte.toString(16).padStart(2, '0')).join(' ')}\n`,
    );
    writeFileSync(join(folder, 'hex'), hexDump.join(''));
    execFileSync('text2pcap', ['-q', '-u', '500,500', join(folder, 'hex'), join(folder, 'pcap')]);
    const args = ['-r', join(folder, 'pcap'), '-T', 'fields', '-E', 'occurrence=a'];
    const output = execFileSync('tshark', [...args, ...fields.flatMap(field => ['-e', field])], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return output
      .trimEnd()
      .split('\n')
      .map(line => line.split('\t'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const missing = ['tshark', 'text2pcap'].filter(
  program => spawnSync(program, ['--version']).error !== undefined,
);
if (missing.length > 0 && process.env.CI === 'true') throw new Error(`not installed: ${missing.join(', ')}`);

test('tshark finds in our messages the payloads we put there, and nothing malformed', {
  skip: missing.length > 0 && `not installed: ${missing.join(', ')}`,
}, () => {
  const datagrams = messages.map(({ exchangeType, payloads }) =>
    encodeMessage(
      { initiatorCookie: bytes(8), responderCookie: bytes(8), exchangeType, flags: 0, messageId: 7 },
      payloads,
    ),
  );
  const rows = tsharkFields(datagrams, ['isakmp.typepayload', 'isakmp.exchangetype', '_ws.malformed']);
  assert.deepEqual(
    rows.map(([types, exchangeType, malformed]) => ({ types, exchangeType, malformed: malformed ?? '' })),
    messages.map(({ types, exchangeType }) => ({
      types: types.join(','),
      exchangeType: String(exchangeType),
      malformed: '',
    })),
  );
});
