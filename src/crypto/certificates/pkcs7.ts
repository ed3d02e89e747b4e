/** PKCS#7 SignedData without content or signatures: certificates in one wrapping (RFC 2315 9; CERT encoding 1). */
import { WireError } from '../../wire/bytes.js';
import { contextTag, DerReader, derTags, parseDer, readOid } from '../../wire/der/der.js';
import { derExplicit, derInteger, derOid, derSequence, derSetOf } from '../../wire/der/der-writer.js';
import { CertificateError } from './certificate.js';

const signedData = '1.2.840.113549.1.7.2';
const data = '1.2.840.113549.1.7.1';

/** Certificates of one peer that are looked at, in one wrapping or several: what goes beyond is no chain but an attack. */
export const maxCertificates = 16;

/** The DER of each certificate, in the order they stand in. Throws `CertificateError`. */
export function certificatesOfPkcs7(bytes: Uint8Array): Uint8Array[] {
  try {
    const content = DerReader.inside(parseDer(bytes, 'PKCS#7', derTags.SEQUENCE));
    const type = readOid(content.next('content type', derTags.OID));
    if (type !== signedData) throw new CertificateError(`PKCS#7 of type ${type}, not signed data`);
    const body = content.enter('content', contextTag(0)).enter('signed data');
    body.next('version', derTags.INTEGER);
    body.next('digest algorithms', derTags.SET);
    body.next('content info', derTags.SEQUENCE);
    const certificates = body.optional('certificates', contextTag(0));
    if (certificates === undefined) return [];
    return DerReader.inside(certificates)
      .all('certificate', maxCertificates)
      .filter(({ tag }) => tag === derTags.SEQUENCE)
      .map(certificate => certificate.bytes);
  } catch (error) {
    if (error instanceof WireError) throw new CertificateError(`PKCS#7: ${error.message}`, { cause: error });
    throw error;
  }
}

/** The wrapping of these certificates: no content, no signers (RFC 2315 9, what Windows sends of a chain). */
export function pkcs7OfCertificates(certificates: readonly Uint8Array[]): Uint8Array {
  return derSequence(
    derOid(signedData),
    derExplicit(
      0,
      derSequence(
        derInteger(1),
        derSetOf(),
        derSequence(derOid(data)),
        derExplicit(0, ...certificates),
        derSetOf(),
      ),
    ),
  );
}
