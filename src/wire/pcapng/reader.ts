/** Reading pcapng: sections, interfaces and packets; what else there is, is left out. */
import { WireError } from '../bytes.js';
import { type CapturedPacket, type PacketPlace, packetAt } from '../captured-packet.js';
import {
  blockTypes,
  byteOrderMagic,
  defaultTimeResolution,
  directionFlags,
  optionCodes,
  smallestBlockBytes,
} from './format.js';

/** Whether a file (of four bytes or more) begins like pcapng. */
export function isPcapng(view: DataView): boolean {
  return view.getUint32(0) === blockTypes.section;
}

/** What a section says of one of its interfaces. */
interface Interface {
  readonly linkType: number;
  readonly snapBytes: number;
  readonly device?: string;
  timestampNs(high: number, low: number): bigint;
}

/** The packets of a pcapng file. Throws `WireError` with the offset, also in the middle. */
export function* readPcapng(file: Uint8Array, view: DataView): Generator<CapturedPacket> {
  let littleEndian = true;
  let interfaces: Interface[] = [];
  for (let offset = 0; offset < file.length; ) {
    if (offset + smallestBlockBytes > file.length) throw new WireError('truncated', offset, 'pcapng block');
    if (view.getUint32(offset) === blockTypes.section) {
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
    if (type === blockTypes.interface) interfaces.push(interfaceIn(body));
    else {
      const packet = packetIn(type, body, interfaces);
      if (packet !== undefined) yield packetAt(file, { ...packet, offset, end: end - 4 });
    }
    offset = end;
  }
}

function sectionOrder(view: DataView, offset: number): boolean {
  if (view.getUint32(offset + 8, true) === byteOrderMagic) return true;
  if (view.getUint32(offset + 8, false) === byteOrderMagic) return false;
  throw new WireError('bad-value', offset + 8, 'pcapng byte order');
}

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

  u8(at: number): number {
    return this.#view.getUint8(this.#place(at, 1));
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#place(at, 2), this.#littleEndian);
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#place(at, 4), this.#littleEndian);
  }

  i64(at: number): bigint {
    return this.#view.getBigInt64(this.#place(at, 8), this.#littleEndian);
  }

  text(at: number, bytes: number): string {
    const start = this.#place(at, bytes);
    return Buffer.from(this.#view.buffer, this.#view.byteOffset + start, bytes).toString('utf8');
  }

  /** The options from `at` to the end of the block, or to the one that ends them. Throws `WireError` on a cut one. */
  *options(at: number): Generator<{ readonly code: number; readonly at: number; readonly bytes: number }> {
    for (let next = at; next + 4 <= this.length; ) {
      const [code, bytes] = [this.u16(next), this.u16(next + 2)];
      if (code === optionCodes.end) return;
      this.#place(next + 4, bytes);
      yield { code, at: next + 4, bytes };
      next += 4 + padded(bytes);
    }
  }

  #place(at: number, bytes: number): number {
    const place = this.start + at;
    if (place + bytes > this.#end) throw new WireError('truncated', this.#end, 'pcapng block');
    return place;
  }
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

function interfaceIn(body: BlockBody): Interface {
  const codes = optionCodes.interface;
  let device: string | undefined;
  let resolution: number = defaultTimeResolution;
  let offsetNs = 0n;
  for (const { code, at, bytes } of body.options(8)) {
    if (code === codes.name) device = body.text(at, bytes);
    if (code === codes.timeResolution && bytes >= 1) resolution = body.u8(at);
    if (code === codes.timeOffset && bytes >= 8) offsetNs = body.i64(at) * 1_000_000_000n;
  }
  const unitsASecond = (resolution & 0x80 ? 2n : 10n) ** BigInt(resolution & 0x7f);
  return {
    linkType: body.u16(0),
    snapBytes: body.u32(4),
    ...(device === undefined ? {} : { device }),
    timestampNs: (high, low) =>
      (((BigInt(high) << 32n) | BigInt(low)) * 1_000_000_000n) / unitsASecond + offsetNs,
  };
}

type PacketFields = Omit<PacketPlace, 'offset' | 'end'>;

function packetIn(type: number, body: BlockBody, interfaces: readonly Interface[]): PacketFields | undefined {
  const interfaceAt = (id: number) => {
    const found = interfaces[id];
    if (found === undefined)
      throw new WireError('bad-value', body.start, `packet of interface ${id}, which is not described`);
    return found;
  };
  const timed = ({ linkType, device, timestampNs }: Interface) => ({
    linkType,
    ...(device === undefined ? {} : { device }),
    timestampNs: timestampNs(body.u32(4), body.u32(8)),
    start: body.start + 20,
    capturedBytes: body.u32(12),
    wireBytes: body.u32(16),
  });
  switch (type) {
    case blockTypes.enhancedPacket: {
      const packet = timed(interfaceAt(body.u32(0)));
      return { ...packet, ...packetOptions(body, 20 + padded(packet.capturedBytes)) };
    }
    case blockTypes.packet:
      return timed(interfaceAt(body.u16(0)));
    case blockTypes.simplePacket: {
      const { linkType, device, snapBytes } = interfaceAt(0);
      const wireBytes = body.u32(0);
      const capturedBytes = Math.min(wireBytes, snapBytes === 0 ? wireBytes : snapBytes, body.length - 4);
      return {
        linkType,
        ...(device === undefined ? {} : { device }),
        start: body.start + 4,
        capturedBytes,
        wireBytes,
      };
    }
    default:
      return undefined;
  }
}

function packetOptions(body: BlockBody, at: number): Pick<CapturedPacket, 'direction' | 'comments'> {
  const comments: string[] = [];
  let direction: CapturedPacket['direction'];
  for (const option of body.options(at)) {
    if (option.code === optionCodes.comment) comments.push(body.text(option.at, option.bytes));
    if (option.code === optionCodes.enhancedPacket.flags && option.bytes >= 4) {
      const bits = body.u32(option.at) & 3;
      if (bits === directionFlags.inbound) direction = 'inbound';
      if (bits === directionFlags.outbound) direction = 'outbound';
    }
  }
  return {
    ...(direction === undefined ? {} : { direction }),
    ...(comments.length === 0 ? {} : { comments }),
  };
}
