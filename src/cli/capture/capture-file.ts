import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { errnoOf, fileError } from '../../policy/stores/file-error.js';
import { IpseckitError } from '../../report/errors.js';

/** A file that whole blocks are appended to. It is whole at any time but during a write. */
export class CaptureFile {
  readonly path: string;
  readonly #fd: number;
  #bytes = 0;

  /** Makes the file, mode 0600. Throws `IpseckitError`: CONFLICT when it is there, ACCESS_DENIED, STORE. */
  constructor(path: string) {
    this.path = path;
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    try {
      this.#fd = openSync(path, flags, 0o600);
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') throw fileIsThere(path, error);
      throw fileError('write', path, error);
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws `IpseckitError` (ENVIRONMENT) on a full disk; what was written before stays whole. */
  write(block: Uint8Array): void {
    try {
      for (let done = 0; done < block.length; )
        done += writeSync(this.#fd, block, done, block.length - done, this.#bytes + done);
    } catch (error) {
      this.#cutBack();
      throw new IpseckitError(
        'ENVIRONMENT',
        `${this.path} cannot be written any more (${errnoOf(error) ?? String(error)}): it ends with the last whole packet`,
        { next: 'free space there; what has been captured so far can be read', cause: error },
      );
    }
    this.#bytes += block.length;
  }

  close(): void {
    closeSync(this.#fd);
  }

  #cutBack(): void {
    try {
      ftruncateSync(this.#fd, this.#bytes);
    } catch {
      // Readers tell of the cut block; nothing before it is lost.
    }
  }
}

/** The error for a file nobody wants to lose. */
export function fileIsThere(path: string, cause?: unknown): IpseckitError {
  return new IpseckitError('CONFLICT', `${path} is there already`, {
    next: 'name another file, or remove it first',
    cause,
  });
}
