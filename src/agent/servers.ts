/**
 * The servers that filters may name by what they do: DNS, WINS, DHCP, and the default gateway. Linux keeps them in
 * several places; all that are found count.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExpandContext } from '../policy/expand.js';
import { addressFromBytes, type IpAddress, parseIpAddress } from '../wire/ip/address.js';

export type Servers = NonNullable<ExpandContext['servers']>;

/** Lease files of the DHCP clients in use: systemd-networkd, NetworkManager, dhclient, dhcpcd's are binary. */
const leaseFolders = [
  'run/systemd/netif/leases',
  'var/lib/NetworkManager',
  'var/lib/dhcp',
  'var/lib/dhclient',
] as const;

/** What this computer knows of its servers now, sorted so that two calls compare. `root` is `/` but in tests. */
export function readServers(root = '/'): Servers {
  const read = (path: string) => textOf(join(root, path));
  const leases = leaseFolders.flatMap(folder =>
    filesIn(join(root, folder)).map(name => textOf(join(root, folder, name))),
  );
  return {
    dns: unique(nameservers(read('etc/resolv.conf'), read('run/systemd/resolve/resolv.conf'))),
    wins: unique([...leases.flatMap(netbiosServers), ...sambaWinsServers(read('etc/samba/smb.conf'))]),
    dhcp: unique(leases.flatMap(leaseServers)),
    gateway: unique(defaultGateways(read('proc/net/route'))),
  };
}

/** `/etc/resolv.conf`; where it names only a stub on this computer, the servers behind that. */
function nameservers(resolvConf: string, behindStub: string): IpAddress[] {
  const named = (text: string) =>
    addressesIn(matches(text, /^[ \t]*nameserver[ \t]+(\S+)/gm)).filter(
      address => !address.startsWith('127.') && address !== '::1',
    );
  const direct = named(resolvConf);
  return direct.length > 0 ? direct : named(behindStub);
}

/** The gateways in a `/proc/net/route`: its numbers are hexadecimal, in this machine's byte order. */
export function defaultGateways(routes: string): IpAddress[] {
  return routes.split('\n').flatMap(line => {
    const [, destination, gateway = '', , , , , mask] = line.split(/\s+/);
    if (destination !== '00000000' || mask !== '00000000' || !/^[0-9A-F]{8}$/i.test(gateway)) return [];
    const word = Uint8Array.from(new Uint8Array(Uint32Array.of(Number.parseInt(gateway, 16)).buffer));
    const address = addressFromBytes(word);
    return address === '0.0.0.0' ? [] : [address];
  });
}

/** The DHCP server of a lease file. dhclient appends: its last lease counts. */
function leaseServers(lease: string): IpAddress[] {
  const networkd = matches(lease, /^SERVER_ADDRESS=(\S+)$/gm);
  const dhclient = matches(lease, /^\s*option dhcp-server-identifier ([^;]+);/gm).slice(-1);
  return addressesIn([...networkd, ...dhclient]);
}

function netbiosServers(lease: string): IpAddress[] {
  const last = matches(lease, /^\s*option netbios-name-servers ([^;]+);/gm).slice(-1);
  return addressesIn(last.flatMap(list => list.split(/[\s,]+/)));
}

/** `wins server = [tag:]address …` of Samba. */
function sambaWinsServers(smbConf: string): IpAddress[] {
  const lists = matches(smbConf, /^[ \t]*wins server[ \t]*=[ \t]*(.+)$/gim);
  return addressesIn(lists.flatMap(list => list.split(/[\s,]+/)).map(word => word.replace(/^\w+:/, '')));
}

function matches(text: string, pattern: RegExp): string[] {
  return Array.from(text.matchAll(pattern), ([, value = '']) => value.trim());
}

function addressesIn(words: readonly string[]): IpAddress[] {
  return words.map(parseIpAddress).filter(address => address !== undefined);
}

function unique(addresses: readonly IpAddress[]): IpAddress[] {
  return [...new Set(addresses)].sort();
}

/** A file that is not there, or not for us, says nothing. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(entry => entry.isFile() && /lease|^\d+$/.test(entry.name))
      .map(({ name }) => name);
  } catch {
    return [];
  }
}
