import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { fileError } from './file-error.js';

/**
 * Replaces a file whole: a reader, also after a crash, sees the old text or the new, never a part. Mode 0600 unless
 * said otherwise. What is there and no file, as `/dev/stdout` or a pipe, is written to. Throws `IpseckitError`
 * (ACCESS_DENIED, STORE); the old file is then untouched.
 */
export function writeWholeFile(path: string, text: string | Uint8Array, mode = 0o600): void {
  if (isNoFile(path)) return writeThrough(path, text);
  const temporary = writeTemporaryFile(path, text, mode);
  try {
    renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw fileError('write', path, error);
  }
}

function isNoFile(path: string): boolean {
  try {
    return !statSync(path).isFile();
  } catch {
    return false;
  }
}

function writeThrough(path: string, text: string | Uint8Array): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw fileError('write', path, error);
  }
}

/** Writes the text beside `path`, safe on the disk, and returns that file's path: a rename puts it in place. */
export function writeTemporaryFile(path: string, text: string | Uint8Array, mode = 0o600): string {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const file = openSync(temporary, 'wx', mode);
    try {
      // The umask may have taken bits away.
      fchmodSync(file, mode);
      const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
      for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    return temporary;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw fileError('write', path, error);
  }
}

/** Makes a rename or removal in `folder` outlive a power failure. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
