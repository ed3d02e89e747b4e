/** ESP packets (RFC 2406, RFC 4303) as they look before decryption, the trailer found after it, and UDP 4500. */
import { WireError } from './bytes.js';
import { readU32, writeU32 } from './ip/packet.js';

/** Where the fields of the clear part lie; the IV follows. */
const field = { spi: 0, sequence: 4 } as const;

/** SPI and sequence number. */
export const espHeaderBytes = 8;
/** Pad length and next header. */
export const espTrailerBytes = 2;

/** The sizes that a transform gives its packets, in bytes. */
export interface EspLayout {
  readonly ivBytes: number;
  /** Ciphertext is a multiple of this; at least 4. */
  readonly blockBytes: number;
  readonly icvBytes: number;
}

/** A packet taken apart, still encrypted; all parts are views. */
export interface EspPacket {
  readonly spi: number;
  readonly sequence: number;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly icv: Uint8Array;
}

/** SPI of a packet that has at least 8 bytes. */
export function espSpi(packet: Uint8Array): number {
  return readU32(packet, field.spi);
}

/** Sequence number of a packet that has at least 8 bytes. */
export function espSequence(packet: Uint8Array): number {
  return readU32(packet, field.sequence);
}

/** Whether a packet's length is one that the transform can give. */
export function suitsLayout(packet: Uint8Array, layout: EspLayout): boolean {
  const ciphertext = packet.length - espHeaderBytes - layout.ivBytes - layout.icvBytes;
  return ciphertext >= espTrailerBytes && ciphertext % layout.blockBytes === 0;
}

/** Takes a packet apart. Throws `WireError` when its length does not suit the layout. */
export function decodeEsp(packet: Uint8Array, layout: EspLayout): EspPacket {
  if (!suitsLayout(packet, layout))
    throw new WireError('bad-length', packet.length, `ESP packet of ${packet.length} bytes`);
  const ciphertextStart = espHeaderBytes + layout.ivBytes;
  const icvStart = packet.length - layout.icvBytes;
  return {
    spi: espSpi(packet),
    sequence: espSequence(packet),
    iv: packet.subarray(espHeaderBytes, ciphertextStart),
    ciphertext: packet.subarray(ciphertextStart, icvStart),
    icv: packet.subarray(icvStart),
  };
}

/** The bytes of a packet; the reverse of `decodeEsp`. */
export function encodeEsp(packet: EspPacket): Uint8Array {
  const { iv, ciphertext, icv } = packet;
  const bytes = new Uint8Array(espHeaderBytes + iv.length + ciphertext.length + icv.length);
  writeEspHeader(bytes, 0, packet.spi, packet.sequence);
  bytes.set(iv, espHeaderBytes);
  bytes.set(ciphertext, espHeaderBytes + iv.length);
  bytes.set(icv, bytes.length - icv.length);
  return bytes;
}

/** Writes SPI and sequence number at `start`. */
export function writeEspHeader(bytes: Uint8Array, start: number, spi: number, sequence: number): void {
  writeU32(bytes, start + field.spi, spi);
  writeU32(bytes, start + field.sequence, sequence);
}

/** Length of payload, padding and trailer together: what gets encrypted. */
export function paddedBytes(payloadBytes: number, blockBytes: number): number {
  return Math.ceil((payloadBytes + espTrailerBytes) / blockBytes) * blockBytes;
}

/** Largest payload whose packet takes at most `room` bytes: SPI to ICV. Negative when none fits. */
export function largestPayload(room: number, layout: EspLayout): number {
  const encrypted = room - espHeaderBytes - layout.ivBytes - layout.icvBytes;
  return Math.floor(encrypted / layout.blockBytes) * layout.blockBytes - espTrailerBytes;
}

/** Fills `bytes[start..end)`, which follows the payload, with padding 1, 2, 3 …, its length and the next header. */
export function writeEspTrailer(bytes: Uint8Array, start: number, end: number, nextHeader: number): void {
  const padLength = end - start - espTrailerBytes;
  for (let i = 0; i < padLength; i++) bytes[start + i] = i + 1;
  bytes[end - 2] = padLength;
  bytes[end - 1] = nextHeader;
}

/** What the decrypted end of a packet says. */
export interface EspTrailer {
  readonly payloadBytes: number;
  readonly nextHeader: number;
}

/**
 * Reads the trailer off decrypted bytes. The padding's own bytes are not compared (RFC 4303 3.4.4.1 leaves it open and
 * some stacks send others). Throws `WireError` when the pad length exceeds what is there.
 */
export function decodeEspTrailer(plaintext: Uint8Array): EspTrailer {
  const padLength = plaintext[plaintext.length - 2] ?? 0;
  const payloadBytes = plaintext.length - espTrailerBytes - padLength;
  if (payloadBytes < 0)
    throw new WireError('bad-value', plaintext.length - espTrailerBytes, `ESP pad length ${padLength}`);
  return { payloadBytes, nextHeader: plaintext[plaintext.length - 1] ?? 0 };
}

/** Length of the four zero bytes before an IKE message on port 4500. */
export const nonEspMarkerBytes = 4;

const keepaliveByte = 0xff;

/** What a UDP payload of port 4500 is (RFC 3948 2): IKE has the marker still on. */
export function classifyEncapsulated(payload: Uint8Array): 'keepalive' | 'ike' | 'esp' | 'malformed' {
  if (isKeepalive(payload)) return 'keepalive';
  if (payload.length < espHeaderBytes) return 'malformed';
  return espSpi(payload) === 0 ? 'ike' : 'esp';
}

/** Whether a payload is the one-byte NAT keepalive (RFC 3948 2.3). */
export function isKeepalive(payload: Uint8Array): boolean {
  return payload.length === 1 && payload[0] === keepaliveByte;
}
