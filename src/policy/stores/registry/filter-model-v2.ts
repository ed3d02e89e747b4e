/** Filters between the model and the V2 section of an ipsecFilter blob (Windows Vista and later). */
import {
  addressBytes,
  addressFamily,
  addressFromBytes,
  addressToBigInt,
  type IpAddress,
} from '../../../wire/ip/address.js';
import { maskToPrefix, prefixToMask, subnetRange } from '../../../wire/ip/selector.js';
import { derivedGuid } from '../../guid.js';
import type { AddressSpec, Filter } from '../../model.js';
import type { NoteBook } from '../../note.js';
import { type Address2, addressTypes, type FilterSpec2, type Port2, replacesV1 } from './filter-data.js';
import { keyOf } from './ids.js';

const version = { 4: 1, 6: 2 } as const;
const bothVersions = 3;
const portTypes = { any: 0, single: 1, range: 2 } as const;
/** A range of ports is one filter a port; more than so many are left out. */
const mostPorts = 64;
/** Filters that the ranges of one specification may become; a few bytes can say millions. */
const mostFilters = 1_024;

/**
 * The filters of a specification: several for ranges, none when it is too wide or unknown, which is noted. `room` is how
 * many there may be.
 */
export function filterFromSpec2(spec: FilterSpec2, book: NoteBook, room = mostFilters): Filter[] {
  const { id, description, mirrored, protocol } = spec;
  const sources = addressesOf(spec.source, spec.sourceName);
  const destinations = addressesOf(spec.destination, spec.destinationName);
  const sourcePorts = portsOf(spec.sourcePort);
  const destinationPorts = portsOf(spec.destinationPort);
  if (!sources || !destinations || protocol > 255) {
    book.add('dropped', 'its addresses or its protocol are of a kind ipseckit does not have');
    return [];
  }
  if (!sourcePorts || !destinationPorts || sourcePorts.length * destinationPorts.length > mostPorts) {
    book.add('dropped', `its range of ports is wider than ${mostPorts}`);
    return [];
  }
  const count = sources.length * destinations.length * sourcePorts.length * destinationPorts.length;
  if (count > 1 && count > Math.min(room, mostFilters)) {
    book.add('dropped', `its ranges would become ${count} filters`);
    return [];
  }
  const filters = sources.flatMap(source =>
    destinations.flatMap(destination =>
      sourcePorts.flatMap(sourcePort =>
        destinationPorts.map(destinationPort => ({
          id,
          ...(description === '' ? {} : { name: description }),
          source,
          destination,
          protocol,
          sourcePort,
          destinationPort,
          mirrored,
        })),
      ),
    ),
  );
  if (filters.length > 1) book.add('changed', `its ranges become ${filters.length} filters`);
  return filters.map((filter, i) => (i === 0 ? filter : { ...filter, id: derivedGuid(id, `part ${i}`) }));
}

/** The specification of a filter, each of whose names has one address at most. */
export function filterToSpec2(filter: Filter): FilterSpec2 {
  return {
    sourceName: filter.source.kind === 'dns' ? filter.source.name : '',
    destinationName: filter.destination.kind === 'dns' ? filter.destination.name : '',
    description: filter.name ?? '',
    id: filter.id,
    mirrored: filter.mirrored,
    source: storedAddress(filter.source),
    destination: storedAddress(filter.destination),
    sourcePort: storedPort(filter.sourcePort),
    destinationPort: storedPort(filter.destinationPort),
    protocol: filter.protocol,
    flags: replacesV1,
  };
}

function addressesOf(
  { type, version: stored, address, second }: Address2,
  name: string,
): AddressSpec[] | undefined {
  const kind = keyOf(addressTypes, type);
  const family = stored === version[6] ? 6 : 4;
  const length = family === 4 ? 4 : 16;
  const first = addressFromBytes(address.subarray(0, length));
  switch (kind) {
    case undefined:
      return undefined;
    case 'any':
      // Of IPv6 alone it must not take IPv4 with it.
      return [
        family === 6
          ? { kind: 'subnet', address: addressFromBytes(new Uint8Array(16)), prefixLength: 0 }
          : { kind },
      ];
    case 'me':
      return [{ kind }];
    case 'dns':
    case 'wins':
    case 'dhcp':
    case 'gateway':
      return [{ kind: 'special', group: kind }];
    case 'single':
      if (name === '') return [{ kind: 'host', address: first }];
      return [{ kind: 'dns', name, addresses: address.every(byte => byte === 0) ? [] : [first] }];
    case 'subnet': {
      const prefixLength = family === 6 ? second[0] : maskToPrefix(addressFromBytes(second.subarray(0, 4)));
      if (prefixLength === undefined || prefixLength > 8 * length) return undefined;
      return [{ kind: 'subnet', address: subnetRange(first, prefixLength).first, prefixLength }];
    }
    case 'range':
      return subnetsOf(first, addressFromBytes(second.subarray(0, length)));
  }
}

/** The fewest subnets that make up a range; `undefined` when it ends before it begins. */
function subnetsOf(first: IpAddress, last: IpAddress): AddressSpec[] | undefined {
  const bits = addressFamily(first) === 4 ? 32 : 128;
  const end = addressToBigInt(last);
  const subnets: AddressSpec[] = [];
  for (let at = addressToBigInt(first); at <= end; ) {
    let free = 0;
    while (free < bits && at % (2n << BigInt(free)) === 0n && at + (2n << BigInt(free)) - 1n <= end) free++;
    const hex = at.toString(16).padStart(bits / 4, '0');
    const address = addressFromBytes(Uint8Array.from(Buffer.from(hex, 'hex')));
    subnets.push(
      free === 0 ? { kind: 'host', address } : { kind: 'subnet', address, prefixLength: bits - free },
    );
    at += 1n << BigInt(free);
  }
  return subnets.length === 0 ? undefined : subnets;
}

function portsOf({ type, first, last }: Port2): number[] | undefined {
  if (type === portTypes.any) return [0];
  if (type === portTypes.single) return [first];
  if (type !== portTypes.range || last < first || last - first >= mostPorts) return undefined;
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function storedAddress(spec: AddressSpec): Address2 {
  const nothing = {
    type: addressTypes.any,
    version: bothVersions,
    address: new Uint8Array(16),
    second: new Uint8Array(16),
  };
  switch (spec.kind) {
    case 'any':
      return { ...nothing, version: version[4] };
    case 'me':
      return { ...nothing, type: addressTypes.me };
    case 'special':
      return { ...nothing, type: addressTypes[spec.group] };
    case 'subnet': {
      const family = addressFamily(spec.address);
      const mask = family === 4 ? addressBytes(prefixToMask(spec.prefixLength)) : [spec.prefixLength];
      return {
        type: addressTypes.subnet,
        version: version[family],
        address: padded(addressBytes(spec.address)),
        second: padded(mask),
      };
    }
    default: {
      const address = spec.kind === 'host' ? spec.address : spec.addresses[0];
      const family = address === undefined ? 4 : addressFamily(address);
      return {
        ...nothing,
        type: addressTypes.single,
        version: version[family],
        address: address === undefined ? nothing.address : padded(addressBytes(address)),
      };
    }
  }
}

function padded(bytes: ArrayLike<number>): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, i) => bytes[i] ?? 0);
}

function storedPort(port: number): Port2 {
  return port === 0
    ? { type: portTypes.any, first: 0, last: 0 }
    : { type: portTypes.single, first: port, last: port };
}
