import { readBytes } from '../agent/certificate-store.js';
import { CertificateError } from '../crypto/certificates/certificate.js';
import { type CredentialFile, readCredentialFile } from '../crypto/certificates/read-files.js';
import { IpseckitError } from '../report/errors.js';
import { askSecret } from './ask-secret.js';
import { readSecretFile } from './secret-file.js';

/**
 * Certificates, CRLs and private keys of a file: PEM, DER, PKCS#7 or PKCS#12. A passphrase comes from
 * `passphraseFile`, or is asked for when there is a terminal. Throws `IpseckitError` naming the file.
 */
export async function readCredentials(path: string, passphraseFile?: string): Promise<CredentialFile> {
  const bytes = readBytes(path);
  const passphrase = () =>
    passphraseFile === undefined
      ? askSecret(`Passphrase of ${path}`)
      : readSecretFile(passphraseFile, 'passphrase');
  try {
    // Loaded only for a file that may need it: the library takes a while.
    if (bytes[0] === 0x30) {
      const { isPkcs12, readPkcs12 } = await import('../crypto/certificates/pkcs12.js');
      if (isPkcs12(bytes)) return readPkcs12(bytes, await passphrase());
    }
    const encrypted = /ENCRYPTED/.test(Buffer.from(bytes).toString('latin1'));
    return readCredentialFile(bytes, encrypted ? await passphrase() : undefined);
  } catch (error) {
    throw asFileError(path, error);
  }
}

/** An unusable file as an error with its name. */
export function asFileError(path: string, error: unknown): unknown {
  if (!(error instanceof CertificateError)) return error;
  return new IpseckitError('USAGE', `${path}: ${error.message}`, {
    next: 'name a certificate, CRL, private key, PKCS#7 or PKCS#12 file in PEM or DER',
    cause: error,
  });
}

/** The one thing a file must hold. Throws `IpseckitError` naming file and thing. */
export function requireOne<T>(path: string, what: string, found: readonly T[]): T {
  const [first] = found;
  if (first !== undefined) return first;
  throw new IpseckitError('USAGE', `${path} holds no ${what}`, { next: `name a file that holds a ${what}` });
}
