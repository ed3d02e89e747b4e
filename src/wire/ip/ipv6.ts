/**
 * IPv6 packets and their extension headers (RFC 8200), on the packet path: addresses are unsigned 128-bit numbers, bytes
 * are read and written in place. A packet is its own buffer or, for writers, begins at `start` of a larger one.
 */
import { WireError } from '../bytes.js';
import { readU16, readU32, writeU16, writeU32 } from './packet.js';

/** Next-header values of the extension headers that are walked through. */
export const extensionHeader = { hopByHop: 0, routing: 43, fragment: 44, destinationOptions: 60 } as const;

/** Where each field of the fixed header lies. */
export const ipv6Field = {
  versionAndClass: 0,
  payloadLength: 4,
  nextHeader: 6,
  hopLimit: 7,
  source: 8,
  destination: 24,
} as const;

/** Header without extension headers. */
export const ipv6HeaderBytes = 40;
export const fragmentHeaderBytes = 8;
/** Every IPv6 link carries packets of this size (RFC 8200 5). */
export const smallestIpv6Mtu = 1280;

const fragmentField = { nextHeader: 0, offsetAndMore: 2, identification: 4 } as const;
const longestChain = 16;

/** What a fragment header says. */
export interface Ipv6Fragment {
  /** What the reassembled packet has behind the part that every fragment repeats. */
  readonly nextHeader: number;
  /** In bytes. */
  readonly offset: number;
  readonly more: boolean;
  readonly identification: number;
}

/** A decoded header with what its extension headers say. Addresses are unsigned 128-bit numbers. */
export interface Ipv6Header {
  readonly family: 6;
  /**
   * The part that every fragment would repeat: up to the last hop-by-hop or routing header. ESP and AH of transport mode go
   * behind it (RFC 4303 3.1.1).
   */
  readonly headerBytes: number;
  /** What follows `headerBytes`, and where the byte is that says so. */
  readonly nextHeader: number;
  readonly nextHeaderAt: number;
  /** What follows all extension headers, where it begins, and where the byte is that says so. */
  readonly protocol: number;
  readonly upperStart: number;
  readonly protocolAt: number;
  /** Traffic class. */
  readonly tos: number;
  readonly flowLabel: number;
  /** Header and payload. */
  readonly totalLength: number;
  /** Hop limit. */
  readonly ttl: number;
  /** Routers never cut IPv6 packets; false only for one that its sender had cut already. */
  readonly dontFragment: boolean;
  readonly source: bigint;
  readonly destination: bigint;
  readonly fragment?: Ipv6Fragment;
}

/** What `writeIpv6Header` writes. */
export interface Ipv6Fields {
  readonly tos: number;
  readonly flowLabel: number;
  readonly payloadLength: number;
  readonly nextHeader: number;
  readonly ttl: number;
  readonly source: bigint;
  readonly destination: bigint;
}

/** The address at `at`, as a number. */
export function readIpv6Address(bytes: Uint8Array, at: number): bigint {
  return (
    (BigInt(readU32(bytes, at)) << 96n) |
    (BigInt(readU32(bytes, at + 4)) << 64n) |
    (BigInt(readU32(bytes, at + 8)) << 32n) |
    BigInt(readU32(bytes, at + 12))
  );
}

export function writeIpv6Address(bytes: Uint8Array, at: number, address: bigint): void {
  for (let word = 0; word < 4; word++)
    writeU32(bytes, at + 4 * word, Number((address >> BigInt(96 - 32 * word)) & 0xffff_ffffn));
}

/**
 * Decodes the header of a packet and walks its extension headers; bytes after its total length are none of it. Throws
 * `WireError` for anything but a whole IPv6 packet; jumbograms (RFC 2675) are unsupported.
 */
export function decodeIpv6(packet: Uint8Array): Ipv6Header {
  if (packet.length < ipv6HeaderBytes) throw new WireError('truncated', packet.length, 'IPv6 header');
  const first = readU32(packet, ipv6Field.versionAndClass);
  if (first >>> 28 !== 6)
    throw new WireError('unsupported', ipv6Field.versionAndClass, `IP version ${first >>> 28}`);
  const totalLength = ipv6HeaderBytes + readU16(packet, ipv6Field.payloadLength);
  if (totalLength > packet.length)
    throw new WireError('truncated', packet.length, `IPv6 packet of ${totalLength} bytes`);
  return {
    family: 6,
    ...walkExtensionHeaders(packet, totalLength),
    tos: (first >>> 20) & 0xff,
    flowLabel: first & 0xf_ffff,
    totalLength,
    ttl: packet[ipv6Field.hopLimit] ?? 0,
    dontFragment: true,
    source: readIpv6Address(packet, ipv6Field.source),
    destination: readIpv6Address(packet, ipv6Field.destination),
  };
}

