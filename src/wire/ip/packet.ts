/**
 * IPv4 packets (RFC 791), on the hot path: addresses are unsigned 32-bit numbers, bytes are read and written in
 * place. A packet is its own buffer or, for writers, begins at `start` of a larger one.
 */
import { WireError } from '../bytes.js';
import { addressFamily, type IpAddress, ipv4Number } from './address.js';
import { checksumOf } from './checksum.js';

/** IANA protocol numbers that something here asks about. */
export const ipProtocol = {
  icmp: 1,
  ipv4: 4,
  tcp: 6,
  udp: 17,
  ipv6: 41,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  noNextHeader: 59,
} as const;

/** Where each field of the header lies. */
export const ipv4Field = {
  versionAndLength: 0,
  tos: 1,
  totalLength: 2,
  identification: 4,
  flagsAndOffset: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
  options: 20,
} as const;

/** Header without options. */
export const ipv4HeaderBytes = ipv4Field.options;

const dontFragmentFlag = 0x4000;
const moreFragmentsFlag = 0x2000;
const offsetMask = 0x1fff;

/** A decoded header. `source` and `destination` are unsigned 32-bit numbers. */
export interface Ipv4Header {
  readonly family: 4;
  /** 20 to 60. */
  readonly headerBytes: number;
  readonly tos: number;
  /** Header and payload. */
  readonly totalLength: number;
  readonly identification: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** Of the payload, in bytes. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly source: number;
  readonly destination: number;
}

export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)) >>>
    0
  );
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/**
 * Decodes the header of a packet; bytes after its total length are none of it. Options are left in place, the
 * header checksum is not checked (the kernel did). Throws `WireError` for anything but a whole IPv4 packet.
 */
export function decodeIpv4(packet: Uint8Array): Ipv4Header {
  if (packet.length < ipv4HeaderBytes) throw new WireError('truncated', packet.length, 'IPv4 header');
  const versionAndLength = packet[ipv4Field.versionAndLength] ?? 0;
  if (versionAndLength >>> 4 !== 4)
    throw new WireError('unsupported', ipv4Field.versionAndLength, `IP version ${versionAndLength >>> 4}`);
  const headerBytes = (versionAndLength & 0xf) * 4;
  const totalLength = readU16(packet, ipv4Field.totalLength);
  if (headerBytes < ipv4HeaderBytes)
    throw new WireError('bad-length', ipv4Field.versionAndLength, `IPv4 header of ${headerBytes} bytes`);
  if (totalLength < headerBytes)
    throw new WireError('bad-length', ipv4Field.totalLength, `IPv4 total length ${totalLength}`);
  if (totalLength > packet.length)
    throw new WireError('truncated', packet.length, `IPv4 packet of ${totalLength} bytes`);
  const flagsAndOffset = readU16(packet, ipv4Field.flagsAndOffset);
  return {
    family: 4,
    headerBytes,
    tos: packet[ipv4Field.tos] ?? 0,
    totalLength,
    identification: readU16(packet, ipv4Field.identification),
    dontFragment: (flagsAndOffset & dontFragmentFlag) !== 0,
    moreFragments: (flagsAndOffset & moreFragmentsFlag) !== 0,
    fragmentOffset: (flagsAndOffset & offsetMask) * 8,
    ttl: packet[ipv4Field.ttl] ?? 0,
    protocol: packet[ipv4Field.protocol] ?? 0,
    source: readU32(packet, ipv4Field.source),
    destination: readU32(packet, ipv4Field.destination),
  };
}

/**
 * Writes the header at `start`, with its checksum, and returns where the payload begins. `header.headerBytes`
 * must be 20 plus the length of `options` (a multiple of 4).
 */
export function writeIpv4Header(
  bytes: Uint8Array,
  start: number,
  header: Omit<Ipv4Header, 'family'>,
  options?: Uint8Array,
): number {
  const flags = (header.dontFragment ? dontFragmentFlag : 0) | (header.moreFragments ? moreFragmentsFlag : 0);
  bytes[start + ipv4Field.versionAndLength] = 0x40 | (header.headerBytes / 4);
  bytes[start + ipv4Field.tos] = header.tos;
  writeU16(bytes, start + ipv4Field.totalLength, header.totalLength);
  writeU16(bytes, start + ipv4Field.identification, header.identification);
  writeU16(bytes, start + ipv4Field.flagsAndOffset, flags | (header.fragmentOffset / 8));
  bytes[start + ipv4Field.ttl] = header.ttl;
  bytes[start + ipv4Field.protocol] = header.protocol;
  writeU32(bytes, start + ipv4Field.source, header.source);
  writeU32(bytes, start + ipv4Field.destination, header.destination);
  if (options !== undefined) bytes.set(options, start + ipv4Field.options);
  fillIpv4Checksum(bytes, start, header.headerBytes);
  return start + header.headerBytes;
}

/** Computes the header checksum of a header that is otherwise complete. */
export function fillIpv4Checksum(bytes: Uint8Array, start: number, headerBytes: number): void {
  writeU16(bytes, start + ipv4Field.checksum, 0);
  writeU16(bytes, start + ipv4Field.checksum, checksumOf(bytes, start, start + headerBytes));
}

/** A whole packet from header fields, `header.totalLength` and `header.headerBytes` being computed. */
export function encodeIpv4(
  header: Omit<Ipv4Header, 'family' | 'headerBytes' | 'totalLength'>,
  payload: Uint8Array,
  options: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const headerBytes = ipv4HeaderBytes + options.length;
  const packet = new Uint8Array(headerBytes + payload.length);
  writeIpv4Header(packet, 0, { ...header, headerBytes, totalLength: packet.length }, options);
  packet.set(payload, headerBytes);
  return packet;
}

/** The options, as a view; empty when there are none. */
export function ipv4Options(packet: Uint8Array, header: Ipv4Header): Uint8Array {
  return packet.subarray(ipv4Field.options, header.headerBytes);
}

/** The payload, as a view. */
export function ipv4Payload(packet: Uint8Array, header: Ipv4Header): Uint8Array {
  return packet.subarray(header.headerBytes, header.totalLength);
}

/** Whether a packet is a piece of a larger one. */
export function isFragment(header: Ipv4Header): boolean {
  return header.moreFragments || header.fragmentOffset !== 0;
}

/** TCP or UDP source port; 0 where there is none (other protocols, later fragments, cut headers). */
export function sourcePortOf(packet: Uint8Array, header: Ipv4Header): number {
  return hasPorts(header) ? readU16(packet, header.headerBytes) : 0;
}

/** TCP or UDP destination port; 0 where there is none. */
export function destinationPortOf(packet: Uint8Array, header: Ipv4Header): number {
  return hasPorts(header) ? readU16(packet, header.headerBytes + 2) : 0;
}

function hasPorts(header: Ipv4Header): boolean {
  return (
    (header.protocol === ipProtocol.tcp || header.protocol === ipProtocol.udp) &&
    header.fragmentOffset === 0 &&
    header.totalLength >= header.headerBytes + 4
  );
}

/** An IPv4 address as a number. Throws `WireError` for an IPv6 address. */
export function ipv4ToNumber(address: IpAddress): number {
  if (addressFamily(address) !== 4) throw new WireError('unsupported', 0, `not an IPv4 address: ${address}`);
  return ipv4Number(address);
}

/** The address of a number. */
export function ipv4FromNumber(value: number): IpAddress {
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}` as IpAddress;
}

/** 224.0.0.0/4 or the limited broadcast address. */
export function isMulticastOrBroadcast(address: number): boolean {
  return address >>> 28 === 0xe || address === 0xffff_ffff;
}
