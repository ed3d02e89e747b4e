import { readFileSync } from 'node:fs';
import { Secret } from '../crypto/secret.js';
import { IpseckitError } from '../report/errors.js';

/** A secret from a file: its first line without the line end. Throws `IpseckitError` naming the file. */
export function readSecretFile(path: string, what = 'preshared key'): Secret<string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
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