type Chain = Pick<
  Ipv6Header,
  'headerBytes' | 'nextHeader' | 'nextHeaderAt' | 'protocol' | 'upperStart' | 'protocolAt' | 'fragment'
>;

function walkExtensionHeaders(packet: Uint8Array, end: number): Chain {
  let at: number = ipv6HeaderBytes;
  let namedAt: number = ipv6Field.nextHeader;
  let repeated = { headerBytes: at, nextHeaderAt: namedAt, nextHeader: packet[namedAt] ?? 0 };
  let fragment: Ipv6Fragment | undefined;
  for (let i = 0; ; i++) {
    const type = packet[namedAt] ?? 0;
    const isLaterFragment = fragment !== undefined && fragment.offset !== 0;
    if (isLaterFragment || !isExtensionHeader(type)) {
      const upper = { protocol: type, upperStart: at, protocolAt: namedAt };
      return fragment === undefined ? { ...repeated, ...upper } : { ...repeated, ...upper, fragment };
    }
    if (i === longestChain) throw new WireError('bad-length', at, 'too many IPv6 extension headers');
    if (at + 8 > end) throw new WireError('truncated', end, 'IPv6 extension header');
    const length = type === extensionHeader.fragment ? fragmentHeaderBytes : 8 * ((packet[at + 1] ?? 0) + 1);
    if (at + length > end) throw new WireError('truncated', end, `IPv6 extension header of ${length} bytes`);
    if (type === extensionHeader.hopByHop && at !== ipv6HeaderBytes)
      throw new WireError('bad-value', namedAt, 'hop-by-hop options that do not come first');
    if (type === extensionHeader.fragment) {
      if (fragment !== undefined) throw new WireError('bad-value', namedAt, 'two IPv6 fragment headers');
      repeated = { headerBytes: at, nextHeaderAt: namedAt, nextHeader: type };
      fragment = readFragment(packet, at);
    }
    namedAt = at;
    at += length;
    if (type === extensionHeader.hopByHop || (type === extensionHeader.routing && fragment === undefined))
      repeated = { headerBytes: at, nextHeaderAt: namedAt, nextHeader: packet[namedAt] ?? 0 };
  }
}

function isExtensionHeader(type: number): boolean {
  const { hopByHop, routing, fragment, destinationOptions } = extensionHeader;
  return type === hopByHop || type === routing || type === fragment || type === destinationOptions;
}

function readFragment(packet: Uint8Array, at: number): Ipv6Fragment {
  const offsetAndMore = readU16(packet, at + fragmentField.offsetAndMore);
  return {
    nextHeader: packet[at + fragmentField.nextHeader] ?? 0,
    offset: offsetAndMore & 0xfff8,
    more: (offsetAndMore & 1) !== 0,
    identification: readU32(packet, at + fragmentField.identification),
  };
}

/** Writes a fragment header at `at` and returns where it ends. */
export function writeFragmentHeader(bytes: Uint8Array, at: number, fragment: Ipv6Fragment): number {
  bytes[at + fragmentField.nextHeader] = fragment.nextHeader;
  bytes[at + 1] = 0;
  writeU16(bytes, at + fragmentField.offsetAndMore, fragment.offset | (fragment.more ? 1 : 0));
  writeU32(bytes, at + fragmentField.identification, fragment.identification);
  return at + fragmentHeaderBytes;
}

/** Writes the fixed header at `start` and returns where it ends. */
export function writeIpv6Header(bytes: Uint8Array, start: number, fields: Ipv6Fields): number {
  writeU32(bytes, start, ((6 << 28) | (fields.tos << 20) | fields.flowLabel) >>> 0);
  writeU16(bytes, start + ipv6Field.payloadLength, fields.payloadLength);
  bytes[start + ipv6Field.nextHeader] = fields.nextHeader;
  bytes[start + ipv6Field.hopLimit] = fields.ttl;
  writeIpv6Address(bytes, start + ipv6Field.source, fields.source);
  writeIpv6Address(bytes, start + ipv6Field.destination, fields.destination);
  return start + ipv6HeaderBytes;
}

/** A whole packet; `payload` begins with its extension headers, if it has any. */
export function encodeIpv6(fields: Omit<Ipv6Fields, 'payloadLength'>, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(ipv6HeaderBytes + payload.length);
  writeIpv6Header(packet, 0, { ...fields, payloadLength: payload.length });
  packet.set(payload, ipv6HeaderBytes);
  return packet;
}

/** Writes the traffic class of a packet in place. */
export function setTrafficClass(packet: Uint8Array, tos: number): void {
  packet[0] = 0x60 | (tos >>> 4);
  packet[1] = ((tos & 0xf) << 4) | ((packet[1] ?? 0) & 0xf);
}
