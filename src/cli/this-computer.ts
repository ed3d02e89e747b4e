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

function isThisComputer(host: string): boolean {
  const name = host.toLowerCase();
  const own = hostname().toLowerCase();
  if (name === 'localhost' || name === own || name === own.split('.')[0] || name.startsWith('127.'))
    return true;
  return Object.values(networkInterfaces()).some(list => list?.some(({ address }) => address === name));
}
