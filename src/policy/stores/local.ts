/**
 * The local store (`-w REG`): one JSON file a policy, and one that says which policy is assigned. Files are 0600,
 * since they hold preshared keys, and are written whole.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { IpseckitError } from '../../report/errors.js';
import { policyNotFound, sameName } from '../build.js';
import { libraryFromJson, policyFromDocument, policyToDocument } from '../document.js';
import { parseGuid } from '../guid.js';
import type { Guid, Policy, PolicyLibrary } from '../model.js';
import { object, oneOf, optional, parsed } from '../schema.js';
import { errnoOf, fileError } from './file-error.js';
import { finishInterrupted, isInterrupted, StagedFiles } from './journal.js';
import { damagedFile, decodeFile, readJsonFile } from './json-file.js';
import { takeLock } from './lock.js';
import type { PolicyListing, PolicyStore, StoreChange, StoreSnapshot } from './store.js';
import { syncFolder, writeWholeFile } from './whole-file.js';

/** Names what kind of object a file is, as the Windows registry does. */
const policyFileName = /^ipsecPolicy(\{[\dA-F-]{36}\})\.json$/;
const assignmentFileName = 'assigned.json';

const assignmentFormat = 'ipseckit assignment';
const assignment = object({
  format: oneOf(assignmentFormat),
  version: oneOf(1),
  policy: optional(parsed('a GUID in braces', parseGuid)),
});

const libraryFileName = 'library.json';
const libraryFormat = 'ipseckit library';
const libraryFile = object({ format: oneOf(libraryFormat), version: oneOf(1), library: libraryFromJson });

export class LocalStore implements PolicyStore {
  readonly kind = 'local';
  readonly folder: string;
  /** Whether whoever made this object holds the lock already. */
  readonly #locked: boolean;

  constructor(folder: string, locked = false) {
    this.folder = folder;
    this.#locked = locked;
  }

  get where(): string {
    return this.folder;
  }

  path({ id }: { readonly id: Guid }): string {
    return join(this.folder, `ipsecPolicy${id}.json`);
  }

  async list(): Promise<PolicyListing> {
    await this.#settle();
    const { policies, problems } = this.#readAll();
    let assignedId: Guid | undefined;
    try {
      assignedId = this.#assignedId();
    } catch (error) {
      problems.push(asIpseckitError(error));
    }
    return {
      policies: policies
        .map(({ id, name, description, rules }) => ({
          id,
          name,
          ...(description === undefined ? {} : { description }),
          rules: rules.length,
          assigned: id === assignedId,
        }))
        .sort((a, b) => a.name.localeCompare(b.name)),
      problems,
    };
  }

  async read(name: string): Promise<Policy | undefined> {
    await this.#settle();
    const { policies, problems } = this.#readAll();
    const found = policies.find(policy => sameName(policy.name, name));
    // A damaged file might be the one asked for: better to stop than to create it a second time.
    if (found === undefined && problems[0] !== undefined) throw problems[0];
    return found;
  }

  async write(policy: Policy): Promise<void> {
    await this.exclusively(async store => {
      const other = await store.read(policy.name);
      if (other !== undefined && other.id !== policy.id)
        throw new IpseckitError('STORE', `there is another policy '${other.name}' in ${this.folder}`, {
          next: 'choose another name, or delete that policy first',
        });
      store.#writeFile(store.path(policy), policyToDocument(store.#dated(policy)));
    });
  }

