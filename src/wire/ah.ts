/** AH headers (RFC 2402, RFC 4302), and which parts of an IPv4 header they protect. */
import { WireError } from './bytes.js';
import { ipv4Field, ipv4HeaderBytes, readU16, readU32, writeU16, writeU32 } from './ip/packet.js';

/** Where the fields lie; the ICV follows, then padding if the sender aligns to more than 4 bytes. */
const field = { nextHeader: 0, payloadLength: 1, reserved: 2, spi: 4, sequence: 8, icv: 12 } as const;

/** Header without ICV. */
export const ahFixedBytes = field.icv;

export interface AhHeader {
  readonly nextHeader: number;
  /** As received; zero when sent. */
  readonly reserved: number;
  readonly spi: number;
  readonly sequence: number;
  /** ICV, and explicit padding after it if any: a multiple of 4 bytes. */
  readonly icv: Uint8Array;
}

/** Length of a header with its ICV, aligned to `alignment` bytes (4 in IPv4; old Linux peers use 8). */
export function ahBytes(icvBytes: number, alignment: 4 | 8 = 4): number {
  return Math.ceil((ahFixedBytes + icvBytes) / alignment) * alignment;
}

/** Decodes the header that `bytes` begin with; `icv` is a view. Throws `WireError` when it is cut or too short. */
export function decodeAh(bytes: Uint8Array): AhHeader {
  if (bytes.length < ahFixedBytes) throw new WireError('truncated', bytes.length, 'AH header');
  const length = ((bytes[field.payloadLength] ?? 0) + 2) * 4;
  if (length < ahFixedBytes) throw new WireError('bad-length', field.payloadLength, `AH of ${length} bytes`);
  if (length > bytes.length) throw new WireError('truncated', bytes.length, `AH of ${length} bytes`);
  return {
    nextHeader: bytes[field.nextHeader] ?? 0,
    reserved: readU16(bytes, field.reserved),
    spi: readU32(bytes, field.spi),
    sequence: readU32(bytes, field.sequence),
    icv: bytes.subarray(field.icv, length),
  };
}

/** Length of a header on the wire. */
export function ahLength(header: AhHeader): number {
  return ahFixedBytes + header.icv.length;
}

/** Writes a header at `start` and returns where what it protects begins. */
export function writeAh(bytes: Uint8Array, start: number, header: AhHeader): number {
  const length = ahLength(header);
  bytes[start + field.nextHeader] = header.nextHeader;
  bytes[start + field.payloadLength] = length / 4 - 2;
  writeU16(bytes, start + field.reserved, header.reserved);
  writeU32(bytes, start + field.spi, header.spi);
  writeU32(bytes, start + field.sequence, header.sequence);
  bytes.set(header.icv, start + field.icv);
  return start + length;
}

/** The bytes of a header; the reverse of `decodeAh`. */
export function encodeAh(header: AhHeader): Uint8Array {
  const bytes = new Uint8Array(ahLength(header));
  writeAh(bytes, 0, header);
  return bytes;
}

const option = {
  endOfList: 0,
  noOperation: 1,
  security: 130,
  looseSourceRoute: 131,
  extendedSecurity: 133,
  commercialSecurity: 134,
  strictSourceRoute: 137,
  routerAlert: 148,
  multiDestination: 149,
} as const;

/** Options that arrive as they were sent (RFC 4302 appendix A1); all others are zeroed whole. */
const immutableOptions: ReadonlySet<number> = new Set([
  option.security,
  option.extendedSecurity,
  option.commercialSecurity,
  option.routerAlert,
  option.multiDestination,
]);

/**
 * Turns an IPv4 packet's header, in place, into what the ICV covers: fields and options that routers change are zero
 * and the destination is the final one of a source route (RFC 4302 3.3.3.1.1, appendix A1). Throws `WireError` for a
 * malformed option.
 */
export function maskMutableIpv4(packet: Uint8Array, headerBytes: number): void {
  packet[ipv4Field.tos] = 0;
  writeU16(packet, ipv4Field.flagsAndOffset, 0);
  packet[ipv4Field.ttl] = 0;
  writeU16(packet, ipv4Field.checksum, 0);
  let at: number = ipv4HeaderBytes;
  while (at < headerBytes) {
    const type = packet[at] ?? option.endOfList;
    if (type === option.endOfList) return;
    if (type === option.noOperation) {
      at++;
      continue;
    }
    const length = at + 1 < headerBytes ? (packet[at + 1] ?? 0) : 0;
    const end = at + length;
    if (length < 2 || end > headerBytes)
      throw new WireError('bad-length', at, `IPv4 option ${type} of ${length} bytes`);
    if (type === option.looseSourceRoute || type === option.strictSourceRoute)
      useFinalDestination(packet, at, length);
    if (!immutableOptions.has(type)) packet.fill(0, at, end);
    at = end;
  }
}

/** A source route's last address is where the packet ends up, unless all its hops are behind it. */
function useFinalDestination(packet: Uint8Array, at: number, length: number): void {
  const pointer = packet[at + 2] ?? 0;
  if (length < 7 || pointer > length) return;
  packet.copyWithin(ipv4Field.destination, at + length - 4, at + length);
}
