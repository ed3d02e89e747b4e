/** Certification requests (PKCS#10, RFC 2986) as a CA reads them. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { WireError } from '../../wire/bytes.js';
import { contextTag, DerReader, derTags, parseDer, readBitString, readOid } from '../../wire/der/der.js';
import { type DistinguishedName, readName } from '../../wire/der/distinguished-name.js';
import { CertificateError } from './certificate.js';
import { type AlternativeName, readExtensionList } from './extensions.js';
import { extensionRequestOid } from './make.js';
import { signatureVerifies } from './signature-algorithms.js';

export interface CertificateRequest {
  readonly subject: DistinguishedName;
  readonly publicKey: KeyObject;
  readonly alternativeNames: readonly AlternativeName[];
}

/** Reads a request. Throws `CertificateError`, also when its signature does not prove that the key is the sender's. */
export function parseRequest(bytes: Uint8Array): CertificateRequest {
  try {
    return readRequest(bytes);
  } catch (error) {
    if (error instanceof WireError) throw new CertificateError(`request: ${error.message}`, { cause: error });
    throw error;
  }
}

function readRequest(bytes: Uint8Array): CertificateRequest {
  const whole = DerReader.inside(parseDer(bytes, 'certification request', derTags.SEQUENCE));
  const content = whole.next('request information', derTags.SEQUENCE);
  const signatureOid = readOid(whole.enter('signature algorithm').next('algorithm', derTags.OID));
  const signature = readBitString(whole.next('signature', derTags['BIT STRING']), 'signature').octets;
  const body = DerReader.inside(content);
  body.next('version', derTags.INTEGER);
  const subject = readName(body.next('subject', derTags.SEQUENCE));
  const publicKey = publicKeyOf(body.next('public key', derTags.SEQUENCE).bytes);
  const attributes = body.optional('attributes', contextTag(0));
  if (!signatureVerifies(signatureOid, content.bytes, publicKey, signature))
    throw new CertificateError('request: its signature does not verify');
  const wanted = attributes === undefined ? [] : DerReader.inside(attributes).all('attribute', 32);
  const alternativeNames = wanted.flatMap(attribute => {
    const reader = DerReader.inside(attribute);
    if (readOid(reader.next('attribute type', derTags.OID)) !== extensionRequestOid) return [];
    return readExtensionList(reader.enter('attribute values', derTags.SET).enter('extensions'))
      .alternativeNames;
  });
  return { subject, publicKey, alternativeNames };
}

function publicKeyOf(der: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
  } catch (error) {
    throw new CertificateError('request: its public key cannot be read', { cause: error });
  }
}
