import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ExportedKeys } from '../ike/api.js';
import { type KeyTable, wiresharkLines } from '../monitor/wireshark-keys.js';

/** Wireshark's key tables in a folder; copied into a Wireshark profile they decrypt a capture. */
export class KeyFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  write(keys: ExportedKeys): void {
    this.writeLines(wiresharkLines(keys));
  }

  writeLines(lines: readonly { readonly table: KeyTable; readonly line: string }[]): void {
    for (const { table, line } of lines)
      appendFileSync(join(this.#folder, table), `${line}\n`, { mode: 0o600 });
  }
}
