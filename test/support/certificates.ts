/** Certificates made for tests: keys are generated once a process, everything else as a test asks. */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type Certificate, parseCertificate } from '../../src/crypto/certificates/certificate.js';
import {
  type Credentials,
  noCredentials,
  type OwnCertificate,
} from '../../src/crypto/certificates/credentials.js';
import { type Crl, parseCrl } from '../../src/crypto/certificates/crl.js';
import type { AlternativeName } from '../../src/crypto/certificates/extensions.js';
import {
  type CertificateTemplate,
  makeCertificate,
  makeCrl,
  serialBytes,
} from '../../src/crypto/certificates/make.js';
import { printPem } from '../../src/crypto/certificates/pem.js';
import { Secret } from '../../src/crypto/secret.js';
import { encodeName, parseNameText } from '../../src/wire/der/distinguished-name.js';

export type TestKeyKind = 'rsa' | 'prime256v1' | 'secp384r1' | 'secp521r1';

const keys = new Map<string, KeyObject>();

/** The private key of a name; the same every time. */
export function testKey(name: string, kind: TestKeyKind = 'rsa'): KeyObject {
  const id = `${kind} ${name}`;
  const known = keys.get(id);
  if (known) return known;
  const { privateKey } =
    kind === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: kind });
  keys.set(id, privateKey);
  return privateKey;
}

export function nameDer(text: string): Uint8Array {
  const attributes = parseNameText(text);
  if (attributes === undefined) throw new Error(`not a name: ${text}`);
  return encodeName(attributes);
}

const dayMs = 86_400_000;

/** When the certificates of tests are about to be used, unless said otherwise. */
export const testNowMs = Date.UTC(2026, 0, 15);

let lastSerialNumber = 0x1000;

/** A certificate with its private key. */
export interface Identity {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
}

export type IdentityOptions = Partial<Omit<CertificateTemplate, 'subject'>> & {
  readonly key?: TestKeyKind;
  /** Names the key, when it is not the subject's own. */
  readonly keyName?: string;
  readonly hash?: 'sha1' | 'sha256';
};

/** A CA: under `issuer`, or a root. */
export function testCa(subject: string, issuer?: Identity, options: IdentityOptions = {}): Identity {
  return issue(subject, issuer, { ca: {}, keyUsage: ['keyCertSign', 'cRLSign'], ...options });
}

/** A host's certificate. */
export function testLeaf(
  subject: string,
  issuer: Identity | undefined,
  options: IdentityOptions = {},
): Identity {
  return issue(subject, issuer, { keyUsage: ['digitalSignature'], ...options });
}

function issue(subjectText: string, issuer: Identity | undefined, options: IdentityOptions): Identity {
  const { key = 'rsa', keyName = subjectText, hash, ...template } = options;
  const subject = nameDer(subjectText);
  const privateKey = testKey(keyName, key);
  const der = makeCertificate(
    {
      subject,
      serialNumber: serialBytes((++lastSerialNumber).toString(16)),
      notBeforeMs: testNowMs - 30 * dayMs,
      notAfterMs: testNowMs + 365 * dayMs,
      ...template,
    },
    createPublicKey(privateKey),
    {
      name: issuer?.certificate.subject.der ?? subject,
      privateKey: issuer?.privateKey ?? privateKey,
      ...(hash === undefined ? {} : { hash }),
    },
  );
  return { certificate: parseCertificate(der), privateKey };
}

/** A CRL of `issuer` that revokes these. */
export function testCrl(
  issuer: Identity,
  revoked: readonly Identity[],
  times: { readonly thisUpdateMs?: number; readonly nextUpdateMs?: number } = {},
): Crl {
  const { thisUpdateMs = testNowMs - dayMs, nextUpdateMs = testNowMs + 30 * dayMs } = times;
  return parseCrl(
    makeCrl(
      {
        number: 1,
        thisUpdateMs,
        nextUpdateMs,
        revoked: revoked.map(({ certificate: { serialNumber } }) => ({
          serialNumber,
          revokedAtMs: thisUpdateMs,
        })),
      },
      { name: issuer.certificate.subject.der, privateKey: issuer.privateKey },
    ),
  );
}

export function ownCertificate(
  { certificate, privateKey }: Identity,
  ...chain: readonly Identity[]
): OwnCertificate {
  return { certificate, chain: chain.map(ca => ca.certificate), privateKey: new Secret(privateKey) };
}

export function credentials(overrides: Partial<Credentials>): Credentials {
  return { ...noCredentials, ...overrides };
}

export function dns(name: string): AlternativeName {
  return { kind: 'dns', name };
}

/** PEM of certificates, in their order. */
export function certificatePem(...identities: readonly Identity[]): string {
  return identities.map(({ certificate }) => printPem('CERTIFICATE', certificate.der)).join('');
}

export function keyPem({ privateKey }: Identity): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

export function crlPem({ der }: Crl): string {
  return printPem('X509 CRL', der);
}
