import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { fromHex, toHex } from '../../../src/wire/bytes.js';
import { recogniseVendorId, vendorIds, windowsVersionOf } from '../../../src/wire/isakmp/vendor-ids.js';

describe('vendor IDs that are the MD5 of a text', () => {
  const texts = {
    msNt5: 'MS NT5 ISAKMPOAKLEY',
    gssapi: 'GSSAPI',
    gssapiDraft: 'A GSS-API Authentication Method for IKE',
    gssapiDraftNewline: 'A GSS-API Authentication Method for IKE\n',
    initialContact: 'Vid-Initial-Contact',
    nlbsPresent: 'NLBS_PRESENT',
    fragmentation: 'FRAGMENTATION',
    natTRfc3947: 'RFC 3947',
    natTDraft02Newline: 'draft-ietf-ipsec-nat-t-ike-02\n',
    natTDraft02: 'draft-ietf-ipsec-nat-t-ike-02',
    natTDraft03: 'draft-ietf-ipsec-nat-t-ike-03',
    natTDraft00: 'draft-ietf-ipsec-nat-t-ike-00',
    mamieExists: 'MS-MamieExists',
    negotiationDiscovery: 'MS-Negotiation Discovery Capable',
    ikeCga: 'IKE CGA version 1',
    strongSwan: 'strongSwan',
    racoon: 'KAME/racoon',
    ipsecTools: 'IPSec-Tools',
  } as const satisfies Partial<Record<keyof typeof vendorIds, string>>;

  for (const [key, text] of Object.entries(texts)) {
    test(JSON.stringify(text), () => {
      const digest = Uint8Array.from(createHash('md5').update(text).digest());
      assert.equal(recogniseVendorId(digest)?.key, key, toHex(digest));
    });
  }
});

describe('matching', () => {
  test('every entry is recognised as itself', () => {
    for (const [key, { bytes, name }] of Object.entries(vendorIds)) {
      const known = recogniseVendorId(bytes);
      assert.deepEqual([known?.key, known?.name, known?.extra.length], [key, name, 0]);
    }
  });

  test('a prefix may be followed by more', () => {
    const known = recogniseVendorId(fromHex('4048b7d56ebce88525e7de7f00d6c2d380000000'));
    assert.equal(known?.key, 'fragmentation');
    assert.equal(toHex(known?.extra ?? new Uint8Array(0)), '80000000');
  });

  test('libreswan says its name in plain text', () => {
    const known = recogniseVendorId(Buffer.from('OE-Libreswan-4.10'));
    assert.equal(known?.key, 'libreswan');
    assert.equal(Buffer.from(known?.extra ?? []).toString(), '4.10');
  });

  test('an exact one may not', () =>
    assert.equal(recogniseVendorId(fromHex('4a131c81070358455c5728f20e95452f00')), undefined));

  test('less than the whole is not recognised', () => {
    assert.equal(recogniseVendorId(fromHex('1e2b516905991c7d7c96fcbfb587e4')), undefined);
    assert.equal(recogniseVendorId(new Uint8Array(0)), undefined);
  });
});

test('the Windows version', () => {
  assert.equal(windowsVersionOf(fromHex('1e2b516905991c7d7c96fcbfb587e46100000004')), 4);
  assert.equal(windowsVersionOf(fromHex('1e2b516905991c7d7c96fcbfb587e461')), undefined);
  assert.equal(windowsVersionOf(vendorIds.dpd.bytes), undefined);
});
