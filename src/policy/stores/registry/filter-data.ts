/**
 * `ipsecData` of an ipsecFilter object, a filter list (`policy-store.md` 4.5): the specifications all versions read
 * (V1), and behind them those with IPv6 and ranges that Vista and later read as well (V2).
 */
import { type ByteReader, ByteWriter, bytesEqual } from '../../../wire/bytes.js';
import type { Guid } from '../../model.js';
import {
  bytes,
  encodeField,
  flag32,
  guid,
  ipv4,
  list,
  reserved,
  storedGuid,
  struct,
  text,
  u8,
  u16,
  u32,
  type Values,
} from './fields.js';
import { type Blob, closeFrame, openFrame } from './frame.js';

const names = {
  sourceName: text,
  destinationName: text,
  description: text,
  id: guid,
  mirrored: flag32,
};

const spec1 = {
  ...names,
  source: ipv4,
  sourceMask: ipv4,
  destination: ipv4,
  destinationMask: ipv4,
  tunnelAddress: reserved(4),
  protocol: u32,
  sourcePort: u16,
  destinationPort: u16,
  isTunnel: reserved(1),
  /** Row of `specialAddresses`, with the high bit for the destination; 0 none (2003 and later). */
  special: u8,
  options: reserved(2),
};

export type FilterSpec1 = Values<typeof spec1>;

const address = {
  /** A number of `addressTypes`. */
  type: u32,
  /** 1 IPv4, 2 IPv6, 3 both. */
  version: u32,
  /** IPv4 in the first four bytes. */
  address: bytes(16),
  /** Last address of a range, or the mask; an IPv6 mask is its length in the first byte. */
  second: bytes(16),
};

const port = {
  /** 0 any, 1 single, 2 range. */
  type: u32,
  first: u16,
  last: u16,
};

const spec2 = {
  ...names,
  source: struct(address),
  destination: struct(address),
  sourcePort: struct(port),
  destinationPort: struct(port),
  protocol: u32,
  flags: u32,
};

export type FilterSpec2 = Values<typeof spec2>;
export type Address2 = FilterSpec2['source'];
export type Port2 = FilterSpec2['sourcePort'];

/** `flags`: this specification replaces those of V1 with the same id, which only approximate it. */
export const replacesV1 = 0x8;

export const addressTypes = {
  any: 0,
  single: 1,
  range: 2,
  subnet: 4,
  me: 8,
  dns: 0x10,
  wins: 0x20,
  dhcp: 0x40,
  gateway: 0x80,
} as const;

/** The low bits of `special`. */
export const specialAddresses = { dns: 1, wins: 2, dhcp: 3, gateway: 4 } as const;
export const specialIsDestination = 0x80;

export interface FilterData {
  readonly specs: readonly FilterSpec1[];
  /** Absent without a V2 section. */
  readonly specs2?: readonly FilterSpec2[];
}

const type1 = '{80DC20B5-2EC8-11D1-A89E-00A0248D3021}' as Guid;
const type2 = '{35FECD3D-AE29-4373-8A6A-C5D8FAB2FB08}' as Guid;
const what = 'ipsecFilter';
const list1 = list(struct(spec1));
const list2 = list(struct(spec2));

/**
 * Reads both framings. Written is that of Windows 2000, or with a V2 section that of Vista, where the length counts
 * the specifications alone and no byte trails.
 */
export const filterData: Blob<FilterData> = {
  decode: whole => {
    const reader = openFrame(whole, type1, what);
    const specs = list1.read(reader, `${what}: filters`);
    if (!findV2(whole, reader)) return { specs };
    const length = u32.read(reader, `${what}: V2 length`);
    if (length > reader.remaining)
      reader.fail('bad-length', `${what}: its V2 length says ${length} bytes, ${reader.remaining} follow`);
    const meant = u32.read(reader, `${what}: number of filters in V1`);
    const specs2 = list2.read(reader, `${what}: V2 filters`);
    return { specs: meant === 0 ? specs : specs.slice(0, meant), specs2 };
  },
  encode: ({ specs, specs2 }) => {
    const body = encodeField(list1, specs);
    if (specs2 === undefined) return closeFrame(type1, body);
    const body2 = new ByteWriter();
    u32.write(body2, specs.length);
    list2.write(body2, specs2);
    return closeFrame(type1, body, {
      length: body.length - list1.minimumBytes,
      extension: closeFrame(type2, body2.finish(), { trailingByte: false }),
      trailingByte: false,
    });
  },
};

/** Whether a V2 section follows, at once or behind one stray byte; its GUID is then behind the reader. */
function findV2(whole: Uint8Array, reader: ByteReader): boolean {
  const mark = storedGuid(type2);
  const gap = [0, 1].find(skipped => {
    const at = reader.offset + skipped;
    return bytesEqual(whole.subarray(at, at + mark.length), mark);
  });
  if (gap === undefined) return false;
  reader.bytes(gap + mark.length, what);
  return true;
}
