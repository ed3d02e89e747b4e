/** The store of a domain (`-w DS`): Active Directory, or any LDAP server with its schema. It is read, never written. */
import { IpseckitError } from '../../../report/errors.js';
import { policyNotFound, sameName } from '../../build.js';
import type { Guid, Policy } from '../../model.js';
import type { PolicyNote } from '../../note.js';
import { StoreFormatError } from '../format-error.js';
import { type DamageCosts, isAbout, type LostRule, loadObjects } from '../registry/load.js';
import { parseObjectName, type StoredObject } from '../registry/objects.js';
import type { PolicyListing, PolicyStore } from '../store.js';
import { askDirectory, type DirectoryConnection } from './connection.js';
import {
  assignmentDn,
  changedText,
  gpoDn,
  objectAttributes,
  objectFilter,
  objectOfEntry,
  parentDn,
  partsOfPolicy,
  policyContainer,
  policyDn,
  textValues,
} from './entries.js';
import { type DirectorySettings, isProtected } from './settings.js';

/** Which policy a directory assigns, and whether it is still the one that was read. */
export interface DirectoryAssignment {
  readonly dn: string;
  /** Another text means another content. */
  readonly changed: string;
}

/** A policy read from a directory. */
export interface DirectoryPolicy extends DirectoryAssignment {
  readonly policy: Policy;
  /** What could not be read of it, and what to know about it. */
  readonly notes: readonly PolicyNote[];
  /** Its rules that are left out. */
  readonly lostRules: readonly LostRule[];
}

export type AskDirectory = <T>(
  settings: DirectorySettings,
  work: (connection: DirectoryConnection) => Promise<T>,
) => Promise<T>;

export class DirectoryStore implements PolicyStore {
  readonly kind = 'directory';
  readonly #settings: DirectorySettings;
  readonly #ask: AskDirectory;

  constructor(settings: DirectorySettings, ask: AskDirectory = askDirectory) {
    this.#settings = settings;
    this.#ask = ask;
  }

  get where(): string {
    return this.#settings.url;
  }

  path({ id }: { readonly id: Guid }): string {
    return `LDAP://${policyDn(id, this.#container)}`;
  }

