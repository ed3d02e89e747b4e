/** Rules that are to stop or secure traffic which no filter ever sees. */
import { addressFamily, ipAddress } from '../../wire/ip/address.js';
import { rangeContains } from '../../wire/ip/selector.js';
import {
  defaultExemptionLevel,
  type Exemption,
  type ExemptionContext,
  exemptions,
  isGroupPacket,
} from '../exemptions.js';
import type { ExpandedFilter } from '../expand.js';
import { packetWords } from '../filter-index.js';
import { finding, type PolicyFinding } from '../findings.js';
import type { Policy } from '../model.js';
import type { Packet } from '../packet.js';
import { type Check, type LintInput, placeOf } from './check.js';
import { packetOf, sampleAddress } from './sample-packet.js';

type Expanded = ExpandedFilter<{ readonly policy: Policy }>;

const somePort = { protocol: 6, port: 40_000 };
const kerberosPort = 88;
const multicastGroup = ipAddress('224.0.0.251');
const lifted = 'know it, or lift the exemption: "ipseckit agent run --no-default-exempt 3"';

export const exemptionHoleCheck: Check = {
  name: 'exemption-holes',
  run(input) {
    const { context } = input;
    const exempt: ExemptionContext = {
      localAddresses: context.localAddresses.map(({ address }) => address),
      broadcastAddresses: context.broadcastAddresses ?? [],
    };
    const level = context.noDefaultExempt ?? defaultExemptionLevel;
    const inForce = exemptions.filter(({ levels }) => levels === undefined || levels.includes(level));
    const stopping = input
      .traffic()
      .expansion.filters.filter(({ filter }) => filter.action !== 'permit' && !filter.acceptUnsecured)
      .sort((a, b) => rank(a) - rank(b));
    return [
      ...inForce.flatMap(exemption => holeFinding(input, exemption, stopping, exempt)),
      ...(level >= 2 ? multicastFinding(input, stopping, exempt) : []),
    ];
  },
};

/** What strangers send concerns people more than what this computer sends; and IPv4 examples read more easily. */
function rank({ filter }: Expanded): number {
  const isIpv6 = addressFamily(filter.selector.source.first) === 6;
  return (filter.direction === 'inbound' ? 0 : 2) + (isIpv6 ? 1 : 0);
}

function holeFinding(
  input: LintInput,
  exemption: Exemption,
  stopping: readonly Expanded[],
  exempt: ExemptionContext,
): PolicyFinding[] {
  const hole = firstHole(input, stopping, expanded => {
    const packet = exemptPacket(exemption.name, expanded);
    return packet !== undefined && exemption.covers(packet, exempt) ? packet : undefined;
  });
  if (hole === undefined) return [];
  const { expanded, packet } = hole;
  const place = placeOf(input.named(expanded.rule), expanded.origin);
  const verb = expanded.filter.action === 'block' ? 'block' : 'secure';
  if (exemption.name === 'groups')
    return [
      finding(
        'multicast-in-clear',
        place,
        `it is to ${verb} traffic to multicast and broadcast addresses too, which is exempt and passes in clear`,
        lifted,
        packet,
      ),
    ];
  return [
    finding(
      'exemption-hole',
      place,
      `it is to ${verb} ${exemption.what} too, which is exempt from all filters: whoever uses that port or protocol passes`,
      exemption.name === 'ike' ? 'leave it out: IKE is never filtered' : lifted,
      packet,
    ),
  ];
}

function multicastFinding(
  input: LintInput,
  stopping: readonly Expanded[],
  exempt: ExemptionContext,
): PolicyFinding[] {
  const securing = stopping.filter(({ filter }) => filter.action === 'secure');
  const hole = firstHole(input, securing, expanded => {
    const packet = exemptPacket('groups', expanded);
    return packet !== undefined && isGroupPacket(packet, exempt) ? packet : undefined;
  });
  if (hole === undefined) return [];
  return [
    finding(
      'multicast-in-clear',
      placeOf(input.named(hole.expanded.rule), hole.expanded.origin),
      'nothing is negotiated for multicast and broadcast, so what no other rule blocks passes in clear',
      'add a rule that blocks it: -f 0+224.0.0.0/240.0.0.0 -n BLOCK',
      hole.packet,
    ),
  ];
}

/** The first filter that decides about a packet made for it. */
function firstHole(
  input: LintInput,
  filters: readonly Expanded[],
  packetFor: (expanded: Expanded) => Packet | undefined,
): { readonly expanded: Expanded; readonly packet: Packet } | undefined {
  const { index, expansion } = input.traffic();
  for (const expanded of filters) {
    const packet = packetFor(expanded);
    if (packet === undefined) continue;
    const decider = index.match(packetWords(packet));
    if (decider !== undefined && expansion.filters[decider] === expanded) return { expanded, packet };
  }
  return undefined;
}

/** A packet of the filter that the exemption is about; `undefined` when they have none in common. */
function exemptPacket(name: Exemption['name'], { filter }: Expanded): Packet | undefined {
  const { selector, direction } = filter;
  const { protocol, sourcePort, destinationPort } = selector;
  const mayCarryPorts = protocol === 0 || protocol === 6 || protocol === 17;
  switch (name) {
    case 'kerberos': {
      if (!mayCarryPorts) return undefined;
      const packet = packetOf(filter, somePort);
      if (sourcePort === 0 || sourcePort === kerberosPort) return { ...packet, sourcePort: kerberosPort };
      if (destinationPort === 0) return { ...packet, destinationPort: kerberosPort };
      return packet;
    }
    case 'rsvp':
      return protocol === 0 || protocol === 46 ? packetOf(filter, { ...somePort, protocol: 46 }) : undefined;
    case 'groups':
      return rangeContains(selector.destination, multicastGroup) && direction === 'outbound'
        ? packetOf(filter, somePort, sampleAddress(selector.source), multicastGroup)
        : undefined;
    case 'ike':
      // Nobody minds that "everything" leaves IKE out; only a filter about those very ports is a mistake.
      return protocol === 17 && (sourcePort !== 0 || destinationPort !== 0)
        ? packetOf(filter, somePort)
        : undefined;
    case 'ipsec':
    case 'loopback':
      return undefined;
  }
}
