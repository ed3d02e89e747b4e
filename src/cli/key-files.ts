import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ExportedKeys } from '../ike/api.js';
import { type KeyTable, wiresharkLines } from '../monitor/wireshark-keys.js';
import { fileError } from '../policy/stores/file-error.js';

/** Wireshark's key tables in a folder; copied into a Wireshark profile they decrypt a capture. */
export class KeyFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fileError('write', folder, error);
    }
  }

  write(keys: ExportedKeys): void {
    this.writeLines(wiresharkLines(keys));
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
