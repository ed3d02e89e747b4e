import {
  addressBytes,
  addressFamily,
  addressFromBytes,
  addressToBigInt,
  compareAddresses,
  type IpAddress,
} from './address.js';
import { ipv4FromNumber, ipv4ToNumber } from './packet.js';

/** A run of addresses of one family, both ends included. A host is `first === last`; a subnet is the usual case. */
export interface AddressRange {
  readonly first: IpAddress;
  readonly last: IpAddress;
}

/**
 * What traffic a filter or an SA covers, in one direction. `protocol` 0 is any; ports 0 are any and are
 * meaningful with TCP (6) and UDP (17) only.
 */
export interface Selector {
  readonly source: AddressRange;
  readonly destination: AddressRange;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A single address as a range. */
export function hostRange(address: IpAddress): AddressRange {
  return { first: address, last: address };
}

/** The subnet of `address` with that many leading bits. */
export function subnetRange(address: IpAddress, prefixLength: number): AddressRange {
  if (addressFamily(address) === 4) return ipv4SubnetRange(address, prefixLength);
  const bytes = addressBytes(address);
  const edge = (fill: 0 | 0xff) =>
    addressFromBytes(
      bytes.map((byte, i) => {
        const hostBits = Math.min(8, Math.max(0, 8 * (i + 1) - prefixLength));
        const hostMask = (1 << hostBits) - 1;
        return (byte & ~hostMask) | (fill & hostMask);
      }),
    );
  return { first: edge(0), last: edge(0xff) };
}

/** Without arrays: policies have filters by the hundred thousand. */
function ipv4SubnetRange(address: IpAddress, prefixLength: number): AddressRange {
  if (prefixLength >= 32) return hostRange(address);
  const hostMask = prefixLength <= 0 ? 0xffff_ffff : 2 ** (32 - prefixLength) - 1;
  const value = ipv4ToNumber(address);
  return {
    first: ipv4FromNumber((value & ~hostMask) >>> 0),
    last: ipv4FromNumber((value | hostMask) >>> 0),
  };
}

/** The prefix length of a range that is exactly a subnet (a host is 32 or 128); `undefined` for any other range. */
export function prefixLengthOf(range: AddressRange): number | undefined {
  const bits = addressFamily(range.first) === 4 ? 32 : 128;
  if (range.first === range.last) return bits;
  if (bits === 32) {
    if (addressFamily(range.last) !== 4) return undefined;
    const first = ipv4ToNumber(range.first);
    const hostBits = (first ^ ipv4ToNumber(range.last)) >>> 0;
    const isPrefix = (hostBits & (hostBits + 1)) === 0 && (first & hostBits) === 0;
    return isPrefix ? Math.clz32(hostBits) : undefined;
  }
  const low = addressToBigInt(range.first);
  const size = addressToBigInt(range.last) - low + 1n;
  if (size <= 0n || (size & (size - 1n)) !== 0n || low % size !== 0n) return undefined;
  return bits - (size.toString(2).length - 1);
}

/** The dotted mask of an IPv4 prefix length: 24 is `255.255.255.0`. */
export function prefixToMask(prefixLength: number): IpAddress {
  return subnetRange('0.0.0.0' as IpAddress, prefixLength)
    .last.split('.')
    .map(octet => 255 - Number(octet))
    .join('.') as IpAddress;
}

/** The prefix length of a dotted mask; `undefined` when its one bits are not contiguous. */
export function maskToPrefix(mask: IpAddress): number | undefined {
  const bits = [...addressBytes(mask)].map(byte => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? (bits.indexOf('0') === -1 ? bits.length : bits.indexOf('0')) : undefined;
}

/** Whether `address` lies in `range`. */
export function rangeContains(range: AddressRange, address: IpAddress): boolean {
  if (addressFamily(range.first) !== addressFamily(address)) return false;
  return compareAddresses(range.first, address) <= 0 && compareAddresses(address, range.last) <= 0;
}

/** Whether every address of `inner` lies in `outer`. */
export function rangeCovers(outer: AddressRange, inner: AddressRange): boolean {
  return rangeContains(outer, inner.first) && rangeContains(outer, inner.last);
}

/** Whether two ranges share an address. */
export function rangesOverlap(a: AddressRange, b: AddressRange): boolean {
  return rangeContains(a, b.first) || rangeContains(b, a.first);
}

/** The same traffic seen from the other end: addresses and ports exchanged. */
export function mirrorSelector(selector: Selector): Selector {
  return {
    source: selector.destination,
    destination: selector.source,
    protocol: selector.protocol,
    sourcePort: selector.destinationPort,
    destinationPort: selector.sourcePort,
  };
}

/** Whether every packet of `inner` is one of `outer`. */
export function selectorCovers(outer: Selector, inner: Selector): boolean {
  return (
    rangeCovers(outer.source, inner.source) &&
    rangeCovers(outer.destination, inner.destination) &&
    (outer.protocol === 0 || outer.protocol === inner.protocol) &&
    (outer.sourcePort === 0 || outer.sourcePort === inner.sourcePort) &&
    (outer.destinationPort === 0 || outer.destinationPort === inner.destinationPort)
  );
}

/** Whether two selectors are the same traffic. */
export function selectorsEqual(a: Selector, b: Selector): boolean {
  return selectorCovers(a, b) && selectorCovers(b, a);
}

/** `10.0.0.0/24`, `10.0.0.7`, `any`, or `10.0.0.3-10.0.0.9`. */
export function printRange(range: AddressRange): string {
  if (range.first === range.last) return range.first;
  const prefixLength = prefixLengthOf(range);
  if (prefixLength === 0) return 'any';
  return prefixLength === undefined ? `${range.first}-${range.last}` : `${range.first}/${prefixLength}`;
}

/** `192.0.2.1 -> 198.51.100.0/24 proto 6 ports 0/80`: one line for logs, tables and errors. */
export function printSelector(selector: Selector): string {
  const { source, destination, protocol, sourcePort, destinationPort } = selector;
  return `${printRange(source)} -> ${printRange(destination)} proto ${protocol} ports ${sourcePort}/${destinationPort}`;
}
