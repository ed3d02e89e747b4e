import { Flags } from '@oclif/core';
import { readSettings, settingsFile } from '../agent/settings.js';
import { DirectoryStore } from '../policy/stores/directory/directory-store.js';
import { ipseckitHome } from '../policy/stores/home.js';
import type { PolicyStore } from '../policy/stores/store.js';
import { IpseckitError } from '../report/errors.js';
import { localStore } from './local-store.js';

/** For commands about the policies of one store. */
export const storeFlag = {
  store: Flags.string({
    summary: 'where the policies are: on this computer, or in the directory of settings.json',
    options: ['local', 'directory'],
    default: 'local',
  }),
} as const;

/** The store the flag names. Throws `IpseckitError`: STORE when no directory is set up. */
export function openStore(word: string): PolicyStore {
  if (word === 'local') return localStore();
  const home = ipseckitHome();
  const { directory } = readSettings(home);
  if (directory !== undefined) return new DirectoryStore(directory);
  throw new IpseckitError('STORE', `no directory is set up: ${settingsFile(home)} has no "directory"`, {
    next: '"man ipseckit" shows what to write there',
  });
}
