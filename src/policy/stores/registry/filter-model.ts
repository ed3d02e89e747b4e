/**
 * Filters between the model and an ipsecFilter blob. A name with several addresses is one specification for each
 * address, which the Windows tools write as well; their ids say that they belong together.
 */
import { addressFamily, anyIpv4, type IpAddress, ipAddress } from '../../../wire/ip/address.js';
import { maskToPrefix, prefixToMask, subnetRange } from '../../../wire/ip/selector.js';
import { derivedGuid } from '../../guid.js';
import type { AddressSpec, Filter, Guid } from '../../model.js';
import type { NoteBook } from '../../note.js';
import {
  type FilterData,
  type FilterSpec1,
  replacesV1,
  specialAddresses,
  specialIsDestination,
} from './filter-data.js';
import { filterFromSpec2, filterToSpec2 } from './filter-model-v2.js';
import { keyOf } from './ids.js';

const hostMask = ipAddress('255.255.255.255');
/** Filters that all ranges of a list may become. */
const mostOfRanges = 20_000;

/** The filters a blob holds; those ipseckit cannot express are left out and noted. */
export function filtersFromData({ specs, specs2 = [] }: FilterData, book: NoteBook): Filter[] {
  const replaced = new Set(specs2.filter(({ flags }) => (flags & replacesV1) !== 0).map(({ id }) => id));
  let room = mostOfRanges;
  return joinNames([
    ...specs
      .filter(({ id }) => !replaced.has(id))
      .flatMap((spec, i) => filterFromSpec1(spec, book.in(`filter ${i + 1}`)) ?? []),
    ...specs2.flatMap((spec, i) => {
      const filters = filterFromSpec2(spec, book.in(`filter ${i + 1} of V2`), room);
      if (filters.length > 1) room -= filters.length;
      return filters;
    }),
  ]);
}

/** The blob of these filters. Only what V1 cannot say (IPv6, two special addresses) makes a V2 section. */
export function filtersToData(filters: readonly Filter[], book: NoteBook): FilterData {
  const single = filters.flatMap(splitNames);
  const specs = single.map(filterToSpec1);
  if (specs.every(spec => spec !== undefined)) return { specs };
  book.add('advice', 'its IPv6 filters are in a part of the list that only Windows Vista and later read');
  return { specs: specs.filter(spec => spec !== undefined), specs2: single.map(filterToSpec2) };
}

function filterFromSpec1(spec: FilterSpec1, book: NoteBook): Filter | undefined {
  const { id, description, mirrored, protocol, sourcePort, destinationPort } = spec;
  const toDestination = (spec.special & specialIsDestination) !== 0;
  const group = keyOf(specialAddresses, spec.special & ~specialIsDestination);
  if (spec.special !== 0 && group === undefined) {
    book.add('dropped', `special address ${spec.special} is unknown`);
    return undefined;
  }
  const special: AddressSpec | undefined = group && { kind: 'special', group };
  const source =
    (toDestination ? undefined : special) ?? addressOf(spec.sourceName, spec.source, spec.sourceMask);
  const destination =
    (toDestination ? special : undefined) ??
    addressOf(spec.destinationName, spec.destination, spec.destinationMask);
  if (source === undefined || destination === undefined || protocol > 255) {
    book.add(
      'dropped',
      protocol > 255
        ? `${protocol} is no IP protocol`
        : `${spec.source}/${spec.sourceMask} to ${spec.destination}/${spec.destinationMask} has a mask with gaps`,
    );
    return undefined;
  }
  return {
    id,
    ...(description === '' ? {} : { name: description }),
    source,
    destination,
    protocol,
    sourcePort,
    destinationPort,
    mirrored,
  };
}

