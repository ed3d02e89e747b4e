/** What a file of credentials holds: PEM with any mix of blocks, or the DER of one certificate, CRL or PKCS#7. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { Secret } from '../secret.js';
import { type Certificate, CertificateError, parseCertificate } from './certificate.js';
import type { OwnCertificate } from './credentials.js';
import { type Crl, parseCrl } from './crl.js';
import { parsePem } from './pem.js';
import { certificatesOfPkcs7 } from './pkcs7.js';

export interface CredentialFile {
  readonly certificates: readonly Certificate[];
  readonly crls: readonly Crl[];
  readonly privateKeys: readonly Secret<KeyObject>[];
}

/** Reads a file. Throws `CertificateError`; a private key that needs a passphrase and lacks it says so. */
export function readCredentialFile(bytes: Uint8Array, passphrase?: Secret<string>): CredentialFile {
  const text = Buffer.from(bytes).toString('latin1');
  if (!text.includes('-----BEGIN ')) return readDer(bytes);
  const certificates: Certificate[] = [];
  const crls: Crl[] = [];
  for (const { label, der } of parsePem(text)) {
    if (label === 'CERTIFICATE' || label === 'X509 CERTIFICATE') certificates.push(parseCertificate(der));
    if (label === 'PKCS7' || label === 'CMS')
      certificates.push(...certificatesOfPkcs7(der).map(parseCertificate));
    if (label === 'X509 CRL') crls.push(parseCrl(der));
  }
  return { certificates, crls, privateKeys: readPrivateKeys(text, passphrase) };
}

function readDer(bytes: Uint8Array): CredentialFile {
  const attempts: (() => CredentialFile)[] = [
    () => ({ certificates: [parseCertificate(bytes)], crls: [], privateKeys: [] }),
    () => ({ certificates: [], crls: [parseCrl(bytes)], privateKeys: [] }),
    () => ({ certificates: certificatesOfPkcs7(bytes).map(parseCertificate), crls: [], privateKeys: [] }),
  ];
  let first: CertificateError | undefined;
  for (const attempt of attempts) {
    try {
      return attempt();
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      first ??= error;
    }
  }
  throw first ?? new CertificateError('it is empty');
}

const keyBlock = /-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----[^-]*-----END \1-----/g;

function readPrivateKeys(text: string, passphrase: Secret<string> | undefined): Secret<KeyObject>[] {
  return [...text.matchAll(keyBlock)].map(([block]) => {
    const encrypted = /ENCRYPTED/.test(block);
    if (encrypted && passphrase === undefined)
      throw new CertificateError('the private key needs its passphrase');
    try {
      return new Secret(
        createPrivateKey({
          key: block,
          ...(passphrase === undefined ? {} : { passphrase: passphrase.reveal() }),
        }),
      );
    } catch {
      // OpenSSL's words tell nothing more, and might repeat what must not be shown.
      throw new CertificateError(
        encrypted
          ? 'the private key cannot be read: the passphrase is wrong'
          : 'the private key cannot be read',
      );
    }
  });
}

/** Whether they are two halves of one key. */
export function keysBelong(publicKey: KeyObject, privateKey: KeyObject): boolean {
  return createPublicKey(privateKey).equals(publicKey);
}

/**
 * A private key with its certificate among `certificates`, and above that the chain as far as they make one. Throws
 * `CertificateError` when none of them is the key's.
 */
export function ownCertificateOf(
  certificates: readonly Certificate[],
  privateKey: Secret<KeyObject>,
): OwnCertificate {
  const certificate = certificates.find(({ publicKey }) => keysBelong(publicKey, privateKey.reveal()));
  if (certificate === undefined)
    throw new CertificateError('the private key belongs to none of the certificates');
  const chain: Certificate[] = [];
  for (let last = certificate; ; ) {
    const issuer = certificates.find(
      ca => ca !== last && !chain.includes(ca) && last.signedBy(ca.publicKey) && !ca.signedBy(ca.publicKey),
    );
    if (issuer === undefined) return { certificate, chain, privateKey };
    chain.push(issuer);
    last = issuer;
  }
}
