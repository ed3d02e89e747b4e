/** Netlink's own framing (RFC 3549): messages with a header, and attributes in them. */
import { WireError } from '../bytes.js';
import { alignTo, decodeLayout, encodeLayout, hostIsLittleEndian, i32, struct, u16, u32 } from './layout.js';

/** Flags of a request (`NLM_F_…`). */
export const netlinkFlags = { request: 1, multipart: 2, acknowledge: 4, dump: 0x300 } as const;

/** Message types that every family has. */
export const netlinkTypes = { error: 2, done: 3 } as const;

const header = struct({ length: u32, type: u16, flags: u16, sequence: u32, port: u32 });
const attributeHeader = struct({ length: u16, type: u16 });
const errorBody = struct({ errno: i32 });
const alignment = 4;
/** The two highest bits of an attribute's type say how to read it. */
const attributeTypeMask = 0x3fff;

/** One message: what follows the header is `payload`. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** One that came: `port` is that of who asked for it, mostly a process id; 0 the kernel itself. */
export interface ReceivedNetlink extends NetlinkMessage {
  readonly port: number;
}

export interface NetlinkAttribute {
  readonly type: number;
  readonly value: Uint8Array;
}

/** The bytes of one message. */
export function encodeNetlink(message: NetlinkMessage, littleEndian = hostIsLittleEndian): Uint8Array {
  const { type, flags, sequence, payload } = message;
  const length = header.bytes + payload.length;
  const bytes = new Uint8Array(alignTo(length, alignment));
  bytes.set(encodeLayout(header, { length, type, flags, sequence, port: 0 }, littleEndian));
  bytes.set(payload, header.bytes);
  return bytes;
}

/** All messages in `bytes`. Throws `WireError` when one is cut. */
export function decodeNetlink(bytes: Uint8Array, littleEndian = hostIsLittleEndian): ReceivedNetlink[] {
  const messages: ReceivedNetlink[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { length, type, flags, sequence, port } = decodeLayout(
      header,
      bytes.subarray(at),
      littleEndian,
      'netlink message',
    );
    if (length < header.bytes || at + length > bytes.length)
      throw new WireError('bad-length', at, `netlink message of ${length} bytes`);
    const payload = bytes.subarray(at + header.bytes, at + length);
    messages.push({ type, flags, sequence, port, payload });
    at += alignTo(length, alignment);
  }
  return messages;
}

/** A fixed part and attributes as the payload of a message; each starts at a multiple of four. */
export function encodePayload(
  fixed: Uint8Array,
  attributes: readonly NetlinkAttribute[],
  littleEndian = hostIsLittleEndian,
): Uint8Array {
  const start = alignTo(fixed.length, alignment);
  const sizes = attributes.map(({ value }) => alignTo(attributeHeader.bytes + value.length, alignment));
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, start));
  bytes.set(fixed);
  let at = start;
  attributes.forEach(({ type, value }, index) => {
    const length = attributeHeader.bytes + value.length;
    bytes.set(encodeLayout(attributeHeader, { length, type }, littleEndian), at);
    bytes.set(value, at + attributeHeader.bytes);
    at += sizes[index] ?? 0;
  });
  return bytes;
}

/** The attributes behind a fixed part of `fixedBytes`. Throws `WireError` when one is cut. */
export function decodeAttributes(
  payload: Uint8Array,
  fixedBytes: number,
  littleEndian = hostIsLittleEndian,
): NetlinkAttribute[] {
  const attributes: NetlinkAttribute[] = [];
  for (let at = alignTo(fixedBytes, alignment); at < payload.length; ) {
    const { length, type } = decodeLayout(attributeHeader, payload.subarray(at), littleEndian, 'attribute');
    if (length < attributeHeader.bytes || at + length > payload.length)
      throw new WireError('bad-length', at, `netlink attribute of ${length} bytes`);
    attributes.push({
      type: type & attributeTypeMask,
      value: payload.subarray(at + attributeHeader.bytes, at + length),
    });
    at += alignTo(length, alignment);
  }
  return attributes;
}

/** The error number (`22` for EINVAL) that an error message carries; 0 is an acknowledgement. */
export function netlinkErrno(message: NetlinkMessage, littleEndian = hostIsLittleEndian): number {
  return -decodeLayout(errorBody, message.payload, littleEndian, 'netlink error').errno;
}
