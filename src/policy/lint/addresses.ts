/** Filters whose addresses, ports and protocol do not go together. */
import { addressFamily } from '../../wire/ip/address.js';
import { isLinkLocal } from '../../wire/ip/ip.js';
import { subnetRange } from '../../wire/ip/selector.js';
import { type FindingPlace, finding, type PolicyFinding } from '../findings.js';
import type { AddressSpec, Filter, Rule } from '../model.js';
import { carriesPorts, protocolName } from '../protocols.js';
import { type Check, placeOf } from './check.js';

export const addressCheck: Check = {
  name: 'addresses',
  run: ({ rules }) =>
    rules.flatMap(named => [
      ...(named.rule.filterList?.filters ?? []).flatMap(filter => [
        ...filterFindings(filter, () => placeOf(named, filter)),
        ...ofOneLink(named.rule, filter, () => placeOf(named, filter)),
      ]),
      ...(isLinkLocalSpec(named.rule.tunnelEndpoint) ? [linkLocalFinding(placeOf(named))] : []),
      ...unresolved(named.rule.tunnelEndpoint, 'the tunnel endpoint ', () => placeOf(named)),
    ]),
};

function filterFindings(filter: Filter, place: () => FindingPlace): PolicyFinding[] {
  const { protocol, sourcePort, destinationPort, source, destination } = filter;
  const findings = [...addressFindings(source, place), ...addressFindings(destination, place)];
  if ((sourcePort !== 0 || destinationPort !== 0) && !carriesPorts(protocol))
    findings.push(
      finding(
        'port-without-protocol',
        place(),
        `ports mean nothing with protocol ${protocolName(protocol)}`,
        'use TCP or UDP, or leave the ports out',
      ),
    );
  const [one, other] = [familyOf(source), familyOf(destination)];
  if (one !== undefined && other !== undefined && one !== other)
    findings.push(
      finding(
        'mixed-families',
        place(),
        'one side is IPv4 and the other IPv6',
        'use one family on both sides',
      ),
    );
  return findings;
}

/** Such traffic is dropped: nothing may pass in clear that a rule wants secured. */
function ofOneLink(
  { action }: Rule,
  { source, destination }: Filter,
  place: () => FindingPlace,
): PolicyFinding[] {
  if (action.kind !== 'negotiate' || ![source, destination].some(isLinkLocalSpec)) return [];
  return [linkLocalFinding(place())];
}

function linkLocalFinding(place: FindingPlace): PolicyFinding {
  return finding(
    'link-local-not-secured',
    place,
    'link-local addresses (fe80::/10) mean nothing without an adapter, which IKE cannot name: this traffic is dropped',
    'permit or block it, or give global or unique local addresses',
  );
}

function isLinkLocalSpec(spec: AddressSpec | undefined): boolean {
  if (spec?.kind !== 'host' && spec?.kind !== 'subnet') return false;
  return isLinkLocal(spec.address) && (spec.kind === 'host' || spec.prefixLength >= 10);
}

function addressFindings(spec: AddressSpec, place: () => FindingPlace): PolicyFinding[] {
  if (spec.kind !== 'subnet') return unresolved(spec, '', place);
  const bits = addressFamily(spec.address) === 4 ? 32 : 128;
  if (spec.prefixLength <= bits && subnetRange(spec.address, spec.prefixLength).first === spec.address)
    return [];
  return [
    finding(
      'bad-prefix',
      place(),
      `${spec.address}/${spec.prefixLength} is not a subnet`,
      'write the subnet address, with no bits behind the mask',
    ),
  ];
}

function unresolved(spec: AddressSpec | undefined, what: string, place: () => FindingPlace): PolicyFinding[] {
  if (spec?.kind !== 'dns' || spec.addresses.length > 0) return [];
  return [
    finding(
      'unresolved-name',
      place(),
      `no address is known for ${what}'${spec.name}'`,
      'write the rule again to resolve it',
    ),
  ];
}

function familyOf(spec: AddressSpec): 4 | 6 | undefined {
  return spec.kind === 'host' || spec.kind === 'subnet' ? addressFamily(spec.address) : undefined;
}
