/** Repair of TCP and UDP checksums after transport mode through a NAT (RFC 3948 3.1.2, RFC 3947 5.2). */
import { adjustChecksum, checksumOf } from '../../wire/ip/checksum.js';
import {
  type IpHeader,
  type PacketAddress,
  packetAddress,
  sumOfAddress,
  upperStart,
} from '../../wire/ip/ip.js';
import { ipProtocol, readU16, writeU16 } from '../../wire/ip/packet.js';
import type { SaPair } from '../api.js';

/** Where protocols keep a checksum that covers the addresses; ICMP's does in IPv6 only. */
const checksumField: Readonly<Record<number, number>> = {
  [ipProtocol.tcp]: 16,
  [ipProtocol.udp]: 6,
  [ipProtocol.icmpv6]: 2,
};

/**
 * Makes the checksum of a delivered packet right for its addresses. With an original address the checksum is adjusted
 * by the difference, so damage of the payload still shows; without any, it is computed anew (ESP has authenticated it), or
 * in IPv4 UDP goes unchecked. `packet` is whole and its own buffer; it is changed in place.
 */
export function repairTransportChecksum(
  packet: Uint8Array,
  header: IpHeader,
  original: SaPair['natOriginal'],
): void {
  const field = checksumField[header.protocol];
  const start = upperStart(header);
  const at = start + (field ?? 0);
  if (field === undefined || header.totalLength < at + 2) return;
  if (header.family === 4 && header.protocol === ipProtocol.icmpv6) return;
  const checksum = readU16(packet, at);
  const isUdp = header.protocol === ipProtocol.udp;
  if (isUdp && checksum === 0) return;
  const { source, destination } = header;
  const oldSource = knownAddress(original?.peer);
  const oldDestination = knownAddress(original?.local);
  const after = sumOfAddress(source) + sumOfAddress(destination);
  let repaired = 0;
  if (oldSource !== undefined || oldDestination !== undefined) {
    const before = sumOfAddress(oldSource ?? source) + sumOfAddress(oldDestination ?? destination);
    repaired = adjustChecksum(checksum, before, after);
  } else if (isUdp && header.family === 4) {
    return writeU16(packet, at, 0);
  } else {
    writeU16(packet, at, 0);
    const pseudoHeader = after + header.protocol + header.totalLength - start;
    repaired = checksumOf(packet, start, header.totalLength, pseudoHeader);
  }
  // Zero says "none" in UDP; its other form is all ones (RFC 768).
  writeU16(packet, at, isUdp && repaired === 0 ? 0xffff : repaired);
}

/** Windows 2003 behind a NAT may send 0.0.0.0: as good as nothing. */
function knownAddress(address: NonNullable<SaPair['natOriginal']>['peer']): PacketAddress | undefined {
  const value = address === undefined ? 0 : packetAddress(address);
  return value === 0 || value === 0n ? undefined : value;
}
