/** A `.reg` or `.json` file as a store of policies: what commands do to the local store, they can do to it. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { IpseckitError } from '../../report/errors.js';
import { policyNotFound, sameName } from '../build.js';
import { collectionToDocument, type PolicyCollection } from '../document.js';
import type { Guid, Policy } from '../model.js';
import type { PolicyNote } from '../note.js';
import { errnoOf, fileError } from './file-error.js';
import { StoreFormatError } from './format-error.js';
import { parseStoreFile, type StoreFormat } from './formats.js';
import { takeLock } from './lock.js';
import { parseRegFile, printRegFile } from './reg-file.js';
import { patchReg } from './registry/patch.js';
import type { PolicyListing, PolicyStore } from './store.js';
import { encodeUtf16 } from './text-encoding.js';
import { writeWholeFile } from './whole-file.js';

export interface FileStoreOptions {
  readonly nowSeconds: () => number;
  /** What the format cannot say of a policy that is written. */
  onNote(note: PolicyNote): void;
}

export class FileStore implements PolicyStore {
  readonly kind = 'file';
  readonly where: string;
  readonly #format: StoreFormat;
  readonly #options: FileStoreOptions;
  /** Whether whoever made this object holds the lock already. */
  readonly #locked: boolean;

  constructor(path: string, format: StoreFormat, options: FileStoreOptions, locked = false) {
    this.where = path;
    this.#format = format;
    this.#options = options;
    this.#locked = locked;
  }

  path({ id }: { readonly id: Guid }): string {
    return `${this.where}: ipsecPolicy${id}`;
  }

  async list(): Promise<PolicyListing> {
    const { policies, assigned } = this.#load().collection;
    const summaries = policies.map(({ id, name, description, rules }) => ({
      id,
      name,
      ...(description === undefined ? {} : { description }),
      rules: rules.length,
      assigned: id === assigned,
    }));
    return { policies: summaries.sort((a, b) => a.name.localeCompare(b.name)), problems: [] };
  }

  async read(name: string): Promise<Policy | undefined> {
    return this.#load().collection.policies.find(policy => sameName(policy.name, name));
  }

  async assigned(): Promise<Policy | undefined> {
    const { policies, assigned } = this.#load().collection;
    return policies.find(({ id }) => id === assigned);
  }

  async write(policy: Policy): Promise<void> {
    await this.#change(before => {
      const twin = before.policies.find(({ id, name }) => id !== policy.id && sameName(name, policy.name));
      if (twin !== undefined)
        throw new IpseckitError('STORE', `there is another policy '${twin.name}' in ${this.where}`, {
          next: 'choose another name, or delete that policy first',
        });
      const isNew = !before.policies.some(({ id }) => id === policy.id);
      const policies = before.policies.map(each => (each.id === policy.id ? policy : each));
      return { ...before, policies: isNew ? [...policies, policy] : policies };
    });
  }

  async delete(name: string): Promise<boolean> {
    return this.#change(({ assigned, ...before }) => {
      const policy = before.policies.find(each => sameName(each.name, name));
      if (policy === undefined) return undefined;
      const policies = before.policies.filter(each => each !== policy);
      return {
        ...before,
        policies,
        ...(assigned === undefined || assigned === policy.id ? {} : { assigned }),
      };
    });
  }

  async assign(name: string): Promise<void> {
    await this.#change(before => {
      const policy = before.policies.find(each => sameName(each.name, name));
      if (policy === undefined) throw policyNotFound(name);
      return { ...before, assigned: policy.id };
    });
  }

  async unassign(name: string): Promise<boolean> {
    return this.#change(({ assigned, ...before }) => {
      const policy = before.policies.find(each => sameName(each.name, name));
      return policy !== undefined && policy.id === assigned ? before : undefined;
    });
  }

  async exclusively<T>(change: (store: FileStore) => Promise<T>): Promise<T> {
    if (this.#locked) return change(this);
    const release = await takeLock(join(dirname(this.where), `.${basename(this.where)}.lock`));
    try {
      return await change(new FileStore(this.where, this.#format, this.#options, true));
    } finally {
      release();
    }
  }

  /** Puts what `change` makes of the content in its place; `undefined` leaves the file alone. */
  async #change(change: (before: PolicyCollection) => PolicyCollection | undefined): Promise<boolean> {
    return this.exclusively(async store => {
      const { collection, bytes } = store.#load();
      const after = change(collection);
      if (after === undefined) return false;
      // A link stays one: what it leads to is changed.
      const file = realpathSync(this.where);
      writeWholeFile(file, this.#print(bytes, collection, after), statSync(file).mode & 0o777);
      return true;
    });
  }

  #print(bytes: Uint8Array, before: PolicyCollection, after: PolicyCollection): string | Uint8Array {
    if (this.#format === 'json') return `${JSON.stringify(collectionToDocument(after), null, 2)}\n`;
    const { keys, notes } = patchReg(parseRegFile(bytes), before, after, this.#options.nowSeconds());
    for (const note of notes) this.#options.onNote(note);
    return encodeUtf16(printRegFile(keys));
  }

  #load() {
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(this.where);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw fileError('read', this.where, error);
      throw new IpseckitError('USAGE', `there is no file ${this.where}`, {
        next: 'check the name',
        cause: error,
      });
    }
    try {
      return { ...parseStoreFile(bytes, this.#format), bytes };
    } catch (error) {
      if (!(error instanceof StoreFormatError)) throw error;
      throw new IpseckitError('STORE', `${this.where}: ${error.message}`, {
        next: 'repair the file or export it anew',
        cause: error,
      });
    }
  }
}
