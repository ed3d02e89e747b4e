/** Which ports of a peer this host's sockets are connected to, as `/proc/net` lists them. */
import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { addressBytes, addressFamily, type IpAddress } from '../../wire/ip/address.js';
import { ipProtocol } from '../../wire/ip/packet.js';

const tables: Readonly<Record<number, readonly string[]>> = {
  [ipProtocol.tcp]: ['tcp', 'tcp6'],
  [ipProtocol.udp]: ['udp', 'udp6'],
};
/** Of an IPv4 address in a table of IPv6 sockets, as the kernel prints ::ffff:0:0/96. */
const mappedPrefix = endianness() === 'LE' ? '0000000000000000FFFF0000' : '00000000000000000000FFFF';

/** Whether a socket of this host is connected to that port. What cannot be read counts as no. */
export function isPeerPortConnected(protocol: number, peer: IpAddress, port: number): boolean {
  return (tables[protocol] ?? []).some(table => {
    try {
      return namesFarEnd(readFileSync(`/proc/net/${table}`, 'latin1'), peer, port);
    } catch {
      return false;
    }
  });
}

/** Whether a socket in the table has that far end. */
function namesFarEnd(table: string, peer: IpAddress, port: number): boolean {
  const mapped = addressFamily(peer) === 4 ? `(${mappedPrefix})?` : '';
  const farEnd = `${kernelHex(addressBytes(peer))}:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  // The state follows, of two digits.
  return new RegExp(` ${mapped}${farEnd} \\w\\w `).test(table);
}

/** Words of four bytes as numbers of this machine. */
function kernelHex(bytes: Uint8Array): string {
  const words = [];
  for (let at = 0; at < bytes.length; at += 4) {
    const word = bytes.slice(at, at + 4);
    words.push(Buffer.from(endianness() === 'LE' ? word.reverse() : word).toString('hex'));
  }
  return words.join('').toUpperCase();
}
