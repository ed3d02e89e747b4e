/** ICMP errors in a capture that say why an IKE message did not arrive. */
import type { IpAddress } from '../../wire/ip/address.js';
import { flowOfPacket } from '../../wire/ip/flow-of-packet.js';
import { readUndelivered, undeliveredMeanings } from '../../wire/ip/icmp-errors.js';
import { ipProtocol } from '../../wire/ip/packet.js';

/** Type, code, checksum, and four bytes that the type has a use for. */
const icmpHeaderBytes = 8;

/** A sentence, when the ICMP message is such an error; `isIke` tells by the port it was sent to. */
export function undeliveredNote(
  from: IpAddress,
  family: 4 | 6,
  icmp: Uint8Array,
  isIke: (port: number) => boolean,
): string | undefined {
  const [type, code] = icmp;
  const reason = readUndelivered({ family, type: type ?? 0, code: code ?? 0 });
  const quoted = flowOfPacket(icmp.subarray(icmpHeaderBytes));
  if (reason === undefined || quoted?.protocol !== ipProtocol.udp || !isIke(quoted.destinationPort))
    return undefined;
  const { source, destination, destinationPort } = quoted;
  return `ICMP of ${from}: what ${source} sent to UDP port ${destinationPort} of ${destination} did not arrive: ${undeliveredMeanings[reason]}`;
}
