import { Flags } from '@oclif/core';
import { readSettings, settingsFile } from '../agent/settings.js';
import { printNote } from '../policy/note.js';
import { DirectoryStore } from '../policy/stores/directory/directory-store.js';
import { FileStore } from '../policy/stores/file-store.js';
import { ipseckitHome } from '../policy/stores/home.js';
import type { PolicyStore } from '../policy/stores/store.js';
import { IpseckitError } from '../report/errors.js';
import { localStore } from './local-store.js';
import { readBytes, storeFormatOf } from './policy-source.js';

/** For commands about the policies of one store. */
export const storeFlag = {
  store: Flags.string({
    summary: 'where the policies are: "local", the "directory" of settings.json, or a .reg or .json file',
    helpValue: 'local|directory|FILE',
    default: 'local',
  }),
} as const;

/** The store the flag names. Throws `IpseckitError`: STORE when no directory is set up, USAGE for an unknown file. */
export function openStore(word: string): PolicyStore {
  if (word === 'local') return localStore();
  return word === 'directory' ? directoryStore() : fileStore(word);
}

function directoryStore(): PolicyStore {
  const home = ipseckitHome();
  const { directory } = readSettings(home);
  if (directory !== undefined) return new DirectoryStore(directory);
  throw new IpseckitError('STORE', `no directory is set up: ${settingsFile(home)} has no "directory"`, {
    next: '"man ipseckit" shows what to write there',
  });
}

function fileStore(path: string): PolicyStore {
  return new FileStore(path, storeFormatOf(path, readBytes(path)), {
    nowSeconds: () => Math.floor(Date.now() / 1000),
    onNote: note => process.stderr.write(`${printNote(note)}\n`),
  });
}
