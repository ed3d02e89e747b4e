/** One packet of a capture, whatever the format of the file. */
import { WireError } from './bytes.js';

export interface CapturedPacket {
  /** `LINKTYPE_` number. */
  readonly linkType: number;
  /** A view on the file, and shorter than `wireBytes` when the capture cut it. */
  readonly bytes: Uint8Array;
  /** Length on the wire. */
  readonly wireBytes: number;
  /** Where its record starts in the file. */
  readonly offset: number;
  /** Since 1970; absent where the format keeps no time (simple packets of pcapng). */
  readonly timestampNs?: bigint;
  /** Name of the device, where the capture says it. */
  readonly device?: string;
  readonly direction?: 'inbound' | 'outbound';
  readonly comments?: readonly string[];
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

/** Where a packet lies in its file. */
export interface PacketPlace extends Omit<CapturedPacket, 'bytes'> {
  readonly start: number;
  readonly capturedBytes: number;
  /** What the packet must not reach beyond. */
  readonly end: number;
}

/** The packet at a place of a file. Throws `WireError` when it is not all there. */
export function packetAt(
  file: Uint8Array,
  { start, capturedBytes, end, ...packet }: PacketPlace,
): CapturedPacket {
  if (capturedBytes > largestPacketBytes)
    throw new WireError('bad-length', packet.offset, `captured packet of ${capturedBytes} bytes`);
  if (start + capturedBytes > end)
    throw new WireError('truncated', packet.offset, `captured packet of ${capturedBytes} bytes`);
  return { ...packet, bytes: file.subarray(start, start + capturedBytes) };
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
