/** Putting the IP header back on a packet that came in transport mode. */
import { decodeIp, type IpHeader, upperStart } from '../../wire/ip/ip.js';
import { encodeIpv6, ipv6Field, ipv6HeaderBytes } from '../../wire/ip/ipv6.js';
import { encodeIpv4, fillIpv4Checksum, ipv4Field, writeU16 } from '../../wire/ip/packet.js';
import type { InstalledPair } from '../installed-pair.js';

/** Of a packet whose own header the UDP encapsulation replaced. */
const transportTtl = 64;

/** A header, decoded and as the bytes that `packet` begins with. */
export interface PacketHead {
  readonly packet: Uint8Array;
  readonly header: IpHeader;
}

/** A header between the two hosts of a pair, for a packet that came without one of its own. */
export function hostHead({ local, peer }: Pick<InstalledPair, 'local' | 'peer'>): PacketHead {
  const nothing = new Uint8Array(0);
  const common = { tos: 0, ttl: transportTtl };
  const packet =
    typeof local === 'bigint' && typeof peer === 'bigint'
      ? encodeIpv6({ ...common, flowLabel: 0, nextHeader: 0xff, source: peer, destination: local }, nothing)
      : encodeIpv4(
          {
            ...common,
            identification: 0,
            dontFragment: true,
            moreFragments: false,
            fragmentOffset: 0,
            protocol: 0xff,
            source: Number(peer),
            destination: Number(local),
          },
          nothing,
        );
  return { packet, header: decodeIp(packet) };
}

/** Length of a packet of that head with another payload. */
export function restoredBytes({ header }: PacketHead, payloadBytes: number): number {
  return upperStart(header) + payloadBytes;
}

/** Writes the packet of that head with another payload, of another protocol. `into` is just as long. */
export function writeRestored(
  into: Uint8Array,
  { packet, header }: PacketHead,
  protocol: number,
  payload: Uint8Array,
): void {
  const start = upperStart(header);
  into.set(packet.subarray(0, start));
  into.set(payload, start);
  if (header.family === 6) {
    into[header.protocolAt] = protocol;
    writeU16(into, ipv6Field.payloadLength, into.length - ipv6HeaderBytes);
  } else {
    into[ipv4Field.protocol] = protocol;
    writeU16(into, ipv4Field.totalLength, into.length);
    fillIpv4Checksum(into, 0, start);
  }
}
