import { hostname, networkInterfaces } from 'node:os';
import { IpseckitError } from '../report/errors.js';

/** Refuses to do anything for another computer. Throws `IpseckitError` (UNSUPPORTED). */
export function requireThisComputer(host: string | undefined): void {
  if (host === undefined || isThisComputer(host)) return;
  throw new IpseckitError(
    'UNSUPPORTED',
    `\\\\${host} is another computer, and ipseckit administers only its own`,
    {
      next: `run the command there, for example: ssh ${host} ipsecpol …`,
    },
  );
}

/** Throws `IpseckitError` (UNSUPPORTED) for any store but that of this computer. */
export function requireLocalStore(kind: 'local' | 'directory' | 'persistent'): void {
  if (kind === 'local') return;
  throw new IpseckitError(
    'UNSUPPORTED',
    kind === 'directory'
      ? 'a directory is only read (see "directory" in man ipseckit), never written'
      : 'there is no persistent store beside that of this computer',
    { next: 'use -w REG' },
  );
}

function isThisComputer(host: string): boolean {
  const name = host.toLowerCase();
  const own = hostname().toLowerCase();
  if (name === 'localhost' || name === own || name === own.split('.')[0] || name.startsWith('127.'))
    return true;
  return Object.values(networkInterfaces()).some(list => list?.some(({ address }) => address === name));
}
