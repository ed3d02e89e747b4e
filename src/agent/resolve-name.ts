import { lookup } from 'node:dns/promises';
import { type IpAddress, parseIpAddress } from '../wire/ip/address.js';
import { isLinkLocal } from '../wire/ip/ip.js';

/** The addresses of a host name, as programs of this host find them (hosts file, DNS), IPv4 first. Rejects without any. */
export async function resolveName(name: string): Promise<readonly IpAddress[]> {
  const found = await lookup(name, { all: true, order: 'ipv4first' });
  return found.flatMap(({ address }) => {
    const parsed = parseIpAddress(address);
    return parsed === undefined || isLinkLocal(parsed) ? [] : [parsed];
  });
}
