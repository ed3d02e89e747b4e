/** Changes of several files of one folder as one step, also when the process or the computer dies in the middle. */
import { existsSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { IpseckitError } from '../../report/errors.js';
import { array, object, oneOf, parsed } from '../schema.js';
import { fileError } from './file-error.js';
import { decodeFile, readJsonFile } from './json-file.js';
import { syncFolder, writeTemporaryFile, writeWholeFile } from './whole-file.js';

const journalFormat = 'ipseckit change';
/** Names of files of the folder itself, never of another. */
const fileName = parsed('a file name', text => (text !== '' && text === basename(text) ? text : undefined));
const journal = object({
  format: oneOf(journalFormat),
  version: oneOf(1),
  renames: array(object({ from: fileName, to: fileName })),
  removals: array(fileName),
});

export interface FileChange {
  readonly path: string;
  /** `undefined` removes the file. */
  readonly text: string | undefined;
}

/** New files written beside the old ones, and not yet in their place. */
export class StagedFiles {
  readonly #folder: string;
  readonly #renames: { readonly from: string; readonly to: string }[] = [];
  readonly #removals: string[] = [];

  /** Writes all new text. Throws `IpseckitError` (ACCESS_DENIED, STORE); nothing stays behind then. */
  constructor(folder: string, changes: readonly FileChange[]) {
    this.#folder = folder;
    try {
      for (const { path, text } of changes)
        if (text === undefined) this.#removals.push(path);
        else this.#renames.push({ from: writeTemporaryFile(path, text), to: path });
    } catch (error) {
      this.discard();
      throw error;
    }
  }

  /**
   * Puts everything in place. Throws `IpseckitError` before anything is changed; what fails later is completed by
   * `finishInterrupted`.
   */
  commit(): void {
    const [only] = this.#renames;
    const small = this.#renames.length + this.#removals.length <= 1;
    try {
      if (!small)
        writeWholeFile(
          journalPath(this.#folder),
          JSON.stringify({
            format: journalFormat,
            version: 1,
            renames: this.#renames.map(({ from, to }) => ({ from: basename(from), to: basename(to) })),
            removals: this.#removals.map(path => basename(path)),
          }),
        );
      move(this.#folder, this.#renames, this.#removals);
      if (!small) removeJournal(this.#folder);
    } catch (error) {
      if (small || !isInterrupted(this.#folder)) {
        this.discard();
        throw fileError('write', only?.to ?? this.#folder, error);
      }
      throw new IpseckitError('STORE', `the change of ${this.#folder} is not complete: ${String(error)}`, {
        next: 'check the folder, its disk and its rights; the next command that writes to it completes the change',
        cause: error,
      });
    }
  }

  /** Removes what was written; the old files are as they were. */
  discard(): void {
    for (const { from } of this.#renames) rmSync(from, { force: true });
  }
}

/** Whether a change of `folder` is under way, or was interrupted. */
export function isInterrupted(folder: string): boolean {
  return existsSync(journalPath(folder));
}

/** Completes a change that was interrupted. The caller holds the lock. Throws `IpseckitError`. */
export function finishInterrupted(folder: string): void {
  const path = journalPath(folder);
  const document = readJsonFile(path);
  if (document === undefined) return;
  const { renames, removals } = decodeFile(path, () => journal(document, ''));
  try {
    move(
      folder,
      renames
        .map(({ from, to }) => ({ from: join(folder, from), to: join(folder, to) }))
        .filter(({ from }) => existsSync(from)),
      removals.map(name => join(folder, name)),
    );
    removeJournal(folder);
  } catch (error) {
    throw fileError('write', folder, error);
  }
}

function move(
  folder: string,
  renames: readonly { readonly from: string; readonly to: string }[],
  removals: readonly string[],
): void {
  for (const { from, to } of renames) renameSync(from, to);
  for (const path of removals) rmSync(path, { force: true });
  syncFolder(folder);
}

function removeJournal(folder: string): void {
  const path = journalPath(folder);
  rmSync(path, { force: true });
  syncFolder(dirname(path));
}

function journalPath(folder: string): string {
  return join(folder, 'change.journal');
}
