/** Files that need not be there. */
import { readFileSync, writeFileSync } from 'node:fs';

/** A short file, or a setting of the kernel; `undefined` when it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Returns whether it could be written. */
export function writeText(path: string, text: string): boolean {
  try {
    writeFileSync(path, text);
    return true;
  } catch {
    return false; // Read-only in some containers.
  }
}
