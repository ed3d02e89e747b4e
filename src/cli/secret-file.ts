import { readFileSync, statSync } from 'node:fs';
import { Secret } from '../crypto/secret.js';
import { StoreFormatError } from '../policy/stores/format-error.js';
import { decodeText } from '../policy/stores/text-encoding.js';
import { IpseckitError } from '../report/errors.js';

/**
 * A secret from a file that nobody else may read: its first line without the line end. Throws `IpseckitError` naming the
 * file.
 */
export function readSecretFile(path: string, what = 'preshared key'): Secret<string> {
  let text: string;
  try {
    if ((statSync(path).mode & 0o077) !== 0)
      throw new IpseckitError('ACCESS_DENIED', `others may read or change the ${what} file ${path}`, {
        next: `chmod 600 ${path}`,
      });
    // An editor of Windows may have written it: its byte order mark is no part of the secret.
    text = decodeText(readFileSync(path));
  } catch (error) {
    if (error instanceof IpseckitError) throw error;
    if (error instanceof StoreFormatError)
      throw new IpseckitError('USAGE', `the ${what} file ${path} is no text`, { next: 'save it as UTF-8' });
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new IpseckitError(
      code === 'EACCES' ? 'ACCESS_DENIED' : 'USAGE',
      `the ${what} file ${path} cannot be read (${code})`,
      {
        next: `name a file that holds the ${what} in its first line`,
      },
    );
  }
  const key = text.split(/\r?\n/, 1)[0] ?? '';
  if (key === '')
    throw new IpseckitError('USAGE', `the ${what} file ${path} is empty`, {
      next: `put the ${what} in its first line`,
    });
  return new Secret(key);
}
