/** The addresses of this host as its adapters have them. */
import { networkInterfaces } from 'node:os';
import { type IpAddress, parseIpAddress } from '../wire/ip/address.js';
import { subnetRange } from '../wire/ip/selector.js';

/** Own addresses, and the IPv4 broadcast addresses of their subnets; each once, sorted. */
export function hostAddresses(): {
  readonly localAddresses: readonly IpAddress[];
  readonly broadcastAddresses: readonly IpAddress[];
} {
  const local = new Set<IpAddress>();
  const broadcast = new Set<IpAddress>();
  for (const { family, address: text, cidr } of Object.values(networkInterfaces()).flatMap(
    list => list ?? [],
  )) {
    const address = parseIpAddress(text);
    const prefixLength = Number(cidr?.split('/')[1] ?? 32);
    if (address === undefined) continue;
    local.add(address);
    if (family === 'IPv4' && prefixLength < 31 && !text.startsWith('127.'))
      broadcast.add(subnetRange(address, prefixLength).last);
  }
  return { localAddresses: [...local].sort(), broadcastAddresses: [...broadcast].sort() };
}
