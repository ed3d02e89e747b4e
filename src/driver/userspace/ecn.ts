/** Explicit congestion notification when a tunnel's header is taken off (RFC 6040 4.2). */
import type { IpHeader } from '../../wire/ip/ip.js';
import { setTrafficClass } from '../../wire/ip/ipv6.js';
import { fillIpv4Checksum, ipv4Field } from '../../wire/ip/packet.js';

const ecnMask = 3;
const notCapable = 0;
const capable1 = 1;
const capable0 = 2;
const congested = 3;

/** What the inner header's type of service becomes; `undefined` when the packet must be dropped. */
export function decapsulatedTos(outerTos: number, innerTos: number): number | undefined {
  const outer = outerTos & ecnMask;
  const inner = innerTos & ecnMask;
  if (inner === notCapable) return outer === congested ? undefined : innerTos;
  if (outer === congested) return innerTos | congested;
  if (outer === capable1 && inner === capable0) return (innerTos & ~ecnMask) | capable1;
  return innerTos;
}

/** Writes a type of service, or traffic class, into a packet's header, in place. */
export function setTos(packet: Uint8Array, header: IpHeader, tos: number): void {
  if (header.family === 6) return setTrafficClass(packet, tos);
  packet[ipv4Field.tos] = tos;
  fillIpv4Checksum(packet, 0, header.headerBytes);
}
