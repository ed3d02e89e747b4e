/** Filters as comparable text: the same for the same traffic as written. */
import { addressFamily } from '../../wire/ip/address.js';
import type { AddressSpec, Filter } from '../model.js';

/** The traffic of a filter in its own direction; mirroring is left out. */
export function trafficKey(filter: Filter): string {
  const { source, destination, protocol, sourcePort, destinationPort } = filter;
  return `${addressKey(source)} ${addressKey(destination)} ${protocol} ${sourcePort} ${destinationPort}`;
}

/** An address specification as comparable text. */
export function addressKey(spec: AddressSpec): string {
  switch (spec.kind) {
    case 'me':
    case 'any':
      return spec.kind;
    case 'host':
      return spec.address;
    case 'subnet':
      return spec.prefixLength === (addressFamily(spec.address) === 4 ? 32 : 128)
        ? spec.address
        : `${spec.address}/${spec.prefixLength}`;
    case 'special':
      return `special:${spec.group}`;
    case 'dns':
      return `name:${spec.name.toLowerCase()}`;
  }
}

/** The filter for the way back. */
export function reversed(filter: Filter): Filter {
  return {
    ...filter,
    source: filter.destination,
    destination: filter.source,
    sourcePort: filter.destinationPort,
    destinationPort: filter.sourcePort,
  };
}
