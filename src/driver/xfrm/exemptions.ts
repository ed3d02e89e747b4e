/** Traffic that no filter sees (`policy-semantics.md` 7), as policies that come before all filters'. */
import { addressFamily, type IpAddress, ipAddress } from '../../wire/ip/address.js';
import { type AddressRange, hostRange, subnetRange } from '../../wire/ip/selector.js';
import type { XfrmPolicy } from '../../wire/netlink/xfrm-policy.js';
import { anySelector, type XfrmSelector } from '../../wire/netlink/xfrm-selector.js';
import { directions } from '../../wire/netlink/xfrm-structures.js';
import { policyUser } from './marks.js';
import { rangePrefixes } from './selectors.js';

/** What policies depend on besides filters. */
export interface XfrmHost {
  readonly interfaces: readonly { readonly name: string; readonly index: number }[];
  /** Broadcast addresses of the host's subnets. */
  readonly broadcastAddresses: readonly IpAddress[];
  readonly noDefaultExempt: 0 | 1 | 2 | 3;
  /** Whether the kernel has IPv6. */
  readonly ipv6: boolean;
}

const exemptPriority = 1;
const protocol = { icmp: 1, tcp: 6, udp: 17, rsvp: 46, icmpv6: 58 } as const;
const kerberosPort = 88;
/** Types of neighbour discovery: IPv6's ARP, which no filter ever sees either. Types are where ports are. */
const neighbourDiscovery = [133, 134, 135, 136];
/** "Fragmentation needed", "packet too big": a router cannot secure them, and without them paths are black holes. */
const tooBig = {
  4: { protocol: protocol.icmp, type: 3, code: 4 },
  6: { protocol: protocol.icmpv6, type: 2, code: 0 },
};

/** Addresses that mean nothing without an adapter. */
export const linkLocal = subnetRange(ipAddress('fe80::'), 10);

/** Where broadcast and multicast go. */
export function groupRanges({ broadcastAddresses }: Pick<XfrmHost, 'broadcastAddresses'>): AddressRange[] {
  return [
    subnetRange(ipAddress('224.0.0.0'), 4),
    hostRange(ipAddress('255.255.255.255')),
    ...broadcastAddresses.map(hostRange),
    subnetRange(ipAddress('ff00::'), 8),
  ];
}

/** The policies; those of IKE's own sockets are set on these. */
export function exemptPolicies(host: XfrmHost): XfrmPolicy[] {
  const families = host.ipv6 ? ([4, 6] as const) : ([4] as const);
  return families.flatMap(family => {
    const any = { ...anySelector(family), user: policyUser(0, 'guard') };
    const everywhere = [...discovery(family, any), ...groups(family, any, host), ...services(any, host)];
    const { type, code, ...rest } = tooBig[family];
    const incoming = { ...any, ...rest, sourcePort: type, destinationPort: code };
    return [
      ...directions.flatMap(direction => everywhere.map(selector => allow(selector, direction))),
      allow(incoming, 'in'),
    ];
  });
}

function allow(selector: XfrmSelector, direction: XfrmPolicy['direction']): XfrmPolicy {
  return { selector, direction, action: 'allow', priority: exemptPriority, templates: [] };
}

function discovery(family: 4 | 6, any: XfrmSelector): XfrmSelector[] {
  if (family === 4) return [];
  return neighbourDiscovery.map(type => ({ ...any, protocol: protocol.icmpv6, sourcePort: type }));
}

function groups(family: 4 | 6, any: XfrmSelector, host: XfrmHost): XfrmSelector[] {
  if (host.noDefaultExempt > 1) return [];
  return groupRanges(host)
    .filter(range => addressFamily(range.first) === family)
    .flatMap(rangePrefixes)
    .map(destination => ({ ...any, destination }));
}

function services(any: XfrmSelector, { noDefaultExempt }: XfrmHost): XfrmSelector[] {
  if (noDefaultExempt === 1 || noDefaultExempt === 3) return [];
  return [
    { ...any, protocol: protocol.rsvp },
    ...[protocol.tcp, protocol.udp].flatMap(transport => [
      { ...any, protocol: transport, sourcePort: kerberosPort },
      { ...any, protocol: transport, destinationPort: kerberosPort },
    ]),
  ];
}
