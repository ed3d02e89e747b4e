import { appendFileSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ExportedKeys } from '../ike/api.js';
import { type KeyTable, keyTables, wiresharkLines } from '../monitor/wireshark-keys.js';
import { fileError } from '../policy/stores/file-error.js';
import { IpseckitError } from '../report/errors.js';

/** Wireshark's key tables in a folder; copied into a Wireshark profile they decrypt a capture. */
export class KeyFiles {
  readonly #folder: string;

  /** Throws `IpseckitError`: ACCESS_DENIED also where a table is there that others may read, STORE. */
  constructor(folder: string) {
    this.#folder = folder;
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fileError('write', folder, error);
    }
    for (const table of keyTables) refuseOpenFile(join(folder, table));
  }

  /** Writes keys; what goes wrong goes to `complain` and nothing else stops for it. */
  write(keys: ExportedKeys, complain: (error: IpseckitError) => void): void {
    try {
      this.writeLines(wiresharkLines(keys));
    } catch (error) {
      if (!(error instanceof IpseckitError)) throw error;
      complain(error);
    }
  }

  /** Throws `IpseckitError` (ACCESS_DENIED, STORE). */
  writeLines(lines: readonly { readonly table: KeyTable; readonly line: string }[]): void {
    for (const { table, line } of lines) {
      const path = join(this.#folder, table);
      try {
        appendFileSync(path, `${line}\n`, { mode: 0o600 });
      } catch (error) {
        throw fileError('write', path, error);
      }
    }
  }
}

function refuseOpenFile(path: string): void {
  if (!existsSync(path) || (statSync(path).mode & 0o077) === 0) return;
  throw new IpseckitError('ACCESS_DENIED', `others may read or change ${path}: no keys are written into it`, {
    next: `chmod 600 ${path}`,
  });
}
