/** CAs this machine runs itself: `$IPSECKIT_HOME/certificates/authorities`, three files each; all but the certificate 0600. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Certificate } from '../crypto/certificates/certificate.js';
import type { OwnCertificate } from '../crypto/certificates/credentials.js';
import { printPem } from '../crypto/certificates/pem.js';
import { ownCertificateOf, readCredentialFile } from '../crypto/certificates/read-files.js';
import { array, integer, object, SchemaError, text } from '../policy/schema.js';
import { fileError } from '../policy/stores/file-error.js';
import type { Home } from '../policy/stores/home.js';
import { damagedFile, readJsonFile } from '../policy/stores/json-file.js';
import { takeLock } from '../policy/stores/lock.js';
import { writeWholeFile } from '../policy/stores/whole-file.js';
import { IpseckitError } from '../report/errors.js';
import { privateKeyPem, readBytes } from './certificate-store.js';

/** What a CA remembers. */
export interface AuthorityRecord {
  /** Number of its last CRL. */
  readonly crlNumber: number;
  readonly issued: readonly {
    readonly serialNumber: string;
    readonly subject: string;
    readonly notAfterMs: number;
  }[];
  readonly revoked: readonly { readonly serialNumber: string; readonly revokedAtMs: number }[];
}

export interface Authority extends OwnCertificate {
  readonly name: string;
  readonly record: AuthorityRecord;
}

const wholeNumber = integer(0, Number.MAX_SAFE_INTEGER);
const recordDecoder = object({
  crlNumber: wholeNumber,
  issued: array(object({ serialNumber: text, subject: text, notAfterMs: wholeNumber })),
  revoked: array(object({ serialNumber: text, revokedAtMs: wholeNumber })),
});

export class AuthorityStore {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  static ofHome(home: Home): AuthorityStore {
    return new AuthorityStore(join(home.state, 'certificates', 'authorities'));
  }

  names(): string[] {
    if (!existsSync(this.folder)) return [];
    const files = readdirSync(this.folder).filter(file => file.endsWith('.json'));
    return files.flatMap(file => decodedName(file.slice(0, -'.json'.length)) ?? []).sort();
  }

  /** Throws `IpseckitError` (STORE) when there is none of that name, or a file is damaged. */
  read(name: string): Authority {
    if (!this.names().includes(name))
      throw new IpseckitError('STORE', `there is no CA named '${name}' here`, {
        next: `"ipseckit cert ca ${name} --subject …" makes one; here: ${this.names().join(', ') || 'none'}`,
      });
    const { certificates } = readCredentialFile(readBytes(this.path(name, 'pem')));
    const [privateKey] = readCredentialFile(readBytes(this.path(name, 'key'))).privateKeys;
    if (privateKey === undefined) throw damagedFile(this.path(name, 'key'), 'it holds no private key');
    return { name, ...ownCertificateOf(certificates, privateKey), record: this.#readRecord(name) };
  }

  /** Runs `work` while no other command changes a CA. Throws `IpseckitError` (STORE, ACCESS_DENIED). */
  async exclusively<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fileError('write', this.folder, error);
    }
    const release = await takeLock(join(this.folder, '.lock'));
    try {
      return await work();
    } finally {
      release();
    }
  }

  /** Throws `IpseckitError` (CONFLICT) when the name is taken. Only inside of `exclusively`. */
  create(name: string, { certificate, chain, privateKey }: OwnCertificate): void {
    if (this.names().includes(name))
      throw new IpseckitError('CONFLICT', `a CA named '${name}' is here already`, {
        next: 'choose another name',
      });
    const certificates = [certificate, ...chain].map(({ der }) => printPem('CERTIFICATE', der)).join('');
    writeWholeFile(this.path(name, 'key'), privateKeyPem(privateKey));
    writeWholeFile(this.path(name, 'pem'), certificates, 0o644);
    this.writeRecord(name, { crlNumber: 0, issued: [], revoked: [] });
  }

  /** Remembers a certificate issued. Only inside of `exclusively`. */
  addIssued(name: string, { serialNumber, subject, notAfterMs }: Certificate): void {
    const record = this.#readRecord(name);
    const issued = [...record.issued, { serialNumber, subject: subject.text, notAfterMs }];
    this.writeRecord(name, { ...record, issued });
  }

  path(name: string, extension: 'pem' | 'key' | 'json' | 'crl'): string {
    return join(this.folder, `${encodeURIComponent(name)}.${extension}`);
  }

  #readRecord(name: string): AuthorityRecord {
    const file = this.path(name, 'json');
    try {
      return recordDecoder(readJsonFile(file), '');
    } catch (error) {
      if (error instanceof SchemaError) throw damagedFile(file, error.message);
      throw error;
    }
  }

  /** Remembers what it has issued and revoked. Only inside of `exclusively`. */
  writeRecord(name: string, record: AuthorityRecord): void {
    writeWholeFile(this.path(name, 'json'), `${JSON.stringify(record, null, 2)}\n`);
  }
}

/** `undefined` for a file that no name of ours gives. */
function decodedName(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}

/** A serial number nobody can foresee (RFC 5280 4.1.2.2): 16 bytes, positive. */
export function newSerialNumber(): Uint8Array {
  const serialNumber = randomBytes(16);
  serialNumber[0] = ((serialNumber[0] ?? 0) & 0x7f) | 0x40;
  return serialNumber;
}
