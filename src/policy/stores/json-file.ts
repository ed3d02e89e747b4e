import { readFileSync } from 'node:fs';
import { IpseckitError } from '../../report/errors.js';
import { SchemaError } from '../schema.js';
import { errnoOf, fileError } from './file-error.js';
import { jsonErrorOffset, textPosition } from './json-position.js';

/**
 * The value in a JSON file; `undefined` when there is no such file. Throws `IpseckitError`: ACCESS_DENIED, or STORE
 * with file, line and column. No message repeats the text, which may hold keys. The file is left as it is.
 */
export function readJsonFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw fileError('read', path, error);
  }
  try {
    return JSON.parse(text);
  } catch {
    const at =
      text.trim() === '' ? 'the file is empty' : `no JSON at ${textPosition(text, jsonErrorOffset(text))}`;
    throw damagedFile(path, at);
  }
}

/** The error of a file whose content cannot be used. */
export function damagedFile(path: string, problem: string): IpseckitError {
  return new IpseckitError('STORE', `${path} is damaged: ${problem}`, {
    next: `repair the file, or move it away (it is kept as it is): mv ${path} ${path}.damaged`,
  });
}

/** Decodes what was read from `path`. Throws `IpseckitError` (STORE) where a `Decoder` throws `SchemaError`. */
export function decodeFile<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw damagedFile(path, error.message);
  }
}
