/** What must not get lost in the store of certificates: revocation lists of other CAs, keys, what a CA has issued. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { AuthorityStore } from '../../src/agent/authority-store.js';
import { CertificateStore, requireCurrentCrl } from '../../src/agent/certificate-store.js';
import { type Certificate, parseCertificate } from '../../src/crypto/certificates/certificate.js';
import { type Crl, parseCrl } from '../../src/crypto/certificates/crl.js';
import { makeCertificate, makeCrl } from '../../src/crypto/certificates/make.js';
import { Secret } from '../../src/crypto/secret.js';
import { encodeName, parseNameText } from '../../src/wire/der/distinguished-name.js';

const folder = mkdtempSync(join(tmpdir(), 'ipseckit-store-'));
after(() => rmSync(folder, { recursive: true }));

const dayMs = 86_400_000;
const nowMs = Date.UTC(2026, 0, 1);

interface Issuer {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
}

let serial = 1;

function makeAuthority(name: string): Issuer {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const subject = encodeName(parseNameText(name) ?? []);
  const der = makeCertificate(
    {
      subject,
      serialNumber: Uint8Array.of(serial++),
      notBeforeMs: nowMs - dayMs,
      notAfterMs: nowMs + 1_000 * dayMs,
      ca: {},
      keyUsage: ['keyCertSign', 'cRLSign'],
    },
    createPublicKey(privateKey),
    { name: subject, privateKey },
  );
  return { certificate: parseCertificate(der), privateKey };
}

function listOf({ certificate, privateKey }: Issuer, day: number, revoked: readonly string[] = []): Crl {
  const thisUpdateMs = nowMs + day * dayMs;
  return parseCrl(
    makeCrl(
      {
        number: day,
        thisUpdateMs,
        nextUpdateMs: thisUpdateMs + 30 * dayMs,
        revoked: revoked.map(serialNumber => ({ serialNumber, revokedAtMs: thisUpdateMs })),
      },
      { name: certificate.subject.der, privateKey },
    ),
  );
}

function newStore(name: string): CertificateStore {
  return new CertificateStore(join(folder, name), () => 1);
}

const issuersIn = (store: CertificateStore) =>
  store
    .load()
    .crls.map(({ issuer, thisUpdateMs }) => `${issuer.text} ${(thisUpdateMs - nowMs) / dayMs}`)
    .sort();

describe('revocation lists', () => {
  test('of CAs whose names look alike in file names stay apart; a newer list takes the place of the older', () => {
    const store = newStore('crls');
    const long = 'C=US, O=The Very Long Organisation Name Of This Company Limited, OU=Department, CN=';
    const issuers = ['CN=Центр', 'CN=Корень', `${long}One`, `${long}Two`].map(makeAuthority);
    for (const issuer of issuers) store.addCrl(listOf(issuer, 1, ['ab']));
    for (const issuer of issuers.slice(1)) store.addCrl(listOf(issuer, 2));
    assert.deepEqual(issuersIn(store), ['CN=Центр 1', 'CN=Корень 2', `${long}One 2`, `${long}Two 2`].sort());
    assert.equal(readdirSync(store.path('crls')).length, 4);
  });

  test('of a CA with another key of the same name stay as well', () => {
    const store = newStore('renewed');
    const [before, now] = [makeAuthority('CN=Root'), makeAuthority('CN=Root')];
    for (const { certificate } of [before, now]) store.addAuthority(certificate, 'trusted');
    store.addCrl(listOf(before, 1));
    store.addCrl(listOf(now, 2));
    store.addCrl(listOf(now, 3));
    assert.deepEqual(issuersIn(store), ['CN=Root 1', 'CN=Root 3']);
  });

  test('that are older, or not signed by the CA, are refused', () => {
    const [root, stranger] = [makeAuthority('CN=Root'), makeAuthority('CN=Root')];
    const known = [listOf(root, 2, ['ab'])];
    const require = (crl: Crl) => requireCurrentCrl(crl, [root.certificate], known);
    assert.throws(
      () => require(listOf(root, 1)),
      /a newer revocation list of CN=Root is here already, of 2026-01-03/,
    );
    assert.throws(() => require(listOf(stranger, 3)), /not signed by that CA/);
    require(listOf(root, 2));
    require(listOf(root, 3));
    requireCurrentCrl(listOf(stranger, 1), [], []);
  });
});

test('the name of an own certificate is free for a renewal, and for nobody else', () => {
  const store = newStore('own');
  const own = ({ certificate, privateKey }: Issuer) => ({
    certificate,
    chain: [],
    privateKey: new Secret(privateKey),
  });
  const gateway = makeAuthority('CN=gw');
  store.requireFree('gw', gateway.certificate);
  store.addOwn('gw', own(gateway));
  store.requireFree('gw', makeAuthority('CN=gw').certificate);
  assert.throws(
    () => store.requireFree('gw', makeAuthority('CN=other').certificate),
    /another own certificate is called 'gw': CN=gw/,
  );
  writeFileSync(join(store.path('own'), 'gw.pem'), 'damaged');
  assert.throws(() => store.requireFree('gw', gateway.certificate), /another own certificate is called 'gw'/);
});

test('a CA forgets nothing that is issued at the same time', async () => {
  const store = new AuthorityStore(join(folder, 'authorities'));
  const { certificate, privateKey } = makeAuthority('CN=Root');
  await store.exclusively(() =>
    store.create('root', { certificate, chain: [], privateKey: new Secret(privateKey) }),
  );
  const issued = [1, 2, 3, 4].map(number => makeAuthority(`CN=${number}`).certificate);
  await Promise.all(issued.map(one => store.exclusively(() => store.addIssued('root', one))));
  assert.deepEqual(
    store
      .read('root')
      .record.issued.map(({ subject }) => subject)
      .sort(),
    ['CN=1', 'CN=2', 'CN=3', 'CN=4'],
  );
  writeFileSync(join(store.folder, '%zz.json'), '{}');
  assert.deepEqual(store.names(), ['root']);
});
