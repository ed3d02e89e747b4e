/**
 * Captures of packets: the classic pcap format in all its byte orders and time units, and pcapng
 * (draft-ietf-opsawg-pcapng). Reading only. Whatever is wrong with a file is a `WireError` with the offset.
 */
import { WireError } from './bytes.js';

/** One packet as captured. `bytes` is a view on the file, and shorter than `wireBytes` when the capture cut it. */
export interface CapturedPacket {
  /** `LINKTYPE_` number. */
  readonly linkType: number;
  readonly bytes: Uint8Array;
  /** Length on the wire. */
  readonly wireBytes: number;
  /** Where its record starts in the file. */
  readonly offset: number;
}

/** Link types whose packets `ipPacketOf` finds. */
export const linkTypes = {
  NULL: 0,
  ETHERNET: 1,
  RAW_BSD: 12,
  RAW_OPENBSD: 14,
  RAW: 101,
  LOOP: 108,
  LINUX_SLL: 113,
  IPV4: 228,
  IPV6: 229,
  LINUX_SLL2: 276,
} as const;

/** No capture program writes larger packets; a larger length is a damaged file. */
const largestPacketBytes = 16 * 1024 * 1024;

const pcapMagics: readonly number[] = [0xa1b2_c3d4, 0xa1b2_3c4d];
const pcapHeaderBytes = 24;
const recordHeaderBytes = 16;
const sectionHeaderType = 0x0a0d_0d0a;
const byteOrderMagic = 0x1a2b_3c4d;
const smallestBlockBytes = 12;

/** Reads the packets of a capture, one after another. Throws `WireError`, also in the middle. */
export function* readCapture(file: Uint8Array): Generator<CapturedPacket> {
  if (file.length < 4) throw new WireError('truncated', file.length, 'capture file');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint32(0) === sectionHeaderType) return yield* readBlocks(file, view);
  for (const littleEndian of [true, false])
    if (pcapMagics.includes(view.getUint32(0, littleEndian)))
      return yield* readRecords(file, view, littleEndian);
  throw new WireError('bad-value', 0, 'neither a pcap nor a pcapng file');
}

function* readRecords(file: Uint8Array, view: DataView, littleEndian: boolean): Generator<CapturedPacket> {
  if (file.length < pcapHeaderBytes) throw new WireError('truncated', file.length, 'pcap file header');
  // The upper bits hold the length of a frame check sequence.
  const linkType = view.getUint32(20, littleEndian) & 0x0fff_ffff;
  for (let offset = pcapHeaderBytes; offset < file.length; ) {
    if (offset + recordHeaderBytes > file.length)
      throw new WireError('truncated', offset, 'pcap packet header');
    const capturedBytes = view.getUint32(offset + 8, littleEndian);
    const wireBytes = view.getUint32(offset + 12, littleEndian);
    const start = offset + recordHeaderBytes;
    yield packetAt(file, { linkType, start, capturedBytes, wireBytes, offset, end: file.length });
    offset = start + capturedBytes;
  }
}

function* readBlocks(file: Uint8Array, view: DataView): Generator<CapturedPacket> {
  let littleEndian = true;
  let interfaces: { readonly linkType: number; readonly snapBytes: number }[] = [];
  for (let offset = 0; offset < file.length; ) {
    if (offset + smallestBlockBytes > file.length) throw new WireError('truncated', offset, 'pcapng block');
    const isSection = view.getUint32(offset) === sectionHeaderType;
    if (isSection) {
      littleEndian = sectionOrder(view, offset);
      interfaces = [];
    }
    const type = view.getUint32(offset, littleEndian);
    const blockBytes = view.getUint32(offset + 4, littleEndian);
    if (blockBytes < smallestBlockBytes || blockBytes % 4 !== 0)
      throw new WireError('bad-length', offset + 4, `pcapng block of ${blockBytes} bytes`);
    const end = offset + blockBytes;
    if (end > file.length) throw new WireError('truncated', offset, `pcapng block of ${blockBytes} bytes`);
    if (view.getUint32(end - 4, littleEndian) !== blockBytes)
      throw new WireError('bad-length', end - 4, 'the two lengths of a pcapng block differ');
    const body = new BlockBody(view, offset + 8, end - 4, littleEndian);
    if (type === blockTypes.interface) interfaces.push({ linkType: body.u16(0), snapBytes: body.u32(4) });
    else {
      const packet = packetIn(type, body, interfaces);
      if (packet !== undefined) yield packetAt(file, { ...packet, offset, end: end - 4 });
    }
    offset = end;
  }
}

const blockTypes = { interface: 1, packet: 2, simplePacket: 3, enhancedPacket: 6 } as const;

