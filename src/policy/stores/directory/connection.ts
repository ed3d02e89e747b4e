/** The LDAP edge: one connection, asked and closed. */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Client, Entry } from 'ldapts';
import { Secret } from '../../../crypto/secret.js';
import { IpseckitError } from '../../../report/errors.js';
import { fileError } from '../file-error.js';
import type { DirectoryEntry } from './entries.js';
import type { DirectorySettings } from './settings.js';

/** Questions to a directory. They throw `IpseckitError`: STORE when it does not answer, ACCESS_DENIED when it will not. */
export interface DirectoryConnection {
  /** `undefined` when there is no such entry. */
  read(dn: string, attributes: readonly string[]): Promise<DirectoryEntry | undefined>;
  /** The entries right below `dn`; none when it is not there. */
  children(dn: string, filter: string, attributes: readonly string[]): Promise<readonly DirectoryEntry[]>;
}

/** Longest wait for a connection and for one answer. */
const connectTimeoutMs = 10_000;
const answerTimeoutMs = 30_000;
const pageSize = 500;

/** Result codes of LDAP (RFC 4511 A.1) that say who we are does not suffice. */
const refusals: readonly number[] = [8, 13, 48, 49, 50, 53];
const noSuchObject = 32;

/** Connects, protects and binds as the settings say, runs `work`, which only asks, and closes. */
export async function askDirectory<T>(
  settings: DirectorySettings,
  work: (connection: DirectoryConnection) => Promise<T>,
): Promise<T> {
  const password = settings.passwordFile === undefined ? undefined : readPassword(settings.passwordFile);
  const ca = settings.caFile === undefined ? undefined : readFile(settings.caFile);
  // Most commands never ask a directory.
  const { Client } = await import('ldapts');
  const { hostname } = new URL(settings.url);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const tls = {
    host,
    ...(isIP(host) ? {} : { servername: host }),
    ...(ca === undefined ? {} : { ca: [ca] }),
  };
  const client = new Client({
    url: settings.url,
    connectTimeout: connectTimeoutMs,
    timeout: answerTimeoutMs,
    ...(/^ldaps:/i.test(settings.url) ? { tlsOptions: tls } : {}),
  });
  try {
    if (settings.startTls === true) await client.startTLS(tls);
    if (settings.bindDn !== undefined && password !== undefined)
      await client.bind(settings.bindDn, password.reveal());
    return await work(new LdapConnection(client));
  } catch (error) {
    throw directoryError(settings.url, error);
  } finally {
    await client.unbind().catch(() => {});
  }
}

class LdapConnection implements DirectoryConnection {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async read(dn: string, attributes: readonly string[]): Promise<DirectoryEntry | undefined> {
    const [entry] = await this.#search(dn, 'base', '(objectClass=*)', attributes);
    return entry;
  }

  children(dn: string, filter: string, attributes: readonly string[]): Promise<readonly DirectoryEntry[]> {
    return this.#search(dn, 'one', filter, attributes);
  }

  async #search(
    dn: string,
    scope: 'base' | 'one',
    filter: string,
    attributes: readonly string[],
  ): Promise<DirectoryEntry[]> {
    try {
      const { searchEntries } = await this.#client.search(dn, {
        scope,
        filter,
        attributes: [...attributes],
        explicitBufferAttributes: ['ipsecData'],
        derefAliases: 'never',
        ...(scope === 'one' ? { paged: { pageSize } } : {}),
      });
      return searchEntries.map(entryOf);
    } catch (error) {
      if (resultCode(error) === noSuchObject) return [];
      throw error;
    }
  }
}

function entryOf({ dn, ...attributes }: Entry): DirectoryEntry {
  return {
    dn,
    attributes: new Map(
      Object.entries(attributes).map(([name, value]) => [
        name.toLowerCase(),
        Array.isArray(value) ? value : [value],
      ]),
    ),
  };
}

/** The first line of a file that nobody but its owner may read. */
function readPassword(path: string): Secret<string> {
  const text = readFile(path);
  if ((statSync(path).mode & 0o077) !== 0)
    throw new IpseckitError('ACCESS_DENIED', `others than its owner may read the password file ${path}`, {
      next: `chmod 600 ${path}`,
    });
  const password = text.split(/\r?\n/, 1)[0] ?? '';
  // A bind with an empty password is anonymous, whatever the name (RFC 4513 5.1.2).
  if (password === '')
    throw new IpseckitError('STORE', `the password file ${path} is empty`, {
      next: 'put the password in its first line',
    });
  return new Secret(password);
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError('read', path, error);
  }
}

/** ldapts throws time-outs and broken connections as plain errors. */
function directoryError(url: string, error: unknown): IpseckitError {
  if (error instanceof IpseckitError) return error;
  const code = resultCode(error);
  const reason = (error instanceof Error && error.message !== '' ? error.message : String(error)).trim();
  if (code !== undefined && refusals.includes(code))
    return new IpseckitError('ACCESS_DENIED', `the directory ${url} refuses us: ${reason}`, {
      next: 'check bindDn and passwordFile in settings.json',
      cause: error,
    });
  return new IpseckitError('STORE', `the directory ${url} cannot be asked: ${reason}`, {
    next: 'check "directory" in settings.json and whether the server is up',
    cause: error,
  });
}

/** A result code of LDAP, which ldapts keeps in `code`; system errors have text there. */
function resultCode(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}
