/** Traffic that no filter sees (`policy-semantics.md` 7), as data: for explaining packets and for checking policies. */
import { type IpAddress, ipAddress } from '../wire/ip/address.js';
import { rangeContains, rangeCovers, type Selector, subnetRange } from '../wire/ip/selector.js';
import type { Packet } from './packet.js';

/** Value of `NoDefaultExempt`: which exemptions are lifted. */
export type ExemptionLevel = 0 | 1 | 2 | 3;

/** What the packet engine goes by unless told otherwise: the Windows 2000 and XP default. */
export const defaultExemptionLevel: ExemptionLevel = 0;

/** What exemptions depend on besides the packet. */
export interface ExemptionContext {
  /** `defaultExemptionLevel` when absent. */
  readonly noDefaultExempt?: ExemptionLevel;
  readonly localAddresses: readonly IpAddress[];
  /** Broadcast addresses of this computer's subnets. */
  readonly broadcastAddresses?: readonly IpAddress[];
}

export interface Exemption {
  /** A stable word. */
  readonly name: 'loopback' | 'ike' | 'ipsec' | 'groups' | 'rsvp' | 'kerberos';
  /** What is exempt, for a sentence: `Kerberos (port 88 at either end)`. */
  readonly what: string;
  /** Values of `NoDefaultExempt` under which it holds; absent: always. */
  readonly levels?: readonly ExemptionLevel[];
  covers(packet: Packet, context: ExemptionContext): boolean;
}

const kerberosPort = 88;
const rsvpProtocol = 46;
const ikePorts = [500, 4500];
const ipsecProtocols = [50, 51];
const multicast = [subnetRange(ipAddress('224.0.0.0'), 4), subnetRange(ipAddress('ff00::'), 8)];
const loopback = [subnetRange(ipAddress('127.0.0.0'), 8), subnetRange(ipAddress('::1'), 128)];
const limitedBroadcast = ipAddress('255.255.255.255');

const linkLocal = subnetRange(ipAddress('fe80::'), 10);

/** Why nothing is negotiated for a packet, so that filters which secure leave it to others; `undefined` when it can be. */
export function cannotBeNegotiated(packet: Packet, context: ExemptionContext): string | undefined {
  if (isGroupPacket(packet, context)) return 'nothing is negotiated for broadcast and multicast';
  return [packet.source, packet.destination].some(address => rangeContains(linkLocal, address))
    ? 'nothing is negotiated for link-local addresses'
    : undefined;
}

/** Whether a selector covers link-local addresses alone. A filter that secures such traffic does not let it pass. */
export function isOfOneLink({ source, destination }: Pick<Selector, 'source' | 'destination'>): boolean {
  return rangeCovers(linkLocal, source) || rangeCovers(linkLocal, destination);
}

/** Whether a packet goes to many: broadcast or multicast. Nothing is negotiated for such packets. */
export function isGroupPacket({ destination }: Packet, context: ExemptionContext): boolean {
  return (
    destination === limitedBroadcast ||
    multicast.some(range => rangeContains(range, destination)) ||
    context.broadcastAddresses?.includes(destination) === true
  );
}

/** In the order they are looked at. */
export const exemptions: readonly Exemption[] = [
  {
    name: 'loopback',
    what: 'traffic of this computer with itself',
    covers: ({ source, destination }, { localAddresses }) =>
      [source, destination].every(
        address => localAddresses.includes(address) || loopback.some(range => rangeContains(range, address)),
      ),
  },
  {
    name: 'ike',
    what: 'IKE (UDP 500 and 4500)',
    covers: ({ protocol, direction, sourcePort, destinationPort }) =>
      protocol === 17 && ikePorts.includes(direction === 'outbound' ? sourcePort : destinationPort),
  },
  {
    name: 'ipsec',
    what: 'packets that are protected already (ESP and AH); what is in them is looked at once they are opened',
    covers: ({ protocol, direction }) => direction === 'inbound' && ipsecProtocols.includes(protocol),
  },
  {
    name: 'groups',
    what: 'broadcast and multicast',
    levels: [0, 1],
    covers: isGroupPacket,
  },
  {
    name: 'rsvp',
    what: `RSVP (protocol ${rsvpProtocol})`,
    levels: [0, 2],
    covers: ({ protocol }) => protocol === rsvpProtocol,
  },
  {
    name: 'kerberos',
    what: `Kerberos (TCP and UDP port ${kerberosPort} at either end)`,
    levels: [0, 2],
    covers: ({ protocol, sourcePort, destinationPort }) =>
      (protocol === 6 || protocol === 17) &&
      (sourcePort === kerberosPort || destinationPort === kerberosPort),
  },
];

/** The exemption that keeps a packet from every filter; `undefined` when filters decide. */
export function exemptionOf(packet: Packet, context: ExemptionContext): Exemption | undefined {
  const level = context.noDefaultExempt ?? defaultExemptionLevel;
  return exemptions.find(
    ({ levels, covers }) => (levels === undefined || levels.includes(level)) && covers(packet, context),
  );
}
