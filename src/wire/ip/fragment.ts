/** Cutting packets into fragments (RFC 791 3.2, RFC 8200 4.5), and the whole that fragments make. */
import { WireError } from '../bytes.js';
import type { IpHeader } from './ip.js';
import {
  decodeIpv6,
  extensionHeader,
  fragmentHeaderBytes,
  ipv6Field,
  ipv6HeaderBytes,
  writeFragmentHeader,
} from './ipv6.js';
import {
  decodeIpv4,
  encodeIpv4,
  fillIpv4Checksum,
  ipv4Field,
  ipv4HeaderBytes,
  ipv4Options,
  ipv4Payload,
  writeU16,
} from './packet.js';

/** Option types with this bit are copied into every fragment. */
const copiedFlag = 0x80;
const endOfOptions = 0;
const noOperation = 1;

/**
 * The packet itself when it fits into `mtu` bytes, else its fragments. Ignores DF: who cuts has decided. A fragment can
 * be cut again. Throws `WireError` when the packet is malformed or no fragment fits into `mtu`.
 */
export function fragmentIpv4(packet: Uint8Array, mtu: number): Uint8Array[] {
  const header = decodeIpv4(packet);
  if (header.totalLength <= mtu) return [packet.subarray(0, header.totalLength)];
  const payload = ipv4Payload(packet, header);
  const laterOptions = copiedOptions(ipv4Options(packet, header));
  const fragments: Uint8Array[] = [];
  let offset = 0;
  while (offset < payload.length) {
    const options = offset === 0 ? ipv4Options(packet, header) : laterOptions;
    const room = mtu - ipv4HeaderBytes - options.length;
    if (room < 8) throw new WireError('bad-length', 0, `no fragment fits into ${mtu} bytes`);
    const end = payload.length - offset <= room ? payload.length : offset + Math.floor(room / 8) * 8;
    const fields = {
      ...header,
      moreFragments: header.moreFragments || end < payload.length,
      fragmentOffset: header.fragmentOffset + offset,
      dontFragment: false,
    };
    fragments.push(encodeIpv4(fields, payload.subarray(offset, end), options));
    offset = end;
  }
  return fragments;
}

/**
 * The packet itself when it fits into `mtu` bytes, else its fragments, which carry `identification`. Throws `WireError` when
 * the packet is malformed or a fragment already, or no fragment fits into `mtu`.
 */
export function fragmentIpv6(packet: Uint8Array, mtu: number, identification: number): Uint8Array[] {
  const header = decodeIpv6(packet);
  const { headerBytes, nextHeader, nextHeaderAt, totalLength } = header;
  if (totalLength <= mtu) return [packet.subarray(0, totalLength)];
  if (header.fragment !== undefined)
    throw new WireError('unsupported', headerBytes, 'a fragment of a fragment');
  const room = Math.floor((mtu - headerBytes - fragmentHeaderBytes) / 8) * 8;
  if (room < 8) throw new WireError('bad-length', 0, `no fragment fits into ${mtu} bytes`);
  const fragments: Uint8Array[] = [];
  for (let start = headerBytes; start < totalLength; start += room) {
    const end = Math.min(start + room, totalLength);
    const fragment = new Uint8Array(headerBytes + fragmentHeaderBytes + end - start);
    fragment.set(packet.subarray(0, headerBytes));
    fragment[nextHeaderAt] = extensionHeader.fragment;
    writeU16(fragment, ipv6Field.payloadLength, fragment.length - ipv6HeaderBytes);
    const payload = writeFragmentHeader(fragment, headerBytes, {
      nextHeader,
      offset: start - headerBytes,
      more: end < totalLength,
      identification,
    });
    fragment.set(packet.subarray(start, end), payload);
    fragments.push(fragment);
  }
  return fragments;
}

/** What one fragment brings to its packet. `payload` is a view. */
export interface FragmentPart {
  readonly identification: number;
  readonly offset: number;
  readonly more: boolean;
  readonly payload: Uint8Array;
}

/** The part of a packet that a fragment is; a whole packet is its only part. */
export function fragmentPart(packet: Uint8Array, header: IpHeader): FragmentPart {
  if (header.family === 6) {
    const { fragment = { offset: 0, more: false, identification: 0 }, headerBytes, totalLength } = header;
    const start = headerBytes + (header.fragment === undefined ? 0 : fragmentHeaderBytes);
    return { ...fragment, payload: packet.subarray(start, totalLength) };
  }
  const { identification, fragmentOffset: offset, moreFragments: more } = header;
  return { identification, offset, more, payload: ipv4Payload(packet, header) };
}

/** Longest payload that fragments of a packet may make. */
export function largestReassembly(header: IpHeader): number {
  return 65_535 - header.headerBytes + (header.family === 6 ? ipv6HeaderBytes : 0);
}

/** The whole packet: the header of its first fragment (`first` begins with it), and the payload of all. */
export function reassembled(first: Uint8Array, header: IpHeader, payload: Uint8Array): Uint8Array {
  const { headerBytes } = header;
  const whole = new Uint8Array(headerBytes + payload.length);
  whole.set(first.subarray(0, headerBytes));
  whole.set(payload, headerBytes);
  if (header.family === 6) {
    whole[header.nextHeaderAt] = header.fragment?.nextHeader ?? header.nextHeader;
    writeU16(whole, ipv6Field.payloadLength, whole.length - ipv6HeaderBytes);
  } else {
    writeU16(whole, ipv4Field.totalLength, whole.length);
    writeU16(whole, ipv4Field.flagsAndOffset, header.dontFragment ? 0x4000 : 0);
    fillIpv4Checksum(whole, 0, headerBytes);
  }
  return whole;
}

/** The options that every fragment repeats, padded to a multiple of 4. */
function copiedOptions(options: Uint8Array): Uint8Array {
  const kept: number[] = [];
  let at = 0;
  while (at < options.length) {
    const type = options[at] ?? endOfOptions;
    if (type === endOfOptions) break;
    const length = type === noOperation ? 1 : (options[at + 1] ?? 0);
    if (type !== noOperation && (length < 2 || at + length > options.length))
      throw new WireError('bad-length', ipv4HeaderBytes + at, `IPv4 option ${type} of ${length} bytes`);
    if ((type & copiedFlag) !== 0) kept.push(...options.subarray(at, at + length));
    at += length;
  }
  while (kept.length % 4 !== 0) kept.push(endOfOptions);
  return Uint8Array.from(kept);
}
