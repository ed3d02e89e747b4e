import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes, sign, verify, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { CertificateError, parseCertificate } from '../../../src/crypto/certificates/certificate.js';
import { parseCrl } from '../../../src/crypto/certificates/crl.js';
import { makeRequest } from '../../../src/crypto/certificates/make.js';
import { printPem } from '../../../src/crypto/certificates/pem.js';
import { certificatesOfPkcs7 } from '../../../src/crypto/certificates/pkcs7.js';
import { readCredentialFile } from '../../../src/crypto/certificates/read-files.js';
import { parseRequest } from '../../../src/crypto/certificates/request.js';
import { type EcdsaCurve, ecdsaSign, ecdsaVerifies } from '../../../src/crypto/ecdsa.js';
import { rsaSign, rsaVerifies } from '../../../src/crypto/rsa-signature.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { generator } from '../../ike/harness.js';
import { dns, nameDer, testCa, testCrl, testKey, testLeaf, testNowMs } from '../../support/certificates.js';

const folder = mkdtempSync(join(tmpdir(), 'ipseckit-x509-'));
after(() => rmSync(folder, { recursive: true }));

const root = testCa('C=DE, O="Example, Inc.", CN=Root');
const leaf = testLeaf('C=DE, O="Example, Inc.", OU=A + CN=leaf', root, {
  alternativeNames: [dns('leaf.example.com'), { kind: 'address', address: ipAddress('2001:db8::1') }],
  crlUris: ['http://crl.example.com/root.crl'],
  extendedKeyUsage: ['1.3.6.1.5.5.8.2.2'],
});
const crl = testCrl(root, [leaf]);

describe('reading certificates', () => {
  test('every field, as OpenSSL reads it', () => {
    const { certificate } = leaf;
    const judge = new X509Certificate(certificate.der);
    assert.equal(certificate.serialNumber.toUpperCase(), judge.serialNumber);
    assert.equal(certificate.notAfterMs, Date.parse(judge.validTo));
    assert.equal(certificate.notBeforeMs, Date.parse(judge.validFrom));
    assert.match(certificate.subject.text, /^C=DE, O="Example, Inc\.", (OU=A \+ CN=leaf|CN=leaf \+ OU=A)$/);
    assert.deepEqual(certificate.crlDistributionPoints, ['http://crl.example.com/root.crl']);
    assert.deepEqual([...(certificate.keyUsage ?? [])], ['digitalSignature']);
    assert.deepEqual(certificate.extendedKeyUsage, ['1.3.6.1.5.5.8.2.2']);
    assert.equal(judge.subjectAltName, 'DNS:leaf.example.com, IP Address:2001:DB8:0:0:0:0:0:1');
    assert.deepEqual(certificate.alternativeNames[1], { kind: 'address', address: ipAddress('2001:db8::1') });
    assert.equal(certificate.signatureHash, 'sha256');
    assert.ok(certificate.signedBy(root.certificate.publicKey));
    assert.ok(!certificate.signedBy(certificate.publicKey));
    assert.deepEqual(root.certificate.basicConstraints, { ca: true });
  });

  test('garbage, truncation and any flipped byte give a certificate or a named reason', () => {
    const seed = 20_260_115;
    console.log(`seed ${seed}`);
    const random = generator(seed);
    const samples = [
      leaf.certificate.der,
      crl.der,
      makeRequest([dns('x')], { name: nameDer('CN=x'), privateKey: leaf.privateKey }),
    ];
    const readers = [
      parseCertificate,
      parseCrl,
      parseRequest,
      certificatesOfPkcs7,
      readCredentialFile,
    ] as const;
    const attempt = (bytes: Uint8Array) => {
      for (const read of readers) {
        try {
          read(bytes);
        } catch (error) {
          if (!(error instanceof CertificateError)) throw error;
          assert.ok(error.message.length > 5 && error.message.length < 500, error.message);
        }
      }
    };
    for (const sample of samples) {
      for (let length = 0; length < sample.length; length += 7) attempt(sample.subarray(0, length));
      for (let i = 0; i < 1_500; i++) {
        const changed = Uint8Array.from(sample);
        for (let flips = 1 + (random() % 3); flips > 0; flips--)
          changed[random() % changed.length] = random() & 0xff;
        attempt(changed);
      }
    }
    for (let i = 0; i < 500; i++) attempt(Uint8Array.from({ length: random() % 300 }, () => random() & 0xff));
    // Nested a thousand deep, and lengths that lie.
    attempt(Uint8Array.from({ length: 4_000 }, (_, i) => (i % 2 === 0 ? 0x30 : 0x80)));
    attempt(Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff));
  });

  test('trailing bytes, a repeated extension and a non-DER length are refused', () => {
    assert.throws(
      () => parseCertificate(Buffer.concat([leaf.certificate.der, Uint8Array.of(0)])),
      /trailing-bytes/,
    );
    const twice = { oid: '1.2.3.4', critical: false, content: Uint8Array.of(5, 0) };
    assert.throws(
      () => testLeaf('CN=x', root, { furtherExtensions: [twice, twice] }),
      /extension 1\.2\.3\.4 twice/,
    );
    const long = Uint8Array.from([0x30, 0x83, 0x00, ...leaf.certificate.der.subarray(2)]);
    assert.throws(() => parseCertificate(long), /bad-length/);
  });
});

