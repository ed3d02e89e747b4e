import { isIPv4, isIPv6 } from 'node:net';
import { WireError } from '../bytes.js';

/** An IPv4 or IPv6 address in canonical text: dotted decimal, or RFC 5952 lower case. */
export type IpAddress = string & { readonly __brand: 'IpAddress' };

/** `0.0.0.0`: as a tunnel endpoint or filter address it means "none" or "any". */
export const anyIpv4 = '0.0.0.0' as IpAddress;

/** Parses an address literal (no names, no prefix, no zone); `undefined` when `text` is not one. */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (isIPv4(text)) return text as IpAddress;
  if (isIPv6(text) && !text.includes('%')) return addressFromBytes(ipv6Bytes(text));
  return undefined;
}

/** Like `parseIpAddress`, for literals known to be right. Throws `WireError` otherwise. */
export function ipAddress(text: string): IpAddress {
  const address = parseIpAddress(text);
  if (address === undefined) throw new WireError('bad-value', 0, `not an IP address: ${text.slice(0, 60)}`);
  return address;
}

/** 4 or 6. */
export function addressFamily(address: IpAddress): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** The 4 or 16 bytes of an address, network order. */
export function addressBytes(address: IpAddress): Uint8Array {
  if (addressFamily(address) === 6) return ipv6Bytes(address);
  return Uint8Array.from(address.split('.'), Number);
}

/** The address of 4 or 16 bytes; throws `WireError` for any other length. */
export function addressFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return bytes.join('.') as IpAddress;
  if (bytes.length !== 16)
    throw new WireError('bad-length', 0, `an IP address has 4 or 16 bytes, not ${bytes.length}`);
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  // RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::".
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === '0') length++;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(':') as IpAddress;
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}` as IpAddress;
}

/** An address as an unsigned number: IPv4 in 32 bits, IPv6 in 128. */
export function addressToBigInt(address: IpAddress): bigint {
  return BigInt(`0x${Buffer.from(addressBytes(address)).toString('hex')}`);
}

/** Negative, zero or positive as `a` is before, the same as or after `b`; both of one family. */
export function compareAddresses(a: IpAddress, b: IpAddress): number {
  if (a === b) return 0;
  if (addressFamily(a) === 4) return ipv4Number(a) - ipv4Number(b);
  return addressToBigInt(a) < addressToBigInt(b) ? -1 : 1;
}

/** An IPv4 address as an unsigned number. Without an array: it is asked for by the hundred thousand. */
export function ipv4Number(address: IpAddress): number {
  let whole = 0;
  let octet = 0;
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i);
    if (code === 0x2e) {
      whole = whole * 256 + octet;
      octet = 0;
    } else octet = octet * 10 + code - 0x30;
  }
  return whole * 256 + octet;
}

function ipv6Bytes(text: string): Uint8Array {
  // A dotted tail (::ffff:192.0.2.1) becomes its two groups first.
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const plain = dotted
    ? `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`
    : text;
  const [head = '', tail] = plain.split('::');
  const groupsOf = (part: string) => (part === '' ? [] : part.split(':'));
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  const groups = [...front, ...Array<string>(8 - front.length - back.length).fill('0'), ...back];
  return Uint8Array.from(
    groups.flatMap(group => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  );
}
