/** Which parts of an IPv6 header and its extension headers AH protects (RFC 4302 3.3.3.1.2). */
import { WireError } from './bytes.js';
import { extensionHeader, ipv6Field, ipv6HeaderBytes, readIpv6Address, writeIpv6Address } from './ip/ipv6.js';

const padOne = 0;
/** Options whose type has this bit may change on the way: their data counts as zero. */
const mayChange = 0x20;
/** A routing header's fields; addresses follow 4 reserved bytes. */
const routingField = { type: 2, segmentsLeft: 3, addresses: 8 } as const;
/** Types whose addresses are swapped into the destination one by one: source route, home address. */
const addressLists: readonly number[] = [0, 2];

/**
 * Turns what stands before the AH of an IPv6 packet, in place, into what the ICV covers: traffic class, flow label, hop limit
 * and options that routers change are zero, and a routing header looks as it does at the final destination. `headerBytes` is
 * where the AH begins. Throws `WireError` for a malformed extension header.
 */
export function maskMutableIpv6(packet: Uint8Array, headerBytes: number): void {
  packet[0] = 0x60;
  packet.fill(0, 1, ipv6Field.payloadLength);
  packet[ipv6Field.hopLimit] = 0;
  let type = packet[ipv6Field.nextHeader] ?? 0;
  let at = ipv6HeaderBytes;
  while (at < headerBytes) {
    const end = at + 8 * ((packet[at + 1] ?? 0) + 1);
    if (end > headerBytes)
      throw new WireError('bad-length', at, `IPv6 extension header ${type} of ${end - at} bytes`);
    if (type === extensionHeader.hopByHop || type === extensionHeader.destinationOptions)
      maskOptions(packet, at + 2, end);
    else if (type === extensionHeader.routing) arrive(packet, at, end);
    type = packet[at] ?? 0;
    at = end;
  }
}

function maskOptions(packet: Uint8Array, start: number, end: number): void {
  let at = start;
  while (at < end) {
    const type = packet[at] ?? padOne;
    if (type === padOne) {
      at++;
      continue;
    }
    const next = at + 2 + (packet[at + 1] ?? 0);
    if (at + 2 > end || next > end)
      throw new WireError('bad-length', at, `IPv6 option ${type} of ${next - at} bytes`);
    if ((type & mayChange) !== 0) packet.fill(0, at + 2, next);
    at = next;
  }
}

/** The last address of a list is where the packet ends up; each hop leaves the destination it had in the list. */
function arrive(packet: Uint8Array, at: number, end: number): void {
  const left = packet[at + routingField.segmentsLeft] ?? 0;
  if (left === 0 || !addressLists.includes(packet[at + routingField.type] ?? 0)) return;
  const addresses: bigint[] = [];
  for (let a = at + routingField.addresses; a + 16 <= end; a += 16)
    addresses.push(readIpv6Address(packet, a));
  const first = addresses.length - left;
  const last = addresses[addresses.length - 1];
  if (first < 0 || last === undefined)
    throw new WireError(
      'bad-value',
      at + routingField.segmentsLeft,
      `routing header with ${left} segments left`,
    );
  const visited = [readIpv6Address(packet, ipv6Field.destination), ...addresses.slice(first, -1)];
  writeIpv6Address(packet, ipv6Field.destination, last);
  visited.forEach((address, i) => {
    writeIpv6Address(packet, at + routingField.addresses + 16 * (first + i), address);
  });
  packet[at + routingField.segmentsLeft] = 0;
}
