/** A directory in memory: what `DirectoryStore` asks over LDAP, answered from entries. */
import type { DirectoryConnection } from '../../src/policy/stores/directory/connection.js';
import type { AskDirectory } from '../../src/policy/stores/directory/directory-store.js';
import { type DirectoryEntry, parentDn } from '../../src/policy/stores/directory/entries.js';
import { IpseckitError } from '../../src/report/errors.js';
import type { LdifEntry } from './ldif.js';

export class MemoryDirectory {
  readonly entries = new Map<string, LdifEntry>();
  /** While false it does not answer. */
  isUp = true;
  /** How many searches there were. */
  searches = 0;

  put(...entries: readonly LdifEntry[]): void {
    for (const entry of entries) this.entries.set(entry.dn.toLowerCase(), entry);
  }

  remove(dn: string): void {
    this.entries.delete(dn.toLowerCase());
  }

  readonly ask: AskDirectory = async (_settings, work) => {
    if (!this.isUp) throw new IpseckitError('STORE', 'the directory cannot be asked: ECONNREFUSED');
    const connection: DirectoryConnection = {
      read: async dn => {
        this.searches++;
        const entry = this.entries.get(dn.toLowerCase());
        return entry && found(entry);
      },
      children: async (dn, filter) => {
        this.searches++;
        const classes = [...filter.matchAll(/objectClass=(\w+)/g)].map(([, name]) => name);
        return [...this.entries.values()]
          .filter(entry => parentDn(entry.dn).toLowerCase() === dn.toLowerCase())
          .filter(({ attributes }) =>
            attributes.some(
              ([name, value]) => name === 'objectClass' && classes.some(wanted => wanted === value),
            ),
          )
          .map(found);
      },
    };
    return work(connection);
  };
}

function found({ dn, attributes }: LdifEntry): DirectoryEntry {
  const byName = new Map<string, (string | Uint8Array)[]>();
  for (const [name, value] of attributes)
    byName.set(name.toLowerCase(), [...(byName.get(name.toLowerCase()) ?? []), value]);
  return { dn, attributes: byName };
}