  get #container(): string {
    const { policy, base } = this.#settings;
    return policy !== undefined && parseObjectName(policy) !== undefined
      ? parentDn(policy)
      : policyContainer(base);
  }

  /**
   * The assigned policy, `undefined` when none is. Throws `IpseckitError` (STORE, ACCESS_DENIED) when the directory
   * cannot say, also when the group policy object or the policy it assigns is gone: that does not unassign it.
   */
  assignment(): Promise<DirectoryAssignment | undefined> {
    return this.#ask(this.#settings, connection => this.#assignment(connection));
  }

  /**
   * A policy; an object that cannot be read costs it the rules that need it. Throws `IpseckitError`: STORE also for a policy
   * or key exchange settings that cannot be read.
   */
  async retrieve(assignment: DirectoryAssignment): Promise<DirectoryPolicy> {
    const name = parseObjectName(assignment.dn);
    if (name === undefined) throw this.#missing(assignment.dn);
    const objects = await this.#objects(parentDn(assignment.dn));
    const { policy, notes, lostRules } = this.#load(objects, name.id, 'rules');
    if (policy === undefined) throw this.#missing(assignment.dn);
    return { ...assignment, policy, notes: [...notes, ...this.#exposure(policy)], lostRules };
  }

  async list(): Promise<PolicyListing> {
    const objects = await this.#objects(this.#container);
    const assigned = parseObjectName((await this.assignment())?.dn ?? '')?.id;
    const problems: IpseckitError[] = [];
    const policies = policiesIn(objects).flatMap(({ id }) => {
      try {
        const { policy, notes, lostRules } = this.#load(objects, id, 'rules');
        if (policy === undefined) return [];
        for (const { where, text } of notes.filter(note => isAbout(note, lostRules)))
          problems.push(this.#unreadable(`${where}: ${text}`));
        const { name, description, rules } = policy;
        const text = description === undefined ? {} : { description };
        return [{ id, name, ...text, rules: rules.length, assigned: id === assigned }];
      } catch (error) {
        if (!(error instanceof IpseckitError)) throw error;
        problems.push(error);
        return [];
      }
    });
    return { policies: policies.sort((a, b) => a.name.localeCompare(b.name)), problems };
  }

  /** In full: throws `IpseckitError` (STORE) for whatever cannot be read of it. */
  async read(name: string): Promise<Policy | undefined> {
    const objects = await this.#objects(this.#container);
    const found = policiesIn(objects).find(object => sameName(object.name ?? object.id, name));
    return found && this.#load(objects, found.id, 'all').policy;
  }

  /** In full, as `read`. */
  async assigned(): Promise<Policy | undefined> {
    const assignment = await this.assignment();
    if (assignment === undefined) return undefined;
    const id = parseObjectName(assignment.dn)?.id;
    const policy = id && this.#load(await this.#objects(parentDn(assignment.dn)), id, 'all').policy;
    if (policy === undefined) throw this.#missing(assignment.dn);
    return policy;
  }

  async write(): Promise<void> {
    throw this.#readOnly();
  }

  async delete(): Promise<boolean> {
    throw this.#readOnly();
  }

  async assign(): Promise<void> {
    throw this.#readOnly();
  }

  async unassign(): Promise<boolean> {
    throw this.#readOnly();
  }

  async exclusively<T>(): Promise<T> {
    throw this.#readOnly();
  }

  async #assignment(connection: DirectoryConnection): Promise<DirectoryAssignment | undefined> {
    const dn = await this.#assignedDn(connection);
    if (dn === undefined) return undefined;
    const entry = await connection.read(dn, ['whenChanged', 'modifyTimestamp']);
    if (entry === undefined) throw this.#missing(dn);
    return { dn: entry.dn, changed: changedText(entry) };
  }

  async #assignedDn(connection: DirectoryConnection): Promise<string | undefined> {
    const { gpo, policy = '', base } = this.#settings;
    if (gpo !== undefined) {
      const dn = gpoDn(gpo, base);
      const pointer = await connection.read(assignmentDn(dn), ['ipsecOwnersReference']);
      if (pointer !== undefined) return textValues(pointer, 'ipsecOwnersReference')[0];
      if ((await connection.read(dn, ['cn'])) === undefined) throw this.#missing(dn);
      return undefined;
    }
    if (policy.includes('=')) return policy;
    const named = await connection.children(this.#container, '(objectClass=ipsecPolicy)', ['ipsecName']);
    const found = named.find(entry => sameName(textValues(entry, 'ipsecName')[0] ?? '', policy));
    if (found === undefined) throw policyNotFound(policy);
    return found.dn;
  }

  async #objects(container: string): Promise<readonly StoredObject[]> {
    const entries = await this.#ask(this.#settings, connection =>
      connection.children(container, objectFilter, objectAttributes),
    );
    return entries.flatMap(entry => objectOfEntry(entry) ?? []);
  }

  #load(objects: readonly StoredObject[], id: Guid, damage: DamageCosts) {
    try {
      const { collection, notes, lostRules } = loadObjects(partsOfPolicy(objects, id), damage);
      return { policy: collection.policies[0], notes, lostRules };
    } catch (error) {
      if (!(error instanceof StoreFormatError)) throw error;
      throw this.#unreadable(error.message, error);
    }
  }

  #unreadable(what: string, cause?: unknown): IpseckitError {
    return new IpseckitError('STORE', `${this.where}: ${what}`, {
      next: 'repair the object with the tools of the directory',
      ...(cause === undefined ? {} : { cause }),
    });
  }

  /** Windows signs and seals what it says to the directory; without TLS anyone on the way reads the keys. */
  #exposure({ name, rules }: Policy): readonly PolicyNote[] {
    const hasKeys = rules.some(rule => rule.authentication.some(({ kind }) => kind === 'preshared'));
    if (isProtected(this.#settings) || !hasKeys) return [];
    const text = `its preshared keys travel in clear from ${this.where}; use ldaps:// or "startTls" in settings.json`;
    return [{ kind: 'advice', where: `policy '${name}'`, text }];
  }

  #missing(dn: string): IpseckitError {
    return new IpseckitError('STORE', `${dn} is not there in ${this.where}`, {
      next: 'check "directory" in settings.json, or assign a policy that is there',
    });
  }

  #readOnly(): IpseckitError {
    return new IpseckitError('UNSUPPORTED', `the directory ${this.where} is only read`, {
      next: 'change it with the tools of the directory, or use the local store (-w REG)',
    });
  }
}

function policiesIn(objects: readonly StoredObject[]): StoredObject[] {
  return objects.filter(object => object.class === 'ipsecPolicy');
}
