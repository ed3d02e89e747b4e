/** The copy of the directory's policy that counts while the directory does not answer: a file of mode 0600. */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { policyFromDocument, policyToDocument } from '../policy/document.js';
import type { Policy } from '../policy/model.js';
import { array, object, oneOf, optional, text } from '../policy/schema.js';
import type { DirectoryAssignment } from '../policy/stores/directory/directory-store.js';
import { fileError } from '../policy/stores/file-error.js';
import type { Home } from '../policy/stores/home.js';
import { decodeFile, readJsonFile } from '../policy/stores/json-file.js';
import { writeWholeFile } from '../policy/stores/whole-file.js';

const format = 'ipseckit directory cache';

const cacheFile = object({
  format: oneOf(format),
  version: oneOf(1),
  /** Another directory's copy is nobody's. */
  url: text,
  dn: text,
  changed: text,
  document: policyFromDocument,
  leftOut: optional(array(text)),
});

/** A policy as it is enforced. */
export interface CachedPolicy extends DirectoryAssignment {
  readonly policy: Policy;
  /** What the directory's policy says and this does not, or not as it says it: sentences. */
  readonly leftOut: readonly string[];
}

/** Where a follower keeps its copy. Methods throw `IpseckitError` (STORE, ACCESS_DENIED). */
export interface PolicyCache {
  read(): CachedPolicy | undefined;
  write(policy: CachedPolicy): void;
  remove(): void;
}

export class DirectoryCache implements PolicyCache {
  readonly path: string;
  readonly #url: string;

  constructor(home: Home, url: string) {
    this.path = join(home.state, 'directory-cache.json');
    this.#url = url;
  }

  read(): CachedPolicy | undefined {
    const value = readJsonFile(this.path);
    if (value === undefined) return undefined;
    const { url, dn, changed, document, leftOut = [] } = decodeFile(this.path, () => cacheFile(value, ''));
    return url === this.#url ? { dn, changed, policy: document, leftOut } : undefined;
  }

  write({ dn, changed, policy, leftOut }: CachedPolicy): void {
    const document = policyToDocument(policy);
    const lost = leftOut.length === 0 ? {} : { leftOut };
    const value = { format, version: 1, url: this.#url, dn, changed, document, ...lost };
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    writeWholeFile(this.path, `${JSON.stringify(value, null, 2)}\n`);
  }

  remove(): void {
    try {
      rmSync(this.path, { force: true });
    } catch (error) {
      throw fileError('delete', this.path, error);
    }
  }
}
