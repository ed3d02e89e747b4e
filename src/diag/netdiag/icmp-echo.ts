/** ICMP echo (RFC 792) over IPv4: the few bytes netdiag's ping needs. */
import { ByteReader, ByteWriter, WireError } from '../../wire/bytes.js';

const echoReply = 0;
const echoRequest = 8;

export interface Echo {
  readonly identifier: number;
  readonly sequence: number;
}

/** An echo request as an ICMP message. */
export function encodeEchoRequest({ identifier, sequence }: Echo): Uint8Array {
  const message = (checksum: number) =>
    new ByteWriter()
      .u8(echoRequest)
      .u8(0)
      .u16(checksum)
      .u16(identifier)
      .u16(sequence)
      .bytes(Buffer.from('ipseckit netdiag'))
      .finish();
  return message(internetChecksum(message(0)));
}

/** The echo reply in an IPv4 packet; `undefined` for any other packet. */
export function decodeEchoReply(packet: Uint8Array): Echo | undefined {
  try {
    const reader = new ByteReader(packet);
    const headerBytes = (reader.u8('version and header length') & 0x0f) * 4;
    reader.bytes(headerBytes - 1, 'IPv4 header');
    if (reader.u8('type') !== echoReply) return undefined;
    reader.bytes(3, 'code and checksum');
    return { identifier: reader.u16('identifier'), sequence: reader.u16('sequence') };
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** The checksum of RFC 1071 over an even number of bytes. */
function internetChecksum(bytes: Uint8Array): number {
  const reader = new ByteReader(bytes);
  let sum = 0;
  while (reader.remaining > 0) sum += reader.u16('word');
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
