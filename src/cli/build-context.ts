import { randomUUID } from 'node:crypto';
import type { BuildContext } from '../policy/build.js';
import { keyFilesIn, namesIn } from '../policy/build.js';
import type { IpsecpolCommand } from '../policy/ipsecpol/command.js';
import type { Guid } from '../policy/model.js';
import { IpseckitError } from '../report/errors.js';
import { type IpAddress, parseIpAddress } from '../wire/ip/address.js';
import { readSecretFile } from './secret-file.js';

/** Looks up what a command needs: names and key files. Throws `IpseckitError`: NAME_RESOLUTION, ACCESS_DENIED, USAGE. */
export async function buildContextFor(command: IpsecpolCommand): Promise<BuildContext> {
  const addresses = new Map(
    await Promise.all(namesIn(command).map(async name => [name, await resolve(name)] as const)),
  );
  const keys = new Map(keyFilesIn(command).map(path => [path, readSecretFile(path)] as const));
  return {
    newGuid: () => `{${randomUUID().toUpperCase()}}` as Guid,
    addressesOf: name => known(addresses, name),
    presharedKey: path => known(keys, path),
  };
}

function known<T>(found: ReadonlyMap<string, T>, name: string): T {
  const value = found.get(name);
  if (value === undefined) throw new Error(`${name} was not looked up`);
  return value;
}

/** The IPv4 addresses of a name, in the resolver's order. */
async function resolve(name: string): Promise<IpAddress[]> {
  // Loaded only when there is a name to resolve.
  const { lookup } = await import('node:dns/promises');
  let cause: unknown;
  try {
    const found = await lookup(name, { all: true, family: 4 });
    const addresses = found
      .map(({ address }) => parseIpAddress(address))
      .filter(address => address !== undefined);
    if (addresses.length > 0) return addresses;
  } catch (error) {
    cause = error;
  }
  throw new IpseckitError('NAME_RESOLUTION', `cannot resolve '${name}' to an IPv4 address`, {
    next: 'check the name and the resolver (/etc/hosts, /etc/resolv.conf), or write the address',
    ...(cause === undefined ? {} : { cause }),
  });
}
