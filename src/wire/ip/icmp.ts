/** The one ICMP message the packet engine originates, for either family (RFC 792 and 1191, RFC 4443), and reads. */
import { addressFromBytes, type IpAddress } from './address.js';
import { checksumOf } from './checksum.js';
import { sumOfAddress } from './ip.js';
import {
  decodeIpv6,
  encodeIpv6,
  extensionHeader,
  fragmentHeaderBytes,
  ipv6Field,
  ipv6HeaderBytes,
  smallestIpv6Mtu,
} from './ipv6.js';
import { decodeIpv4, encodeIpv4, ipProtocol, readU16, readU32, writeU16, writeU32 } from './packet.js';

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

const icmpv6 = { packetTooBig: 2, mtu: 4 } as const;
const tooBigHopLimit = 255;

/**
 * ICMPv6 "packet too big" about `original`, from its destination to its source, asking for packets of at most `mtu` bytes.
 * Throws `WireError` when `original` is not a whole IPv6 packet.
 */
export function packetTooBigMessage(original: Uint8Array, mtu: number): Uint8Array {
  const header = decodeIpv6(original);
  const room = smallestIpv6Mtu - ipv6HeaderBytes - field.quote;
  const quoted = original.subarray(0, Math.min(header.totalLength, room));
  const message = new Uint8Array(field.quote + quoted.length);
  message[field.type] = icmpv6.packetTooBig;
  writeU32(message, icmpv6.mtu, mtu);
  message.set(quoted, field.quote);
  const [source, destination] = [header.destination, header.source];
  const pseudoHeader = sumOfAddress(source) + sumOfAddress(destination) + ipProtocol.icmpv6 + message.length;
  writeU16(message, field.checksum, checksumOf(message, 0, message.length, pseudoHeader));
  return encodeIpv6(
    { tos: 0, flowLabel: 0, nextHeader: ipProtocol.icmpv6, ttl: tooBigHopLimit, source, destination },
    message,
  );
}

/** Which SA a packet was sent with that a message is about. */
export interface QuotedSa {
  readonly protocol: 'esp' | 'ah';
  readonly spi: number;
}

/** The SA of a packet that is quoted from behind its IP header on; `udpPort` is ours for ESP in UDP. */
export function quotedSa(protocol: number, quoted: Uint8Array, udpPort: number): QuotedSa | undefined {
  if (protocol === ipProtocol.esp && quoted.length >= 4) return { protocol: 'esp', spi: readU32(quoted, 0) };
  if (protocol === ipProtocol.ah && quoted.length >= 8) return { protocol: 'ah', spi: readU32(quoted, 4) };
  const isInUdp = protocol === ipProtocol.udp && quoted.length >= 12 && readU16(quoted, 0) === udpPort;
  return isInUdp ? { protocol: 'esp', spi: readU32(quoted, 8) } : undefined;
}

/** What an ICMPv6 "packet too big" about an SA's packet says: the longest for that destination. `undefined` for any other packet. */
export function readPacketTooBig(
  packet: Uint8Array,
  udpPort: number,
): { readonly sa: QuotedSa; readonly destination: IpAddress; readonly mtuBytes: number } | undefined {
  if ((packet[0] ?? 0) >>> 4 !== 6 || packet.length < ipv6HeaderBytes) return undefined;
  const header = decodeIpv6(packet);
  const message = packet.subarray(header.upperStart, header.totalLength);
  const quote = message.subarray(field.quote);
  if (header.protocol !== ipProtocol.icmpv6 || message[field.type] !== icmpv6.packetTooBig) return undefined;
  if (quote.length < ipv6HeaderBytes + fragmentHeaderBytes || (quote[0] ?? 0) >>> 4 !== 6) return undefined;
  const next = quote[ipv6Field.nextHeader] ?? 0;
  const isFragment = next === extensionHeader.fragment;
  // Only the first one has the SPI; it is as long as the others.
  if (isFragment && readU16(quote, ipv6HeaderBytes + 2) >>> 3 !== 0) return undefined;
  const protocol = isFragment ? (quote[ipv6HeaderBytes] ?? 0) : next;
  const upper = quote.subarray(ipv6HeaderBytes + (isFragment ? fragmentHeaderBytes : 0));
  const sa = quotedSa(protocol, upper, udpPort);
  if (sa === undefined) return undefined;
  const { destination } = ipv6Field;
  return {
    sa,
    destination: addressFromBytes(quote.subarray(destination, destination + 16)),
    mtuBytes: readU32(message, icmpv6.mtu),
  };
}
