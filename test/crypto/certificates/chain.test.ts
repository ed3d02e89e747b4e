import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ChainSettings, checkCertificate } from '../../../src/crypto/certificates/chain.js';
import { type Identity, testCa, testCrl, testLeaf, testNowMs } from '../../support/certificates.js';

const root = testCa('CN=Root');
const first = testCa('CN=First', root, { ca: { pathLength: 0 } });
const second = testCa('CN=Second', first);
const leaf = testLeaf('CN=leaf', first);
const dayMs = 86_400_000;

function failed(identity: Identity, settings: Partial<ChainSettings> = {}): string[] {
  const verdict = checkCertificate(identity.certificate, {
    trusted: [root.certificate],
    intermediates: [first.certificate, second.certificate],
    crls: [],
    crlStrength: 1,
    nowMs: testNowMs,
    ...settings,
  });
  const failures = verdict.tests.filter(({ passed }) => !passed);
  assert.equal(verdict.passed, failures.length === 0);
  return failures.map(({ test: name, certificate, detail }) => `${name} of ${certificate}: ${detail}`);
}

describe('walking a chain', () => {
  test('good ones', () => {
    assert.deepEqual(failed(leaf), []);
    assert.deepEqual(failed(testLeaf('CN=direct', root)), []);
    assert.deepEqual(
      failed(root),
      ['key usage of CN=Root: may not sign, only keyCertSign, cRLSign'],
      'a CA is no peer',
    );
    assert.deepEqual(
      failed(testLeaf('CN=old', testCa('CN=Root', undefined, { keyName: 'CN=Root' }))),
      [],
      'a renewed root: same name, same key',
    );
  });

  test('a CA may have no more CAs below it than it says', () => {
    assert.deepEqual(failed(testLeaf('CN=deep', second)), [
      'path length of CN=First: 1 CAs below it, 0 allowed',
    ]);
  });

  test('a missing intermediate is named', () => {
    assert.deepEqual(failed(leaf, { intermediates: [] }), [
      'trust of CN=leaf: its issuer CN=First is neither trusted nor known',
    ]);
  });

  test('a set of certificates that all name each other costs few signatures', () => {
    let checks = 0;
    const signedBy = () => ++checks > 0;
    const [one, ...others] = Array.from({ length: 16 }, (_, i) => ({
      ...testCa('CN=X').certificate,
      der: Uint8Array.of(i),
      signedBy,
    }));
    assert.ok(one);
    for (const trusted of [[], [root.certificate]]) {
      checks = 0;
      failed({ ...root, certificate: one }, { trusted, intermediates: others });
      assert.ok(checks > 0 && checks <= 16, `${checks}`);
    }
  });

  test("the key of a stranger's CA must be one of those in use", () => {
    for (const key of [
      { kind: 'rsa', bits: 16_384, exponentBits: 17 },
      { kind: 'rsa', bits: 3_072, exponentBits: 3_000 },
    ] as const) {
      const costly = { ...first.certificate, key };
      assert.deepEqual(failed(leaf, { intermediates: [costly] }), [
        'signature of CN=leaf: it does not verify with the key of CN=First',
        'trust of CN=leaf: its issuer CN=First is neither trusted nor known',
      ]);
      const rsaLeaf = { ...leaf, certificate: { ...leaf.certificate, key } };
      assert.equal(failed(rsaLeaf).length, key.bits > 10_000 ? 0 : 1, 'a long exponent is none for IKE');
    }
  });

  test('of several paths the good one counts', () => {
    const expired = testCa('CN=First', root, { keyName: 'CN=First', notAfterMs: testNowMs - dayMs });
    assert.deepEqual(failed(leaf, { intermediates: [expired.certificate, first.certificate] }), []);
    assert.deepEqual(failed(leaf, { intermediates: [expired.certificate] }), [
      'validity of CN=First: expired on 2026-01-14',
    ]);
  });

  test('CAs that issue each other end the walk', () => {
    const a = testCa('CN=A', testCa('CN=B'));
    const b = testCa('CN=B', testCa('CN=A'));
    const many = Array.from(
      { length: 40 },
      (_, i) => testCa('CN=A', testCa('CN=B'), { serialNumber: Uint8Array.of(1, i) }).certificate,
    );
    const found = failed(testLeaf('CN=x', a), { intermediates: [a.certificate, b.certificate, ...many] });
    assert.equal(found.filter(text => text.startsWith('trust')).length, 1, found.join('\n'));
  });

  test('a SHA-1 signature counts: CAs of Windows 2000 made no others', () => {
    assert.deepEqual(failed(testLeaf('CN=x', root, { hash: 'sha1' })), []);
  });

  test('CRLs: strength, age, signer, certificates of CAs', () => {
    const clean = testCrl(root, []);
    const crls = (...list: ChainSettings['crls']) => ({ crls: list, crlStrength: 2 }) as const;
    const cleanFirst = testCrl(first, []);
    assert.deepEqual(failed(leaf, crls(clean, cleanFirst)), []);
    assert.deepEqual(failed(leaf, { crlStrength: 2 }), [
      'revocation of CN=leaf: no CRL of CN=First',
      'revocation of CN=First: no CRL of CN=Root',
    ]);
    const revoked = testCrl(first, [leaf]);
    assert.deepEqual(failed(leaf, { crls: [revoked] }), [
      'revocation of CN=leaf: revoked on 2026-01-14 by CN=First',
    ]);
    assert.deepEqual(failed(leaf, { crls: [revoked], crlStrength: 0 }), []);
    assert.deepEqual(failed(leaf, { crls: [testCrl(root, [first])] }), [
      'revocation of CN=First: revoked on 2026-01-14 by CN=Root',
    ]);
    const old = { thisUpdateMs: testNowMs - 20 * dayMs, nextUpdateMs: testNowMs - dayMs };
    assert.deepEqual(
      failed(leaf, { crls: [testCrl(first, [leaf], old)] }),
      ['revocation of CN=leaf: revoked on 2025-12-26 by CN=First'],
      'it still was right then',
    );
    assert.deepEqual(failed(leaf, crls(clean, testCrl(first, [], old))), [
      'revocation of CN=leaf: the CRL of CN=First cannot be used: it is out of date',
    ]);
    const forged = testCrl({ ...first, privateKey: leaf.privateKey }, [leaf]);
    assert.deepEqual(failed(leaf, { crls: [forged] }), [], 'anybody could have made it');
    assert.deepEqual(failed(leaf, crls(clean, forged)), [
      'revocation of CN=leaf: the CRL of CN=First cannot be used: its signature is wrong',
    ]);
    assert.deepEqual(
      failed(leaf, {
        crls: [
          testCrl(first, [], old),
          revoked,
          testCrl(first, [], { ...old, nextUpdateMs: testNowMs + dayMs }),
        ],
      }).length,
      1,
      'the newest counts',
    );
  });
});
