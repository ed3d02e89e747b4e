import { readFileSync } from 'node:fs';
import { IpseckitError } from '../report/errors.js';

/**
 * A file's text: UTF-8, or UTF-16 with a byte order mark as Windows editors write it; `-` is stdin. Throws
 * `IpseckitError` (USAGE, ACCESS_DENIED) naming the file.
 */
export function readTextFile(path: string): string {
  const name = path === '-' ? 'stdin' : path;
  let bytes: Buffer;
  try {
    bytes = readFileSync(path === '-' ? 0 : path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new IpseckitError(
      code === 'EACCES' ? 'ACCESS_DENIED' : 'USAGE',
      `the file ${name} cannot be read (${code})`,
      { next: 'check its name and its rights', cause: error },
    );
  }
  const text = decodeText(bytes);
  if (text === undefined || text.includes('\0'))
    throw new IpseckitError('USAGE', `the file ${name} is no text in UTF-8 or UTF-16`, {
      next: 'save it as UTF-8',
    });
  return text;
}

/** `undefined` when the bytes are in neither encoding. The byte order mark is not part of the text. */
export function decodeText(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes;
  const encoding =
    first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
