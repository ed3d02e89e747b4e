/** How the ends of an ad-hoc tunnel authenticate: by preshared key, by certificates that come with the tunnel, or either. */
import { CertificateError } from '../crypto/certificates/certificate.js';
import {
  type Credentials,
  type CrlStrength,
  crlStrengths,
  noCredentials,
} from '../crypto/certificates/credentials.js';
import {
  type CredentialFile,
  ownCertificateOf,
  readCredentialFile,
} from '../crypto/certificates/read-files.js';
import { Secret } from '../crypto/secret.js';
import type { AuthenticationMethod } from '../policy/model.js';
import { IpseckitError } from '../report/errors.js';
import type { TunnelSpec } from './tunnel.js';

/** The authentication of a tunnel document. Throws `IpseckitError` (USAGE, CONFLICT) naming the field. */
export function parseTunnelAuthentication(document: Record<string, unknown>): TunnelSpec['authentication'] {
  const { presharedKey, certificate } = document;
  const preshared = presharedKey !== undefined || certificate === undefined;
  if (preshared && (typeof presharedKey !== 'string' || presharedKey === ''))
    throw bad('presharedKey', 'must not be empty');
  return {
    ...(typeof presharedKey === 'string' ? { key: new Secret(presharedKey) } : {}),
    ...(certificate === undefined ? {} : { credentials: parseCredentials(document) }),
  };
}

function parseCredentials(document: Record<string, unknown>): Credentials {
  const own = readPem(document, 'certificate');
  const [privateKey] = [...readPem(document, 'privateKey').privateKeys, ...own.privateKeys];
  if (privateKey === undefined) throw bad('privateKey', 'holds no private key');
  const { certificates: trusted } = readPem(document, 'authorities');
  if (trusted.length === 0) throw bad('authorities', 'holds no certificate of a CA');
  return {
    ...noCredentials,
    own: [inField('certificate', () => ownCertificateOf(own.certificates, privateKey))],
    trusted,
    crls: readPem(document, 'crls').crls,
    crlStrength: crlStrength(document.crlCheck),
  };
}

/** The authentication methods of the tunnel's rules. */
export function authenticationMethods({ authentication }: TunnelSpec): AuthenticationMethod[] {
  const { key, credentials } = authentication;
  const names = credentials?.trusted.map(({ subject }) => subject.text);
  return [
    ...Array.from(new Set(names), authority => ({ kind: 'certificate', authority }) as const),
    ...(key === undefined ? [] : [{ kind: 'preshared', key } as const]),
  ];
}

function crlStrength(value: unknown): CrlStrength {
  if (value === undefined) return noCredentials.crlStrength;
  const found = crlStrengths.find(strength => strength === value);
  if (found === undefined) throw bad('crlCheck', `must be one of ${crlStrengths.join(', ')}`);
  return found;
}

function readPem(document: Record<string, unknown>, field: string): CredentialFile {
  const pem = document[field] ?? '';
  if (typeof pem !== 'string') throw bad(field, 'must be text');
  if (pem === '') return { certificates: [], crls: [], privateKeys: [] };
  return inField(field, () => readCredentialFile(Buffer.from(pem, 'latin1')));
}

function inField<T>(field: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof CertificateError) throw bad(field, error.message);
    throw error;
  }
}

function bad(field: string, why: string): IpseckitError {
  return new IpseckitError('USAGE', `${field}: ${why}`);
}
