import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile } from '../policy/stores/json-file.js';
import { writeWholeFile } from '../policy/stores/whole-file.js';
import { IpseckitError } from '../report/errors.js';

/** One 0600 JSON file a persistent tunnel, because it holds the preshared key. */
export class TunnelFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** All tunnels on file, read by `parse`; what it or the file refuses is an error of its own, with the file's name. */
  readAll<Tunnel>(parse: (document: unknown) => Tunnel): {
    readonly tunnels: readonly Tunnel[];
    readonly errors: readonly Error[];
  } {
    if (!existsSync(this.#folder)) return { tunnels: [], errors: [] };
    const tunnels: Tunnel[] = [];
    const errors: Error[] = [];
    for (const file of readdirSync(this.#folder)
      .filter(entry => entry.endsWith('.json'))
      .sort()) {
      const path = join(this.#folder, file);
      try {
        tunnels.push(parse(readJsonFile(path)));
      } catch (error) {
        errors.push(
          new IpseckitError(
            'STORE',
            `tunnel file ${path} cannot be read: ${error instanceof Error ? error.message : error}`,
            {
              next: 'repair it, or remove it and bring the tunnel up again',
              cause: error,
            },
          ),
        );
      }
    }
    return { tunnels, errors };
  }

  write(name: string, document: unknown): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    writeWholeFile(this.#path(name), `${JSON.stringify(document, null, 2)}\n`);
  }

  remove(name: string): void {
    rmSync(this.#path(name), { force: true });
  }

  /** Percent-encoding keeps every name one file of this folder. */
  #path(name: string): string {
    return join(this.#folder, `${encodeURIComponent(name).replaceAll('.', '%2E')}.json`);
  }
}
