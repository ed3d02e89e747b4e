/** The folder beside a capture that makes Wireshark and tshark decrypt it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, fileError } from '../../policy/stores/file-error.js';
import { KeyFiles } from '../key-files.js';
import { fileIsThere } from './capture-file.js';

/** Wireshark decrypts ESP only when told to. */
const preferences = `# Written by ipseckit capture
esp.enable_encryption_decode: TRUE
esp.enable_authentication_check: TRUE
`;

/** Where a capture goes: `FILE.pcapng` and, beside it, `FILE.keys`. */
export interface CapturePaths {
  readonly file: string;
  readonly keys: string;
}

/** `office`, `office.pcapng` -> `office.pcapng`, `office.keys`; without a word a name from the time. */
export function capturePaths(word: string | undefined, now: Date): CapturePaths {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace(/\..*/, '');
  const base = (word ?? `ipseckit-${stamp}`).replace(/\.pcapng$/i, '');
  return { file: `${base}.pcapng`, keys: `${base}.keys` };
}

/** Makes the folder, mode 0700, with a configuration but no keys yet. Throws `IpseckitError`: CONFLICT, ACCESS_DENIED, STORE. */
export function makeWiresharkFolder(folder: string): KeyFiles {
  try {
    mkdirSync(folder, { mode: 0o700 });
    writeFileSync(join(folder, 'preferences'), preferences, { mode: 0o600, flag: 'wx' });
    for (const table of ['ikev1_decryption_table', 'esp_sa'])
      writeFileSync(join(folder, table), '', { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') throw fileIsThere(folder, error);
    throw fileError('write', folder, error);
  }
  return new KeyFiles(folder);
}

/** The command that opens a capture decrypted, for a shell. */
export function tsharkCommand({ file, keys }: CapturePaths, hasKeys: boolean): string {
  const environment = hasKeys ? `WIRESHARK_CONFIG_DIR=${quoted(keys)} ` : '';
  return `${environment}tshark -r ${quoted(file)}`;
}

/** The command that explains the negotiations in it; it finds the keys beside it. */
export function replayCommand(file: string): string {
  return `ipseckit ike replay ${quoted(file)}`;
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", `'\\''`)}'`;
}
