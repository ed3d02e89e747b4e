import { readFileSync } from 'node:fs';
import { StoreFormatError } from '../policy/stores/format-error.js';
import { decodeText } from '../policy/stores/text-encoding.js';
import { IpseckitError } from '../report/errors.js';

/**
 * A file's text, in any encoding of Windows editors (`text-encoding.ts`); `-` is stdin. Throws
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
  const text = textOf(bytes);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (text === undefined || /[\0-\x08]/.test(text))
    throw new IpseckitError('USAGE', `the file ${name} is no text`, { next: 'save it as UTF-8' });
  return text;
}

/** `undefined` for UTF-16 that ends within a character. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decodeText(bytes);
  } catch (error) {
    if (error instanceof StoreFormatError) return undefined;
    throw error;
  }
}
