import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileError } from '../policy/stores/file-error.js';
import { IpseckitError } from '../report/errors.js';

/** Throws `IpseckitError` (CONFLICT) when the file is there: it may hold the only copy of a key. */
export function refuseExisting(path: string): void {
  if (existsSync(path)) throw isThere(path, 'is there already');
}

/**
 * Throws `IpseckitError` (CONFLICT) for a file that must not be replaced by a certificate, a request or a list: whatever is
 * not PEM, and PEM with a private key.
 */
export function refuseKeyFile(path: string): void {
  let text: string;
  try {
    if (!existsSync(path) || !statSync(path).isFile()) return;
    text = readFileSync(path, 'latin1');
  } catch (error) {
    throw fileError('read', path, error);
  }
  if (/PRIVATE KEY-----/.test(text)) throw isThere(path, 'is there already, and holds a private key');
  if (text !== '' && !text.includes('-----BEGIN '))
    throw isThere(path, 'is there already, and is no PEM file');
}

function isThere(path: string, problem: string): IpseckitError {
  return new IpseckitError('CONFLICT', `${path} ${problem}`, {
    next: 'name another file, or remove it first',
  });
}
