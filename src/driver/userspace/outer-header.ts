/** The IP header of a protected packet: the packet's own in transport mode, a new one in tunnel mode. */
import { maskMutableIpv4 } from '../../wire/ah.js';
import { maskMutableIpv6 } from '../../wire/ah-ipv6.js';
import { type IpHeader, orUndefined } from '../../wire/ip/ip.js';
import { ipv6Field, ipv6HeaderBytes, writeIpv6Header } from '../../wire/ip/ipv6.js';
import {
  fillIpv4Checksum,
  ipv4Field,
  ipv4HeaderBytes,
  writeIpv4Header,
  writeU16,
} from '../../wire/ip/packet.js';
import type { InstalledPair } from '../installed-pair.js';

const tunnelTtl = 64;

interface OuterFields {
  /** Of the protected packet. */
  readonly totalLength: number;
  /** ESP or AH. */
  readonly protocol: number;
  readonly identification: number;
}

/** Writes a header between the ends of a tunnel. DSCP is copied, and ECN in the normal mode of RFC 6040 4.1. */
export function writeTunnelHeader(
  bytes: Uint8Array,
  start: number,
  { local: source, peer: destination }: Pick<InstalledPair, 'local' | 'peer'>,
  inner: IpHeader,
  fields: OuterFields & { readonly dontFragment: boolean },
): void {
  const { totalLength, protocol } = fields;
  if (typeof source === 'bigint' && typeof destination === 'bigint') {
    writeIpv6Header(bytes, start, {
      tos: inner.tos,
      flowLabel: 0,
      payloadLength: totalLength - ipv6HeaderBytes,
      nextHeader: protocol,
      ttl: tunnelTtl,
      source,
      destination,
    });
  } else if (typeof source === 'number' && typeof destination === 'number') {
    writeIpv4Header(bytes, start, {
      ...fields,
      headerBytes: ipv4HeaderBytes,
      tos: inner.tos,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: tunnelTtl,
      source,
      destination,
    });
  }
}

/**
 * Writes the packet's own header with its options, or the extension headers that stay before ESP and AH. A raw socket would
 * replace IPv4 identification 0, which AH covers.
 */
export function writeTransportHeader(
  bytes: Uint8Array,
  start: number,
  packet: Uint8Array,
  header: IpHeader,
  { totalLength, protocol, identification }: OuterFields,
): void {
  bytes.set(packet.subarray(0, header.headerBytes), start);
  if (header.family === 6) {
    bytes[start + header.nextHeaderAt] = protocol;
    writeU16(bytes, start + ipv6Field.payloadLength, totalLength - ipv6HeaderBytes);
    return;
  }
  bytes[start + ipv4Field.protocol] = protocol;
  writeU16(bytes, start + ipv4Field.totalLength, totalLength);
  if (header.identification === 0) writeU16(bytes, start + ipv4Field.identification, identification);
  fillIpv4Checksum(bytes, start, header.headerBytes);
}

/** Whether AH can tell which of the options, or extension headers, it protects. */
export function hasSoundOptions(packet: Uint8Array, { family, headerBytes }: IpHeader): boolean {
  const copy = Uint8Array.from(packet.subarray(0, headerBytes));
  const mask = family === 4 ? maskMutableIpv4 : maskMutableIpv6;
  return (
    orUndefined(() => {
      mask(copy, headerBytes);
      return true;
    }) ?? false
  );
}
