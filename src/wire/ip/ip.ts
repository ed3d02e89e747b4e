/** Packets of either family, on the packet path: an IPv4 address is a number, an IPv6 address a bigint. */
import { WireError } from '../bytes.js';
import { addressBytes, addressFamily, addressFromBytes, addressToBigInt, type IpAddress } from './address.js';
import { onesComplementSum, sumOfU32 } from './checksum.js';
import { decodeIpv6, type Ipv6Header, writeIpv6Address } from './ipv6.js';
import {
  decodeIpv4,
  type Ipv4Header,
  ipProtocol,
  ipv4FromNumber,
  ipv4ToNumber,
  isMulticastOrBroadcast,
  readU16,
} from './packet.js';

export type IpHeader = Ipv4Header | Ipv6Header;

/** An address as packets have it: unsigned, of 32 bits (number, IPv4) or 128 (bigint, IPv6). */
export type PacketAddress = number | bigint;

/** Decodes a packet of either family. Throws `WireError` for anything else. */
export function decodeIp(packet: Uint8Array): IpHeader {
  return (packet[0] ?? 0) >>> 4 === 6 ? decodeIpv6(packet) : decodeIpv4(packet);
}

export function packetAddress(address: IpAddress): PacketAddress {
  return addressFamily(address) === 4 ? ipv4ToNumber(address) : addressToBigInt(address);
}

export function addressOf(address: PacketAddress): IpAddress {
  if (typeof address === 'number') return ipv4FromNumber(address);
  const bytes = new Uint8Array(16);
  writeIpv6Address(bytes, 0, address);
  return addressFromBytes(bytes);
}

/** What an address adds to the sum of a pseudo-header. */
export function sumOfAddress(address: PacketAddress): number {
  if (typeof address === 'number') return sumOfU32(address);
  return onesComplementSum(addressBytes(addressOf(address)), 0, 16);
}

/** Multicast of either family, and IPv4's limited broadcast: nothing is negotiated for them. */
export function isGroup(address: PacketAddress): boolean {
  return typeof address === 'number' ? isMulticastOrBroadcast(address) : address >> 120n === 0xffn;
}

/** fe80::/10: addresses that mean something only together with an adapter. */
export function isLinkLocal(address: IpAddress): boolean {
  return /^fe[89ab].:/.test(address);
}

/** Whether a packet is a piece of a larger one, or has a fragment header all the same. */
export function isFragmentOfIp(header: IpHeader): boolean {
  if (header.family === 6) return header.fragment !== undefined;
  return header.moreFragments || header.fragmentOffset !== 0;
}

/** Where TCP, UDP or whatever the packet carries begins. */
export function upperStart(header: IpHeader): number {
  return header.family === 4 ? header.headerBytes : header.upperStart;
}

/** TCP or UDP ports; 0 where there are none (other protocols, later fragments, cut headers). */
export function portsOf(packet: Uint8Array, header: IpHeader): { source: number; destination: number } {
  const offset = header.family === 4 ? header.fragmentOffset : (header.fragment?.offset ?? 0);
  const start = upperStart(header);
  const hasPorts =
    (header.protocol === ipProtocol.tcp || header.protocol === ipProtocol.udp) &&
    offset === 0 &&
    header.totalLength >= start + 4;
  return hasPorts
    ? { source: readU16(packet, start), destination: readU16(packet, start + 2) }
    : { source: 0, destination: 0 };
}

/** What a decoder gives, or nothing when it throws `WireError`. */
export function orUndefined<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
