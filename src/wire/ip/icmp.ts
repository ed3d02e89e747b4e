/** The one ICMP message (RFC 792, RFC 1191) the packet engine originates. */
import { checksumOf } from './checksum.js';
import { decodeIpv4, encodeIpv4, ipProtocol, writeU16 } from './packet.js';

/** Where the fields of an ICMP "fragmentation needed" message lie. */
const field = { type: 0, code: 1, checksum: 2, nextHopMtu: 6, quote: 8 } as const;
const destinationUnreachable = 3;
const fragmentationNeeded = 4;
/** RFC 1812 4.3.2.3: as much of the original as fits into 576 bytes. */
const largestMessage = 576;

/**
 * ICMP "fragmentation needed and DF set" about `original`, from its destination to its source, asking for packets of
 * at most `mtu` bytes. Throws `WireError` when `original` is not a whole IPv4 packet.
 */
export function fragmentationNeededMessage(original: Uint8Array, mtu: number): Uint8Array {
  const header = decodeIpv4(original);
  const quoted = original.subarray(0, Math.min(header.totalLength, largestMessage - 20 - field.quote));
  const message = new Uint8Array(field.quote + quoted.length);
  message[field.type] = destinationUnreachable;
  message[field.code] = fragmentationNeeded;
  writeU16(message, field.nextHopMtu, mtu);
  message.set(quoted, field.quote);
  writeU16(message, field.checksum, checksumOf(message, 0, message.length));
  return encodeIpv4(
    {
      tos: 0xc0,
      identification: 0,
      dontFragment: false,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: 64,
      protocol: ipProtocol.icmp,
      source: header.destination,
      destination: header.source,
    },
    message,
  );
}