  async delete(name: string): Promise<boolean> {
    if (!existsSync(this.folder)) return false;
    return this.exclusively(async store => {
      const policy = await store.read(name);
      if (policy === undefined) return false;
      if (this.#assignedId() === policy.id) this.#writeAssignment(undefined);
      const path = this.path(policy);
      try {
        rmSync(path);
        syncFolder(this.folder);
      } catch (error) {
        throw fileError('delete', path, error);
      }
      return true;
    });
  }

  async assigned(): Promise<Policy | undefined> {
    await this.#settle();
    const id = this.#assignedId();
    if (id === undefined) return undefined;
    const path = this.path({ id });
    const policy = this.#readFile(path);
    if (policy === undefined)
      throw new IpseckitError('STORE', `the assigned policy is missing: no file ${path}`, {
        next: 'bring the file back, or assign another policy',
      });
    return policy;
  }

  async assign(name: string): Promise<void> {
    if (!existsSync(this.folder)) throw policyNotFound(name);
    await this.exclusively(async store => {
      const policy = await store.read(name);
      if (policy === undefined) throw policyNotFound(name);
      this.#writeAssignment(policy.id);
    });
  }

  async unassign(name: string): Promise<boolean> {
    if (!existsSync(this.folder)) return false;
    return this.exclusively(async store => {
      const policy = await store.read(name);
      if (policy === undefined || this.#assignedId() !== policy.id) return false;
      this.#writeAssignment(undefined);
      return true;
    });
  }

  async exclusively<T>(change: (store: LocalStore) => Promise<T>): Promise<T> {
    if (this.#locked) return change(this);
    this.#makeFolder();
    const release = await takeLock(join(this.folder, '.lock'));
    try {
      finishInterrupted(this.folder);
      return await change(new LocalStore(this.folder, true));
    } finally {
      release();
    }
  }

  /**
   * Everything in the store at one time, for reading many policies. What could not be read is in `problems`: see
   * `read` for why a policy that is not there may be one of those.
   */
  async snapshot(): Promise<StoreSnapshot> {
    await this.#settle();
    const assigned = this.#assignedId();
    const library = this.#library();
    return {
      ...this.#readAll(),
      ...(assigned === undefined ? {} : { assigned }),
      ...(library === undefined ? {} : { library }),
    };
  }

  /**
   * Writes a change of several policies beside the old ones; its `commit` puts all of them in force in one step, also
   * if the computer dies in the middle. Only inside of `exclusively`. Throws `IpseckitError` (ACCESS_DENIED, STORE):
   * nothing stays behind then.
   */
  stage({ written, deleted, assigned, library }: StoreChange): StagedFiles {
    if (!this.#locked) throw new Error('a change is staged under the lock');
    return new StagedFiles(this.folder, [
      ...written.map(policy => ({
        path: this.path(policy),
        text: fileText(policyToDocument(this.#dated(policy))),
      })),
      ...deleted.map(id => ({ path: this.path({ id }), text: undefined })),
      ...(library === undefined
        ? []
        : [{ path: join(this.folder, libraryFileName), text: fileText(libraryDocument(library)) }]),
      ...(assigned === undefined
        ? []
        : [
            {
              path: join(this.folder, assignmentFileName),
              text: fileText(assignmentDocument(assigned.id)),
            },
          ]),
    ]);
  }

  /** Waits for a change of several files that is under way, and completes one that was interrupted. */
  async #settle(): Promise<void> {
    if (!this.#locked && isInterrupted(this.folder)) await this.exclusively(async () => {});
  }

  #readAll(): { policies: Policy[]; problems: IpseckitError[] } {
    const policies: Policy[] = [];
    const problems: IpseckitError[] = [];
    for (const name of this.#fileNames()) {
      try {
        const policy = this.#readFile(join(this.folder, name));
        if (policy !== undefined) policies.push(policy);
      } catch (error) {
        problems.push(asIpseckitError(error));
      }
    }
    return { policies, problems };
  }

  #fileNames(): string[] {
    try {
      return readdirSync(this.folder)
        .filter(name => policyFileName.test(name))
        .sort();
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw fileError('read', this.folder, error);
    }
  }

  /** `undefined` when there is no such file. */
  #readFile(path: string): Policy | undefined {
    const document = readJsonFile(path);
    if (document === undefined) return undefined;
    const policy = decodeFile(path, () => policyFromDocument(document));
    if (this.path(policy) !== path)
      throw damagedFile(path, "the policy's id is not the one in the file's name");
    return policy;
  }

  /** A policy that says when it was changed, and now is, says so: other computers look for that. */
  #dated(policy: Policy): Policy {
    const { changedAtSeconds } = policy;
    if (changedAtSeconds === undefined) return policy;
    const before = this.#readFile(this.path(policy));
    const text = (of: Policy) => JSON.stringify(policyToDocument(of));
    if (before?.changedAtSeconds !== changedAtSeconds || text(before) === text(policy)) return policy;
    return { ...policy, changedAtSeconds: Math.floor(Date.now() / 1000) };
  }

  #library(): PolicyLibrary | undefined {
    const path = join(this.folder, libraryFileName);
    const document = readJsonFile(path);
    return document === undefined ? undefined : decodeFile(path, () => libraryFile(document, '')).library;
  }

  #assignedId(): Guid | undefined {
    const path = join(this.folder, assignmentFileName);
    const document = readJsonFile(path);
    return document === undefined ? undefined : decodeFile(path, () => assignment(document, '')).policy;
  }

  #writeAssignment(policy: Guid | undefined): void {
    this.#writeFile(join(this.folder, assignmentFileName), assignmentDocument(policy));
  }

  #writeFile(path: string, document: object): void {
    writeWholeFile(path, fileText(document));
  }

  #makeFolder(): void {
    try {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fileError('write', this.folder, error);
    }
  }
}

function assignmentDocument(policy: Guid | undefined): object {
  return { format: assignmentFormat, version: 1, policy };
}

function libraryDocument(library: PolicyLibrary): object {
  return { format: libraryFormat, version: 1, library };
}

function fileText(document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}

function asIpseckitError(error: unknown): IpseckitError {
  if (error instanceof IpseckitError) return error;
  throw error;
}
