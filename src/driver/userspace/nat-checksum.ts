/** Repair of TCP and UDP checksums after transport mode through a NAT (RFC 3948 3.1.2, RFC 3947 5.2). */
import { adjustChecksum, checksumOf, sumOfU32 } from '../../wire/ip/checksum.js';
import { type Ipv4Header, ipProtocol, ipv4ToNumber, readU16, writeU16 } from '../../wire/ip/packet.js';
import type { SaPair } from '../api.js';

/** Where TCP and UDP keep their checksum. */
const checksumField: Readonly<Record<number, number>> = { [ipProtocol.tcp]: 16, [ipProtocol.udp]: 6 };

/**
 * Makes the checksum of a delivered packet right for its addresses. With an original address the checksum is adjusted
 * by the difference, so damage of the payload still shows; without any, UDP goes unchecked and TCP is computed anew
 * (ESP has authenticated it). `packet` is whole and its own buffer; it is changed in place.
 */
export function repairTransportChecksum(
  packet: Uint8Array,
  header: Ipv4Header,
  original: SaPair['natOriginal'],
): void {
  const field = checksumField[header.protocol];
  const at = header.headerBytes + (field ?? 0);
  if (field === undefined || header.totalLength < at + 2) return;
  const checksum = readU16(packet, at);
  const isUdp = header.protocol === ipProtocol.udp;
  if (isUdp && checksum === 0) return;
  const source = knownAddress(original?.peer);
  const destination = knownAddress(original?.local);
  if (source !== undefined || destination !== undefined) {
    const before = sumOfU32(source ?? header.source) + sumOfU32(destination ?? header.destination);
    const after = sumOfU32(header.source) + sumOfU32(header.destination);
    const adjusted = adjustChecksum(checksum, before, after);
    // Zero says "none" in UDP; its other form is all ones (RFC 768).
    writeU16(packet, at, isUdp && adjusted === 0 ? 0xffff : adjusted);
  } else if (isUdp) {
    writeU16(packet, at, 0);
  } else {
    writeU16(packet, at, 0);
    const segmentBytes = header.totalLength - header.headerBytes;
    const pseudoHeader =
      sumOfU32(header.source) + sumOfU32(header.destination) + header.protocol + segmentBytes;
    writeU16(packet, at, checksumOf(packet, header.headerBytes, header.totalLength, pseudoHeader));
  }
}

/** Windows 2003 behind a NAT may send 0.0.0.0: as good as nothing. */
function knownAddress(address: NonNullable<SaPair['natOriginal']>['peer']): number | undefined {
  const value = address === undefined ? 0 : ipv4ToNumber(address);
  return value === 0 ? undefined : value;
}
