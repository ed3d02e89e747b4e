import { IpseckitError } from '../report/errors.js';
import { forTerminal } from '../report/terminal.js';

/** Any error as one a user can read: what is not ours is a fault of ipseckit. */
export function asIpseckitError(error: unknown): IpseckitError {
  if (error instanceof IpseckitError) return error;
  return new IpseckitError('INTERNAL', error instanceof Error ? error.message : String(error), {
    next: 'this is a fault of ipseckit: run it again with IPSECKIT_DEBUG=1 and report what it prints',
    cause: error,
  });
}

/** The lines an error prints on stderr; the stack of a fault only when `IPSECKIT_DEBUG` asks for it. */
export function describeError(error: IpseckitError): string {
  const cause = error.cause instanceof Error && process.env.IPSECKIT_DEBUG ? `${error.cause.stack}\n` : '';
  const next = error.next === undefined ? '' : `next: ${error.next}\n`;
  return forTerminal(`error: ${error.message}\n${next}${cause}`);
}
