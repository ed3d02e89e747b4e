/** Signature algorithms of certificates, CRLs and requests by object identifier (RFC 4055, RFC 5758). */
import { type KeyObject, verify } from 'node:crypto';

interface SignatureAlgorithm {
  readonly oid: string;
  readonly key: 'rsa' | 'ec';
  /** OpenSSL's name of the hash. */
  readonly hash: string;
}

export const signatureAlgorithms: readonly SignatureAlgorithm[] = [
  { oid: '1.2.840.113549.1.1.2', key: 'rsa', hash: 'md2' },
  { oid: '1.2.840.113549.1.1.4', key: 'rsa', hash: 'md5' },
  { oid: '1.2.840.113549.1.1.5', key: 'rsa', hash: 'sha1' },
  { oid: '1.3.14.3.2.29', key: 'rsa', hash: 'sha1' },
  { oid: '1.2.840.113549.1.1.11', key: 'rsa', hash: 'sha256' },
  { oid: '1.2.840.113549.1.1.12', key: 'rsa', hash: 'sha384' },
  { oid: '1.2.840.113549.1.1.13', key: 'rsa', hash: 'sha512' },
  { oid: '1.2.840.10045.4.1', key: 'ec', hash: 'sha1' },
  { oid: '1.2.840.10045.4.3.2', key: 'ec', hash: 'sha256' },
  { oid: '1.2.840.10045.4.3.3', key: 'ec', hash: 'sha384' },
  { oid: '1.2.840.10045.4.3.4', key: 'ec', hash: 'sha512' },
];

/** The hash of a signature algorithm. */
export function hashNameOf(oid: string): string | undefined {
  return signatureAlgorithms.find(algorithm => algorithm.oid === oid)?.hash;
}

/** Whether `key` signed `content`; false for an algorithm we do not know. */
export function signatureVerifies(
  oid: string,
  content: Uint8Array,
  key: KeyObject,
  signature: Uint8Array,
): boolean {
  const algorithm = signatureAlgorithms.find(candidate => candidate.oid === oid);
  if (algorithm === undefined || algorithm.key !== key.asymmetricKeyType) return false;
  try {
    return verify(algorithm.hash, content, key, signature);
  } catch {
    return false;
  }
}
