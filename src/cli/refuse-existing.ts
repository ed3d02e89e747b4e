import { existsSync } from 'node:fs';
import { IpseckitError } from '../report/errors.js';

/** Throws `IpseckitError` (CONFLICT) when the file is there: it may hold the only copy of a key. */
export function refuseExisting(path: string): void {
  if (!existsSync(path)) return;
  throw new IpseckitError('CONFLICT', `${path} is there already`, {
    next: 'name another file, or remove it first',
  });
}