describe('PKCS#7, CRLs and requests', () => {
  test('PKCS#7 as OpenSSL writes it', () => {
    const file = join(folder, 'chain.pem');
    const pem = [leaf, root].map(({ certificate }) => printPem('CERTIFICATE', certificate.der)).join('');
    writeFileSync(file, pem);
    const made = spawnSync('openssl', ['crl2pkcs7', '-nocrl', '-certfile', file, '-outform', 'DER']);
    assert.equal(made.status, 0);
    const found = certificatesOfPkcs7(made.stdout).map(parseCertificate);
    assert.deepEqual(
      found.map(({ fingerprint }) => fingerprint).sort(),
      [leaf, root].map(({ certificate }) => certificate.fingerprint).sort(),
    );
    assert.equal(readCredentialFile(made.stdout).certificates.length, 2);
    assert.equal(readCredentialFile(Buffer.from(pem)).certificates.length, 2);
  });

  test('a CRL and who signed it', () => {
    assert.deepEqual([...crl.revokedAtMs.keys()], [leaf.certificate.serialNumber]);
    assert.equal(crl.thisUpdateMs, testNowMs - 86_400_000);
    assert.ok(crl.signedBy(root.certificate));
    assert.ok(!crl.signedBy(leaf.certificate));
  });

  test('a request proves its key', () => {
    const der = makeRequest([dns('a.example.com')], { name: nameDer('CN=a'), privateKey: leaf.privateKey });
    const request = parseRequest(der);
    assert.equal(request.subject.text, 'CN=a');
    assert.deepEqual(request.alternativeNames, [dns('a.example.com')]);
    const forged = Uint8Array.from(der);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    assert.throws(() => parseRequest(forged), /signature does not verify/);
  });
});

describe('raw signatures', () => {
  test('RSA signs the hash itself: no DigestInfo, as OpenSSL verifies', () => {
    const hash = randomBytes(20);
    const signature = rsaSign(leaf.privateKey, hash);
    assert.ok(rsaVerifies(leaf.certificate.publicKey, hash, signature));
    assert.ok(!rsaVerifies(leaf.certificate.publicKey, randomBytes(20), signature));
    assert.ok(!rsaVerifies(root.certificate.publicKey, hash, signature));
    const withDigestInfo = sign('sha1', Buffer.from('x'), leaf.privateKey);
    assert.ok(
      !rsaVerifies(leaf.certificate.publicKey, createHash('sha1').update('x').digest(), withDigestInfo),
    );
    for (const bad of [
      new Uint8Array(0),
      new Uint8Array(256),
      new Uint8Array(256).fill(0xff),
      signature.subarray(1),
    ])
      assert.ok(!rsaVerifies(leaf.certificate.publicKey, hash, bad));
  });

  const curves = { prime256v1: 'sha256', secp384r1: 'sha384', secp521r1: 'sha512' } as const satisfies Record<
    EcdsaCurve,
    string
  >;
  for (const curve of ['prime256v1', 'secp384r1', 'secp521r1'] as const)
    test(`ECDSA on ${curve}, against OpenSSL both ways`, () => {
      const privateKey = testKey('ecdsa', curve);
      const { certificate } = testLeaf('CN=ec', root, { key: curve, keyName: 'ecdsa' });
      const { publicKey } = certificate;
      const dsaEncoding = 'ieee-p1363';
      for (let i = 0; i < 8; i++) {
        const message = randomBytes(40);
        const hash = createHash(curves[curve]).update(message).digest();
        const ours = ecdsaSign(curve, privateKey, hash, randomBytes);
        assert.ok(verify(curves[curve], message, { key: publicKey, dsaEncoding }, ours));
        const theirs = sign(curves[curve], message, { key: privateKey, dsaEncoding });
        assert.ok(ecdsaVerifies(curve, publicKey, hash, theirs));
        assert.ok(!ecdsaVerifies(curve, publicKey, createHash(curves[curve]).digest(), theirs));
      }
      const hash = randomBytes(32);
      const signature = ecdsaSign(curve, privateKey, hash, randomBytes);
      const half = signature.length / 2;
      const zeroR = Buffer.concat([new Uint8Array(half), signature.subarray(half)]);
      const zeroS = Buffer.concat([signature.subarray(0, half), new Uint8Array(half)]);
      const large = new Uint8Array(signature.length).fill(0xff);
      for (const bad of [zeroR, zeroS, large, signature.subarray(1), new Uint8Array(0)])
        assert.ok(!ecdsaVerifies(curve, publicKey, hash, bad));
      assert.ok(!ecdsaVerifies(curve, leaf.certificate.publicKey, hash, signature));
    });
});
