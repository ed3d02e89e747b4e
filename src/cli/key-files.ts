import { appendFileSync, closeSync, fstatSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { ExportedKeys } from '../ike/api.js';
import { type KeyTable, wiresharkLines } from '../monitor/wireshark-keys.js';
import { fileError } from '../policy/stores/file-error.js';
import { IpseckitError } from '../report/errors.js';

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
        append(path, `${line}\n`);
      } catch (error) {
        throw fileError('write', path, error);
      }
    }
  }
}

/** Throws `IpseckitError` (ACCESS_DENIED) for a file that was there and that others may read. */
function append(path: string, text: string): void {
  const file = openSync(path, 'a', 0o600);
  try {
    if ((fstatSync(file).mode & 0o077) !== 0)
      throw new IpseckitError(
        'ACCESS_DENIED',
        `others may read or change ${path}: no keys are written into it`,
        {
          next: `chmod 600 ${path}`,
        },
      );
    appendFileSync(file, text);
  } finally {
    closeSync(file);
  }
}
