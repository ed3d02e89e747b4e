/**
 * X.509 certificates (RFC 5280) as the engine sees them. The structure is read here, so that names stay byte for byte
 * what they were; keys and signatures are OpenSSL's business.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { toHex, WireError } from '../../wire/bytes.js';
import { contextTag, DerReader, derTags, parseDer, readOid, readTime } from '../../wire/der/der.js';
import { type DistinguishedName, readName } from '../../wire/der/distinguished-name.js';
import { type CertificateExtensions, readExtensions } from './extensions.js';
import { hashNameOf } from './signature-algorithms.js';

/** What kind of key it is; the curve is OpenSSL's name (`prime256v1`). */
export type CertificateKey =
  | { readonly kind: 'rsa'; readonly bits: number; readonly exponentBits: number }
  | { readonly kind: 'ec'; readonly curve: string }
  | { readonly kind: 'other'; readonly name: string };

export interface Certificate extends CertificateExtensions {
  readonly der: Uint8Array;
  /** Hexadecimal, no leading zeros. */
  readonly serialNumber: string;
  readonly subject: DistinguishedName;
  readonly issuer: DistinguishedName;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly key: CertificateKey;
  readonly publicKey: KeyObject;
  /** Hash of its signature (`sha256`), `undefined` when the algorithm is unknown. */
  readonly signatureHash: string | undefined;
  /** SHA-256 of the DER: names it in lists. */
  readonly fingerprint: string;
  /** Whether `issuerKey` signed it. */
  signedBy(issuerKey: KeyObject): boolean;
}

/** The bytes are no usable certificate; the message says why and where. */
export class CertificateError extends Error {
  constructor(what: string, options?: ErrorOptions) {
    super(what, options);
    this.name = 'CertificateError';
  }
}

/** Reads one certificate. Throws `CertificateError`, whatever the bytes are. */
export function parseCertificate(bytes: Uint8Array): Certificate {
  // A copy: the certificate outlives the datagram it came in.
  const der = Uint8Array.from(bytes);
  try {
    return readCertificate(der);
  } catch (error) {
    if (error instanceof WireError) throw new CertificateError(error.message, { cause: error });
    throw error;
  }
}

function readCertificate(der: Uint8Array): Certificate {
  const whole = DerReader.inside(parseDer(der, 'certificate', derTags.SEQUENCE));
  const body = whole.enter('TBSCertificate');
  body.optional('version', contextTag(0));
  const serialNumber = toHex(body.next('serial number', derTags.INTEGER).content).replace(/^(00)+(?=.)/, '');
  const signatureOid = readOid(body.enter('signature algorithm').next('algorithm', derTags.OID));
  const issuer = readName(body.next('issuer', derTags.SEQUENCE));
  const validity = body.enter('validity');
  const notBeforeMs = readTime(validity.next('not before'), 'not before');
  const notAfterMs = readTime(validity.next('not after'), 'not after');
  const subject = readName(body.next('subject', derTags.SEQUENCE));
  body.next('public key', derTags.SEQUENCE);
  for (const unique of [0x81, 0x82]) body.optional('unique identifier', unique);
  const extensions = readExtensions(body.optional('extensions', contextTag(3)));
  body.end('TBSCertificate');
  const x509 = openssl(() => new X509Certificate(der));
  const publicKey = openssl(() => x509.publicKey);
  return {
    der,
    serialNumber,
    subject,
    issuer,
    notBeforeMs,
    notAfterMs,
    key: keyOf(publicKey),
    publicKey,
    signatureHash: hashNameOf(signatureOid),
    fingerprint: x509.fingerprint256.replaceAll(':', '').toLowerCase(),
    ...extensions,
    signedBy(issuerKey) {
      try {
        return x509.verify(issuerKey);
      } catch {
        // A key of another kind than the signature's.
        return false;
      }
    },
  };
}

/** OpenSSL refuses some of what we would read. */
function openssl<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CertificateError(`not a certificate OpenSSL accepts: ${why}`, { cause: error });
  }
}

/** The kind of a key. */
export function keyOf(key: KeyObject): CertificateKey {
  const { asymmetricKeyType = 'unknown', asymmetricKeyDetails: details } = key;
  if (asymmetricKeyType === 'rsa') {
    const { modulusLength: bits = 0, publicExponent = 0n } = details ?? {};
    return { kind: 'rsa', bits, exponentBits: publicExponent.toString(2).length };
  }
  if (asymmetricKeyType === 'ec' && details?.namedCurve !== undefined)
    return { kind: 'ec', curve: details.namedCurve };
  return { kind: 'other', name: asymmetricKeyType };
}

/** `RSA 2048`, `EC prime256v1`. */
export function printKey(key: CertificateKey): string {
  switch (key.kind) {
    case 'rsa':
      return `RSA ${key.bits}`;
    case 'ec':
      return `EC ${key.curve}`;
    case 'other':
      return key.name;
  }
}
