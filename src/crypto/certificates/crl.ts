/** Certificate revocation lists (RFC 5280 5) and what they say of a certificate. */
import { toHex, WireError } from '../../wire/bytes.js';
import {
  contextTag,
  DerReader,
  type DerValue,
  derTags,
  parseDer,
  readBitString,
  readOid,
  readTime,
} from '../../wire/der/der.js';
import { type DistinguishedName, namesEqual, readName } from '../../wire/der/distinguished-name.js';
import { type Certificate, CertificateError } from './certificate.js';
import { readExtension } from './extensions.js';
import { signatureVerifies } from './signature-algorithms.js';

export interface Crl {
  readonly der: Uint8Array;
  readonly issuer: DistinguishedName;
  readonly thisUpdateMs: number;
  /** Absent: the issuer promises no newer one. */
  readonly nextUpdateMs?: number;
  /** When each serial number (hexadecimal, no leading zeros) was revoked. */
  readonly revokedAtMs: ReadonlyMap<string, number>;
  /** Critical extensions: it speaks for a part only (a delta, one distribution point), which we cannot judge. */
  readonly unknownCritical: readonly string[];
  signedBy(issuer: Certificate): boolean;
}

/** Entries of one list at most. */
const maxEntries = 1_000_000;

/** Reads a CRL. Throws `CertificateError`, whatever the bytes are. */
export function parseCrl(bytes: Uint8Array): Crl {
  const der = Uint8Array.from(bytes);
  try {
    return readCrl(der);
  } catch (error) {
    if (error instanceof WireError) throw new CertificateError(`CRL: ${error.message}`, { cause: error });
    throw error;
  }
}

function readCrl(der: Uint8Array): Crl {
  const whole = DerReader.inside(parseDer(der, 'certificate list', derTags.SEQUENCE));
  const content = whole.next('TBSCertList', derTags.SEQUENCE);
  const signatureOid = readOid(whole.enter('signature algorithm').next('algorithm', derTags.OID));
  const signature = readBitString(whole.next('signature', derTags['BIT STRING']), 'signature').octets;
  whole.end('certificate list');
  const body = DerReader.inside(content);
  body.optional('version', derTags.INTEGER);
  body.next('signature algorithm', derTags.SEQUENCE);
  const issuer = readName(body.next('issuer', derTags.SEQUENCE));
  const thisUpdateMs = readTime(body.next('this update'), 'this update');
  const nextUpdate =
    body.optional('next update', derTags.UTCTime) ?? body.optional('next update', derTags.GeneralizedTime);
  const entries = body.optional('revoked certificates', derTags.SEQUENCE);
  const extensions = body.optional('extensions', contextTag(0));
  body.end('TBSCertList');
  return {
    der,
    issuer,
    thisUpdateMs,
    ...(nextUpdate === undefined ? {} : { nextUpdateMs: readTime(nextUpdate, 'next update') }),
    revokedAtMs: new Map(entries === undefined ? [] : readEntries(entries)),
    unknownCritical: extensions === undefined ? [] : criticalOf(extensions),
    signedBy: ({ publicKey }) => signatureVerifies(signatureOid, content.bytes, publicKey, signature),
  };
}

function readEntries(entries: DerValue): (readonly [string, number])[] {
  return DerReader.inside(entries)
    .all('revoked certificate', maxEntries)
    .map(entry => {
      const reader = DerReader.inside(entry);
      const serial = reader.next('serial number', derTags.INTEGER).content;
      return [
        toHex(serial).replace(/^(00)+(?=.)/, ''),
        readTime(reader.next('revocation date'), 'revocation date'),
      ];
    });
}

function criticalOf(extensions: DerValue): string[] {
  return DerReader.inside(extensions)
    .enter('extensions')
    .all('extension', 64)
    .map(readExtension)
    .filter(({ critical }) => critical)
    .map(({ oid }) => oid);
}

/**
 * Whether `crl` and `other` are lists of one CA: of the same name and, where the CA of `crl` is among `authorities`,
 * signed by its key.
 */
export function ofSameIssuer(crl: Crl, other: Crl, authorities: readonly Certificate[]): boolean {
  if (!namesEqual(crl.issuer, other.issuer)) return false;
  const signer = authorities.find(one => namesEqual(one.subject, crl.issuer) && crl.signedBy(one));
  return signer === undefined || other.signedBy(signer);
}

/** What the lists at hand say of a certificate. */
export type Revocation =
  | { readonly state: 'good'; readonly detail: string }
  | { readonly state: 'revoked'; readonly detail: string }
  /** No usable list of its issuer. */
  | { readonly state: 'unknown'; readonly detail: string };

/** Looks a certificate up in the newest usable list of its issuer. */
export function revocationOf(
  { issuer: issuerName, serialNumber }: Certificate,
  issuer: Certificate,
  crls: readonly Crl[],
  nowMs: number,
): Revocation {
  const candidates = crls
    .filter(crl => namesEqual(crl.issuer, issuerName))
    .sort((a, b) => b.thisUpdateMs - a.thisUpdateMs);
  if (candidates.length === 0) return { state: 'unknown', detail: `no CRL of ${issuerName.text}` };
  const problems: string[] = [];
  for (const crl of candidates) {
    const problem = unusable(crl, issuer, nowMs);
    const revokedAtMs = crl.revokedAtMs.get(serialNumber);
    // A list that is too old still is right about what it revokes.
    if (revokedAtMs !== undefined && (problem === undefined || problem === 'it is out of date'))
      return { state: 'revoked', detail: `revoked on ${day(revokedAtMs)} by ${issuerName.text}` };
    if (problem === undefined)
      return { state: 'good', detail: `not in the CRL of ${day(crl.thisUpdateMs)} of ${issuerName.text}` };
    problems.push(problem);
  }
  return { state: 'unknown', detail: `the CRL of ${issuerName.text} cannot be used: ${problems.join('; ')}` };
}

function unusable(crl: Crl, issuer: Certificate, nowMs: number): string | undefined {
  if (issuer.keyUsage !== undefined && !issuer.keyUsage.has('cRLSign')) return 'its issuer may not sign CRLs';
  if (!crl.signedBy(issuer)) return 'its signature is wrong';
  if (crl.unknownCritical.length > 0)
    return `it has critical extensions that are not understood: ${crl.unknownCritical.join(', ')}`;
  if (crl.thisUpdateMs > nowMs) return `it is of ${day(crl.thisUpdateMs)}, in the future`;
  return crl.nextUpdateMs !== undefined && crl.nextUpdateMs < nowMs ? 'it is out of date' : undefined;
}

/** `2026-11-24`. */
export function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
