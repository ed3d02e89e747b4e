/** PKCS#12 (`.p12`, `.pfx`): a private key and its certificates behind one passphrase. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import forge from 'node-forge';
import { Secret } from '../secret.js';
import { CertificateError, parseCertificate } from './certificate.js';
import type { OwnCertificate } from './credentials.js';
import type { CredentialFile } from './read-files.js';

const { asn1, pki, pkcs12, util } = forge;

/** Whether the bytes begin like a PKCS#12 file: a sequence whose first value is the version, 3. */
export function isPkcs12(bytes: Uint8Array): boolean {
  const start = bytes[1] !== undefined && bytes[1] >= 0x80 ? 2 + (bytes[1] & 0x7f) : 2;
  return bytes[0] === 0x30 && bytes[start] === 2 && bytes[start + 1] === 1 && bytes[start + 2] === 3;
}

/** Throws `CertificateError`, also when the passphrase is wrong. */
export function readPkcs12(bytes: Uint8Array, passphrase: Secret<string>): CredentialFile {
  let bags: forge.pkcs12.Bag[];
  try {
    const content = asn1.fromDer(Buffer.from(bytes).toString('binary'));
    const file = pkcs12.pkcs12FromAsn1(content, passphrase.reveal());
    bags = file.safeContents.flatMap(({ safeBags }) => safeBags);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CertificateError(
      /password|MAC/i.test(why) ? 'PKCS#12: the passphrase is wrong' : `PKCS#12: ${why}`,
    );
  }
  const { certBag, keyBag, pkcs8ShroudedKeyBag } = pki.oids;
  const ofType = (...types: (string | undefined)[]) => bags.filter(({ type }) => types.includes(type));
  return {
    certificates: ofType(certBag).map(bag =>
      parseCertificate(derOf(bag.cert ? pki.certificateToAsn1(bag.cert) : bag.asn1)),
    ),
    crls: [],
    privateKeys: ofType(keyBag, pkcs8ShroudedKeyBag).map(bag => {
      const key = bag.key ? pki.wrapRsaPrivateKey(pki.privateKeyToAsn1(bag.key)) : bag.asn1;
      return new Secret<KeyObject>(
        createPrivateKey({ key: Buffer.from(derOf(key)), format: 'der', type: 'pkcs8' }),
      );
    }),
  };
}

/**
 * Throws `CertificateError` for a key that is not RSA: the library cannot write others. 3DES and SHA-1, as every
 * Windows reads them.
 */
export function makePkcs12(
  { certificate, chain, privateKey }: OwnCertificate,
  furtherCertificates: readonly OwnCertificate['certificate'][],
  name: string,
  passphrase: Secret<string>,
): Uint8Array {
  if (certificate.key.kind !== 'rsa') throw new CertificateError('PKCS#12 is written for RSA keys only');
  const key = pki.privateKeyFromPem(privateKey.reveal().export({ type: 'pkcs8', format: 'pem' }).toString());
  const certificates = [certificate, ...chain, ...furtherCertificates].map(({ der }) =>
    pki.certificateFromAsn1(asn1.fromDer(Buffer.from(der).toString('binary'))),
  );
  const file = pkcs12.toPkcs12Asn1(key, certificates, passphrase.reveal(), {
    algorithm: '3des',
    friendlyName: name,
  });
  return derOf(file);
}

function derOf(value: forge.asn1.Asn1): Uint8Array {
  return Uint8Array.from(Buffer.from(util.encode64(asn1.toDer(value).getBytes()), 'base64'));
}
