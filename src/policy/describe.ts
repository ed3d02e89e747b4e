/** Filters and rules in words people know them by, for findings, listings and reports. */
import type { AddressText } from './ipsecpol/command.js';
import { printFilterSpec } from './ipsecpol/filter-spec.js';
import type { AddressSpec, Filter, HostSpec, Rule } from './model.js';

/** What stands for the servers a computer learns, in filters as text. */
export const specialNames = {
  dns: 'DNS-SERVERS',
  wins: 'WINS-SERVERS',
  dhcp: 'DHCP-SERVERS',
  gateway: 'GATEWAY',
};

/** A filter as an `ipsecpol` filter spec: `0+192.0.2.20::TCP`. */
export function describeFilter(filter: Filter): string {
  return printFilterSpec({
    kind: 'traffic',
    source: addressText(filter.source),
    destination: addressText(filter.destination),
    mirrored: filter.mirrored,
    protocol: filter.protocol,
    sourcePort: filter.sourcePort,
    destinationPort: filter.destinationPort,
  });
}

/** `rule 'Peer'`, `rule 2`, `the default response rule`. `index` counts from 0. */
export function describeRule(rule: Rule, index: number): string {
  if (rule.name !== undefined) return `rule '${rule.name}'`;
  return rule.filterList === undefined ? 'the default response rule' : `rule ${index + 1}`;
}

/** A host by its name, or its address. */
export function describeHost(host: HostSpec): string {
  return host.kind === 'dns' ? host.name : host.address;
}

function addressText(spec: AddressSpec): AddressText {
  switch (spec.kind) {
    case 'special':
      return { kind: 'name', name: specialNames[spec.group] };
    case 'dns':
      return { kind: 'name', name: spec.name };
    default:
      return spec;
  }
}