/** The fields of a block, bounded by it. */
class BlockBody {
  readonly #view: DataView;
  readonly start: number;
  readonly #end: number;
  readonly #littleEndian: boolean;

  constructor(view: DataView, start: number, end: number, littleEndian: boolean) {
    this.#view = view;
    this.start = start;
    this.#end = end;
    this.#littleEndian = littleEndian;
  }

  get length(): number {
    return this.#end - this.start;
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#place(at, 2), this.#littleEndian);
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#place(at, 4), this.#littleEndian);
  }

  #place(at: number, bytes: number): number {
    const place = this.start + at;
    if (place + bytes > this.#end) throw new WireError('truncated', this.#end, 'pcapng block');
    return place;
  }
}

type PacketFields = Pick<PacketPlace, 'linkType' | 'start' | 'capturedBytes' | 'wireBytes'>;

function packetIn(
  type: number,
  body: BlockBody,
  interfaces: readonly { readonly linkType: number; readonly snapBytes: number }[],
): PacketFields | undefined {
  const interfaceAt = (id: number) => {
    const found = interfaces[id];
    if (found === undefined)
      throw new WireError('bad-value', body.start, `packet of interface ${id}, which is not described`);
    return found;
  };
  switch (type) {
    case blockTypes.enhancedPacket:
      return {
        linkType: interfaceAt(body.u32(0)).linkType,
        start: body.start + 20,
        capturedBytes: body.u32(12),
        wireBytes: body.u32(16),
      };
    case blockTypes.packet:
      return {
        linkType: interfaceAt(body.u16(0)).linkType,
        start: body.start + 20,
        capturedBytes: body.u32(12),
        wireBytes: body.u32(16),
      };
    case blockTypes.simplePacket: {
      const { linkType, snapBytes } = interfaceAt(0);
      const wireBytes = body.u32(0);
      const capturedBytes = Math.min(wireBytes, snapBytes === 0 ? wireBytes : snapBytes, body.length - 4);
      return { linkType, start: body.start + 4, capturedBytes, wireBytes };
    }
    default:
      return undefined;
  }
}

function sectionOrder(view: DataView, offset: number): boolean {
  if (view.getUint32(offset + 8, true) === byteOrderMagic) return true;
  if (view.getUint32(offset + 8, false) === byteOrderMagic) return false;
  throw new WireError('bad-value', offset + 8, 'pcapng byte order');
}

interface PacketPlace {
  readonly linkType: number;
  readonly start: number;
  readonly capturedBytes: number;
  readonly wireBytes: number;
  readonly offset: number;
  /** What the packet must not reach beyond. */
  readonly end: number;
}

function packetAt(file: Uint8Array, place: PacketPlace): CapturedPacket {
  const { linkType, start, capturedBytes, wireBytes, offset, end } = place;
  if (capturedBytes > largestPacketBytes)
    throw new WireError('bad-length', offset, `captured packet of ${capturedBytes} bytes`);
  if (start + capturedBytes > end)
    throw new WireError('truncated', offset, `captured packet of ${capturedBytes} bytes`);
  return { linkType, bytes: file.subarray(start, start + capturedBytes), wireBytes, offset };
}

const etherTypes = { ipv4: 0x0800, ipv6: 0x86dd, vlan: [0x8100, 0x88a8, 0x9100] } as const;

/** The IP packet in a captured one; `undefined` when it holds none (ARP, …). Throws `WireError` (unsupported). */
export function ipPacketOf({ linkType, bytes, offset }: CapturedPacket): Uint8Array | undefined {
  const u16 = (at: number) => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  const behind = (etherType: number, at: number) =>
    etherType === etherTypes.ipv4 || etherType === etherTypes.ipv6
      ? packetFrom(bytes.subarray(at))
      : undefined;
  switch (linkType) {
    case linkTypes.ETHERNET: {
      let at = 12;
      while (etherTypes.vlan.some(type => type === u16(at)) && at + 4 < bytes.length) at += 4;
      return behind(u16(at), at + 2);
    }
    case linkTypes.LINUX_SLL:
      return behind(u16(14), 16);
    case linkTypes.LINUX_SLL2:
      return behind(u16(0), 20);
    case linkTypes.NULL:
    case linkTypes.LOOP:
      return packetFrom(bytes.subarray(4));
    case linkTypes.RAW:
    case linkTypes.RAW_BSD:
    case linkTypes.RAW_OPENBSD:
    case linkTypes.IPV4:
    case linkTypes.IPV6:
      return packetFrom(bytes);
    default:
      throw new WireError('unsupported', offset, `link type ${linkType}`);
  }
}

function packetFrom(bytes: Uint8Array): Uint8Array | undefined {
  const version = (bytes[0] ?? 0) >>> 4;
  return version === 4 || version === 6 ? bytes : undefined;
}