/** An address and mask as written; `undefined` for a mask with gaps. */
function addressOf(name: string, address: IpAddress, mask: IpAddress): AddressSpec | undefined {
  if (name !== '') return { kind: 'dns', name, addresses: address === anyIpv4 ? [] : [address] };
  if (mask === hostMask) return address === anyIpv4 ? { kind: 'me' } : { kind: 'host', address };
  const prefixLength = maskToPrefix(mask);
  if (prefixLength === undefined) return undefined;
  if (prefixLength === 0) return { kind: 'any' };
  return { kind: 'subnet', address: subnetRange(address, prefixLength).first, prefixLength };
}

/** `undefined` when only V2 can say it. */
function filterToSpec1(filter: Filter): FilterSpec1 | undefined {
  const source = storedAddress(filter.source);
  const destination = storedAddress(filter.destination);
  if (source === undefined || destination === undefined) return undefined;
  if (source.special !== 0 && destination.special !== 0) return undefined;
  return {
    sourceName: source.name,
    destinationName: destination.name,
    description: filter.name ?? '',
    id: filter.id,
    mirrored: filter.mirrored,
    source: source.address,
    sourceMask: source.mask,
    destination: destination.address,
    destinationMask: destination.mask,
    protocol: filter.protocol,
    sourcePort: filter.sourcePort,
    destinationPort: filter.destinationPort,
    special: source.special || (destination.special && destination.special | specialIsDestination),
  };
}

function storedAddress(spec: AddressSpec) {
  const host = { name: '', address: anyIpv4, mask: hostMask, special: 0 };
  switch (spec.kind) {
    case 'me':
      return host;
    case 'any':
      return { ...host, mask: anyIpv4 };
    case 'special':
      return { ...host, special: specialAddresses[spec.group] };
    case 'host':
      return addressFamily(spec.address) === 4 ? { ...host, address: spec.address } : undefined;
    case 'subnet':
      return addressFamily(spec.address) === 4
        ? { ...host, address: spec.address, mask: prefixToMask(spec.prefixLength) }
        : undefined;
    case 'dns': {
      const [address = anyIpv4] = spec.addresses;
      return addressFamily(address) === 4 ? { ...host, name: spec.name, address } : undefined;
    }
  }
}

/** A filter for each pair of addresses of its names: the first keeps the id, the others' ids are derived from it. */
function splitNames(filter: Filter): Filter[] {
  const each = (spec: AddressSpec): AddressSpec[] =>
    spec.kind === 'dns' && spec.addresses.length > 1
      ? spec.addresses.map(address => ({ ...spec, addresses: [address] }))
      : [spec];
  return each(filter.source).flatMap((source, i) =>
    each(filter.destination).map((destination, j) => ({
      ...filter,
      id: i + j === 0 ? filter.id : pairId(filter.id, source, destination),
      source,
      destination,
    })),
  );
}

/** The reverse of `splitNames`: filters that follow one with a derived id lend it their addresses. */
function joinNames(filters: readonly Filter[]): Filter[] {
  const joined: Filter[] = [];
  for (const filter of filters) {
    const last = joined.at(-1);
    const belongs =
      last !== undefined &&
      (filter.source.kind === 'dns' || filter.destination.kind === 'dns') &&
      filter.id === pairId(last.id, filter.source, filter.destination);
    if (!belongs) joined.push(filter);
    else
      joined[joined.length - 1] = {
        ...last,
        source: withAddresses(last.source, filter.source),
        destination: withAddresses(last.destination, filter.destination),
      };
  }
  return joined;
}

function withAddresses(spec: AddressSpec, more: AddressSpec): AddressSpec {
  if (spec.kind !== 'dns' || more.kind !== 'dns') return spec;
  return { ...spec, addresses: [...new Set([...spec.addresses, ...more.addresses])] };
}

function pairId(first: Guid, source: AddressSpec, destination: AddressSpec): Guid {
  const text = (spec: AddressSpec) => (spec.kind === 'dns' ? spec.addresses.join() : spec.kind);
  return derivedGuid(first, `${text(source)} ${text(destination)}`);
}
