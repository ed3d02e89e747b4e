/**
 * Writing pcapng, block by block, little-endian: a section header, then for each interface its description before its
 * first packet. Every function returns one whole block.
 */
import { blockTypes, byteOrderMagic, directionFlags, optionCodes, smallestBlockBytes } from './format.js';

/** The first block of a file: what wrote it, and where. */
export function sectionHeader(said: {
  readonly application: string;
  readonly os?: string;
  readonly comment?: string;
}): Uint8Array {
  const { os, application } = optionCodes.section;
  return block(
    blockTypes.section,
    u32(byteOrderMagic),
    u16(1, 0),
    // The length of the section is not known yet.
    u32(0xffff_ffff, 0xffff_ffff),
    textOption(optionCodes.comment, said.comment),
    textOption(os, said.os),
    textOption(application, said.application),
    endOfOptions,
  );
}

export interface InterfaceDescription {
  readonly name: string;
  readonly description?: string;
  /** `LINKTYPE_` number. */
  readonly linkType: number;
}

/** An interface; those of a section are numbered from 0, in order. Its packets have times in nanoseconds. */
export function interfaceDescription({ name, description, linkType }: InterfaceDescription): Uint8Array {
  const codes = optionCodes.interface;
  return block(
    blockTypes.interface,
    u16(linkType, 0),
    // Packets are not cut.
    u32(0),
    textOption(codes.name, name),
    textOption(codes.description, description),
    option(codes.timeResolution, Uint8Array.of(9)),
    endOfOptions,
  );
}

/** A packet of an interface. `wireBytes` is its length where `bytes` is cut. Comments have at most 65535 bytes. */
export function enhancedPacket(packet: {
  readonly interfaceId: number;
  readonly timestampNs: bigint;
  readonly bytes: Uint8Array;
  readonly wireBytes?: number;
  readonly direction?: 'inbound' | 'outbound';
  readonly comments?: readonly string[];
}): Uint8Array {
  const { interfaceId, timestampNs, bytes, wireBytes = bytes.length, direction, comments = [] } = packet;
  const options = [
    ...(direction === undefined
      ? []
      : [option(optionCodes.enhancedPacket.flags, u32(directionFlags[direction]))]),
    ...comments.map(comment => textOption(optionCodes.comment, comment)),
  ];
  return block(
    blockTypes.enhancedPacket,
    u32(interfaceId),
    timestamp(timestampNs),
    u32(bytes.length, wireBytes),
    padded(bytes),
    ...options,
    ...(options.length === 0 ? [] : [endOfOptions]),
  );
}

/** What became of an interface's packets: seen, and lost because they came too fast. Belongs at the end. */
export function interfaceStatistics(statistics: {
  readonly interfaceId: number;
  readonly timestampNs: bigint;
  readonly received: number;
  readonly dropped: number;
}): Uint8Array {
  const { received, dropped } = optionCodes.interfaceStatistics;
  return block(
    blockTypes.interfaceStatistics,
    u32(statistics.interfaceId),
    timestamp(statistics.timestampNs),
    option(received, u64(BigInt(statistics.received))),
    option(dropped, u64(BigInt(statistics.dropped))),
    endOfOptions,
  );
}

function block(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  const length = u32(smallestBlockBytes + body.length);
  return new Uint8Array(Buffer.concat([u32(type), length, body, length]));
}

function option(code: number, value: Uint8Array): Uint8Array {
  if (value.length > 0xffff) throw new RangeError(`option ${code}: ${value.length} bytes do not fit`);
  return Buffer.concat([u16(code, value.length), padded(value)]);
}

function textOption(code: number, text: string | undefined): Uint8Array {
  return text === undefined ? new Uint8Array(0) : option(code, Buffer.from(text, 'utf8'));
}

const endOfOptions = u16(optionCodes.end, 0);

/** The upper half comes first, whatever the byte order. */
function timestamp(ns: bigint): Uint8Array {
  return u32(Number(ns >> 32n), Number(ns & 0xffff_ffffn));
}

function padded(bytes: Uint8Array): Uint8Array {
  const rest = bytes.length % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, new Uint8Array(4 - rest)]);
}

function u16(...values: readonly number[]): Uint8Array {
  const buffer = Buffer.alloc(values.length * 2);
  for (const [i, value] of values.entries()) buffer.writeUInt16LE(value, i * 2);
  return buffer;
}

function u32(...values: readonly number[]): Uint8Array {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) buffer.writeUInt32LE(value, i * 4);
  return buffer;
}

function u64(value: bigint): Uint8Array {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(value);
  return buffer;
}
