/** The machine's certificates: files under `$IPSECKIT_HOME/certificates`, one folder a kind. Private keys are 0600. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Certificate } from '../crypto/certificates/certificate.js';
import {
  type Credentials,
  type CrlStrength,
  noCredentials,
  type OwnCertificate,
} from '../crypto/certificates/credentials.js';
import { type Crl, day, ofSameIssuer } from '../crypto/certificates/crl.js';
import { printPem } from '../crypto/certificates/pem.js';
import { ownCertificateOf, readCredentialFile } from '../crypto/certificates/read-files.js';
import { fileError } from '../policy/stores/file-error.js';
import type { Home } from '../policy/stores/home.js';
import { writeWholeFile } from '../policy/stores/whole-file.js';
import { IpseckitError } from '../report/errors.js';
import { namesEqual } from '../wire/der/distinguished-name.js';
import { readSettings } from './settings.js';

/** Folders and what lies in them. */
export const certificateFolders = ['trusted', 'intermediates', 'crls', 'own'] as const;

export type CertificateFolder = (typeof certificateFolders)[number];

/** One of our own certificates with the name it was imported under. */
export interface NamedCertificate extends OwnCertificate {
  readonly name: string;
}

/** What was read, and what could not be: one unreadable file does not take the others away. */
export interface StoredCertificates extends Credentials {
  readonly own: readonly NamedCertificate[];
  readonly problems: readonly Error[];
}

export class CertificateStore {
  readonly folder: string;
  /** `strongCrlCheck` of the computer's settings. */
  readonly #crlStrength: () => CrlStrength;

  constructor(folder: string, crlStrength: () => CrlStrength) {
    this.folder = folder;
    this.#crlStrength = crlStrength;
  }

  static ofHome(home: Home): CertificateStore {
    const strength = () => readSettings(home).strongCrlCheck ?? noCredentials.crlStrength;
    return new CertificateStore(join(home.state, 'certificates'), strength);
  }

  path(folder: CertificateFolder): string {
    return join(this.folder, folder);
  }

  /** Reads every file. */
  load(): StoredCertificates {
    const problems: Error[] = [];
    const readAll = (folder: CertificateFolder) =>
      this.#files(folder, '.pem').flatMap(file =>
        attempt(problems, file, () => [readCredentialFile(readBytes(file))]),
      );
    const certificatesIn = (folder: CertificateFolder) =>
      readAll(folder).flatMap(({ certificates }) => certificates);
    const intermediates = certificatesIn('intermediates');
    return {
      own: this.#files('own', '.pem').flatMap(file =>
        attempt(problems, file, () => [readOwn(file, intermediates)]),
      ),
      trusted: certificatesIn('trusted'),
      intermediates,
      crls: readAll('crls').flatMap(({ crls }) => crls),
      crlStrength:
        attempt(problems, this.folder, () => [this.#crlStrength()])[0] ?? noCredentials.crlStrength,
      problems,
    };
  }

  /** Writes a CA that is trusted from now on, or one that only helps to complete chains. Returns the file. */
  addAuthority(certificate: Certificate, folder: 'trusted' | 'intermediates'): string {
    return this.#write(folder, fileName(certificate), printPem('CERTIFICATE', certificate.der), 0o644);
  }

  /** Writes a CRL in place of older ones of the same issuer. Returns the file. */
  addCrl(crl: Crl): string {
    const { trusted, intermediates } = this.load();
    const authorities = [...trusted, ...intermediates];
    const digest = createHash('sha256').update(crl.der).digest('hex');
    const name = `${slug(crl.issuer.text)}-${digest.slice(0, 8)}`;
    const written = this.#write('crls', name, printPem('X509 CRL', crl.der), 0o644);
    for (const file of this.#files('crls', '.pem')) {
      const [old, ...others] = attempt([], file, () => readCredentialFile(readBytes(file)).crls);
      if (old === undefined || others.length > 0 || file === written) continue;
      if (old.thisUpdateMs <= crl.thisUpdateMs && ofSameIssuer(crl, old, authorities)) rmSync(file);
    }
    return written;
  }

