import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { connectionTypeOf } from '../driver/connection-type.js';
import { steeringNames } from '../driver/kernel-names.js';
import { nativeIo } from '../driver/userspace/native.js';
import type { LocalAddress } from '../policy/expand.js';
import { IpseckitError } from '../report/errors.js';
import { fromHex } from '../wire/bytes.js';
import { addressBytes, addressFromBytes, type IpAddress, parseIpAddress } from '../wire/ip/address.js';

/**
 * This host's addresses, loopback excluded, sorted so that two calls compare. They come from the kernel's own tables,
 * because Node lists only adapters that have a carrier.
 */
export function localAddresses(): LocalAddress[] {
  const adapterOf = new Map(
    Object.entries(networkInterfaces()).flatMap(([adapter, entries]) =>
      (entries ?? []).map(entry => [entry.address, adapter] as const),
    ),
  );
  const ipv4 = parseLocalRoutes(readFileSync('/proc/net/fib_trie', 'utf8')).map(address => ({
    address,
    connectionType: connectionTypeOf(adapterOf.get(address) ?? ''),
  }));
  return [...ipv4, ...parseInterfaces6(ipv6Interfaces())];
}

/** A kernel without IPv6 has no such file. */
function ipv6Interfaces(): string {
  try {
    return readFileSync('/proc/net/if_inet6', 'utf8');
  } catch {
    return '';
  }
}

/** The addresses in a `/proc/net/if_inet6`, each once, sorted, without loopback. */
export function parseInterfaces6(table: string): LocalAddress[] {
  const found = new Map<IpAddress, LocalAddress>();
  for (const line of table.split('\n')) {
    const [hex = '', , , , , device] = line.trim().split(/\s+/);
    if (!/^[\da-f]{32}$/.test(hex) || device === undefined) continue;
    const address = addressFromBytes(fromHex(hex));
    if (address !== '::1') found.set(address, { address, connectionType: connectionTypeOf(device) });
  }
  return [...found.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
}

/** The host addresses in a `/proc/net/fib_trie`, each once, sorted, without 127.0.0.0/8. */
export function parseLocalRoutes(trie: string): IpAddress[] {
  const found = [...trie.matchAll(/\|-- ([\d.]+)\n\s+\/32 host LOCAL$/gm)].map(([, text]) =>
    parseIpAddress(text ?? ''),
  );
  return [...new Set(found)]
    .filter(address => address !== undefined)
    .filter(address => !address.startsWith('127.'))
    .sort();
}

/**
 * The address the kernel would send from to reach `peer`, whatever tunnel may be in force. Throws `IpseckitError`
 * (ENVIRONMENT) without a route.
 */
export function localAddressTowards(peer: IpAddress): IpAddress {
  try {
    const [, source] = nativeIo().findRoute(addressBytes(peer), steeringNames.bypassMark);
    if (source.some(byte => byte !== 0)) return addressFromBytes(source);
    throw new Error('the kernel named no source address');
  } catch (error) {
    if (error instanceof IpseckitError) throw error;
    throw new IpseckitError('ENVIRONMENT', `no route to ${peer}: ${String(error)}`, {
      next: 'check the address, and "ip route get" towards it',
      cause: error,
    });
  }
}
