/** Packets of a filter, to show what happens to some of its traffic. */

import type { DriverFilter } from '../../driver/api.js';
import { addressFamily, type IpAddress, ipAddress, ipv4Number } from '../../wire/ip/address.js';
import { ipv4FromNumber } from '../../wire/ip/packet.js';
import { type AddressRange, rangeContains } from '../../wire/ip/selector.js';
import type { Packet } from '../packet.js';
import { carriesPorts } from '../protocols.js';

/** Somebody out there (RFC 5737, RFC 3849). */
const strangers = [ipAddress('203.0.113.7'), ipAddress('2001:db8:ffff::7')];

/** An address of a range that looks like a host's. */
export function sampleAddress(range: AddressRange): IpAddress {
  const stranger = strangers.find(address => rangeContains(range, address));
  if (stranger !== undefined) return stranger;
  if (addressFamily(range.last) === 6 || range.first === range.last) return range.last;
  // The last address of a subnet is its broadcast address.
  return ipv4FromNumber(Math.max(ipv4Number(range.first), ipv4Number(range.last) - 1));
}

/** Values that no filter names, so that only filters for any protocol or port match. */
export interface UnusedValues {
  readonly protocol: number;
  readonly port: number;
}

/** What none of the filters names. `undefined` when they name everything there is. */
export function unusedValues(filters: readonly DriverFilter[]): UnusedValues | undefined {
  const protocols = new Set<number>([0, 6, 17]);
  const ports = new Set<number>([0]);
  for (const { selector } of filters) {
    protocols.add(selector.protocol);
    ports.add(selector.sourcePort);
    ports.add(selector.destinationPort);
  }
  const protocol = highestNotIn(protocols, 254);
  const port = highestNotIn(ports, 65_535);
  return protocol === undefined || port === undefined ? undefined : { protocol, port };
}

function highestNotIn(used: ReadonlySet<number>, highest: number): number | undefined {
  for (let value = highest; value > 0; value--) if (!used.has(value)) return value;
  return undefined;
}

/** A packet of a filter between two of its addresses; what it does not name has the value that no filter names. */
export function packetOf(
  { direction, selector }: Pick<DriverFilter, 'direction' | 'selector'>,
  unused: UnusedValues,
  source = sampleAddress(selector.source),
  destination = sampleAddress(selector.destination),
): Packet {
  const protocol = selector.protocol === 0 ? unused.protocol : selector.protocol;
  const port = (named: number) => (carriesPorts(protocol) ? named || unused.port : 0);
  return {
    direction,
    source,
    destination,
    protocol,
    sourcePort: port(selector.sourcePort),
    destinationPort: port(selector.destinationPort),
  };
}