  /** Writes an own certificate with its chain and its private key. Returns the files. */
  addOwn(name: string, { certificate, chain, privateKey }: OwnCertificate): readonly [string, string] {
    const certificates = [certificate, ...chain].map(({ der }) => printPem('CERTIFICATE', der)).join('');
    // The key first: a certificate without its key would be reported as damaged.
    const key = this.#write('own', name, privateKeyPem(privateKey), 0o600, '.key');
    return [this.#write('own', name, certificates, 0o644), key];
  }

  /** Throws `IpseckitError` (CONFLICT) where a certificate for somebody else has the name: its key may be the only copy. */
  requireFree(name: string, { subject }: Certificate): void {
    if (!existsSync(this.#file('own', name, '.key'))) return;
    const present = this.load().own.find(own => own.name === name)?.certificate;
    if (present !== undefined && namesEqual(present.subject, subject)) return;
    throw new IpseckitError(
      'CONFLICT',
      `another own certificate is called '${name}'${present === undefined ? '' : `: ${present.subject.text}`}`,
      { next: 'give this one another name with --name' },
    );
  }

  #files(folder: CertificateFolder, extension: string): string[] {
    const path = this.path(folder);
    if (!existsSync(path)) return [];
    const names = readdirSync(path).filter(name => name.endsWith(extension));
    return names.sort().map(name => join(path, name));
  }

  #file(folder: CertificateFolder, name: string, extension: string): string {
    return join(this.path(folder), `${encodeURIComponent(name)}${extension}`);
  }

  #write(folder: CertificateFolder, name: string, text: string, mode: number, extension = '.pem'): string {
    mkdirSync(this.path(folder), { recursive: true, mode: 0o700 });
    const file = this.#file(folder, name, extension);
    writeWholeFile(file, text, mode);
    return file;
  }
}

function readOwn(file: string, intermediates: readonly Certificate[]): NamedCertificate {
  const { certificates, privateKeys } = readCredentialFile(readBytes(file));
  const keyFile = file.replace(/\.pem$/, '.key');
  const [privateKey] = [...readCredentialFile(readBytes(keyFile)).privateKeys, ...privateKeys];
  if (privateKey === undefined) throw new IpseckitError('STORE', `${keyFile} holds no private key`);
  const name = decodeURIComponent(file.slice(file.lastIndexOf('/') + 1, -'.pem'.length));
  return { name, ...ownCertificateOf([...certificates, ...intermediates], privateKey) };
}

/**
 * Throws `IpseckitError`: USAGE for a CRL that none of the CAs of its name has signed, where there are any; CONFLICT for
 * one that is older than what `known` has of the same CA.
 */
export function requireCurrentCrl(
  crl: Crl,
  authorities: readonly Certificate[],
  known: readonly Crl[],
): void {
  const named = authorities.filter(({ subject }) => namesEqual(subject, crl.issuer));
  if (named.length > 0 && !named.some(authority => crl.signedBy(authority)))
    throw new IpseckitError('USAGE', `the revocation list of ${crl.issuer.text} is not signed by that CA`, {
      next: 'get it from the CA again',
    });
  const newer = known.find(one => one.thisUpdateMs > crl.thisUpdateMs && ofSameIssuer(crl, one, authorities));
  if (newer !== undefined)
    throw new IpseckitError(
      'CONFLICT',
      `a newer revocation list of ${crl.issuer.text} is here already, of ${day(newer.thisUpdateMs)}`,
      { next: 'get the newest one from the CA' },
    );
}

/** The PEM of a private key, for a 0600 file. */
export function privateKeyPem(privateKey: OwnCertificate['privateKey']): string {
  return privateKey.reveal().export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The bytes of a file. Throws `IpseckitError`. */
export function readBytes(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    throw fileError('read', file, error);
  }
}

function attempt<T>(problems: Error[], file: string, read: () => readonly T[]): readonly T[] {
  try {
    return read();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const text = why.includes(file) ? why : `${file} cannot be used: ${why}`;
    problems.push(new IpseckitError('STORE', text, { next: 'repair it or move it away', cause: error }));
    return [];
  }
}

/** `example-root-1a2b3c4d`: readable, and another certificate of the same name gets another file. */
function fileName({ subject, fingerprint }: Certificate): string {
  const commonName = subject.attributes.findLast(({ type }) => type === 'CN')?.value ?? subject.text;
  return `${slug(commonName)}-${fingerprint.slice(0, 8)}`;
}

function slug(text: string): string {
  return (
    text
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '')
      .slice(0, 60) || 'certificate'
  );
}
