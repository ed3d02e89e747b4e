import { IpseckitError } from '../../report/errors.js';

const denied = new Set(['EACCES', 'EPERM', 'EROFS']);

/** The errno word of a failed system call (`ENOENT`); `undefined` for any other value. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The error of a file that cannot be read, written or deleted: ACCESS_DENIED for missing rights, else STORE. */
export function fileError(verb: 'read' | 'write' | 'delete', path: string, error: unknown): IpseckitError {
  if (error instanceof IpseckitError) return error;
  const code = errnoOf(error);
  const reason =
    error instanceof Error ? error.message.replace(/^(E[A-Z]+): ([^,]+),.*$/s, '$2 ($1)') : String(error);
  if (code !== undefined && denied.has(code))
    return new IpseckitError('ACCESS_DENIED', `cannot ${verb} ${path}: ${reason}`, {
      next: 'run it as root, or set IPSECKIT_HOME to a folder of your own',
      cause: error,
    });
  return new IpseckitError('STORE', `cannot ${verb} ${path}: ${reason}`, {
    next: 'nothing was changed; check the folder, its disk and its rights',
    cause: error,
  });
}
