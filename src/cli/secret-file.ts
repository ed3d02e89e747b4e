import { readFileSync } from 'node:fs';
import { Secret } from '../crypto/secret.js';
import { IpseckitError } from '../report/errors.js';

/** A preshared key from a file: its first line without the line end. Throws `IpseckitError` naming the file. */
export function readSecretFile(path: string): Secret<string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new IpseckitError(
      code === 'EACCES' ? 'ACCESS_DENIED' : 'USAGE',
      `the preshared key file ${path} cannot be read (${code})`,
      {
        next: 'name a file that holds the key in its first line',
      },
    );
  }
  const key = text.split(/\r?\n/, 1)[0] ?? '';
  if (key === '')
    throw new IpseckitError('USAGE', `the preshared key file ${path} is empty`, {
      next: 'put the key in its first line',
    });
  return new Secret(key);
}
