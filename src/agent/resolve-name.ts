import { lookup } from 'node:dns/promises';
import { type IpAddress, parseIpAddress } from '../wire/ip/address.js';

/** The IPv4 addresses of a host name, as programs of this host find them (hosts file, DNS). Rejects without any. */
export async function resolveName(name: string): Promise<readonly IpAddress[]> {
  const found = await lookup(name, { all: true, family: 4 });
  return found.map(({ address }) => parseIpAddress(address)).filter(address => address !== undefined);
}
