/** Which side of a filter is this computer, as other daemons want it said: local and remote, not source and destination. */
import { addressFamily, anyIpv4, type IpAddress } from '../../wire/ip/address.js';
import { rangeContains, subnetRange } from '../../wire/ip/selector.js';
import type { AddressSpec, Filter } from '../model.js';
import type { NoteBook } from '../note.js';

/** An address of a flow: keywords that daemons have a word for, or numbers. */
export type FlowAddress =
  | { readonly kind: 'me' }
  | { readonly kind: 'any' }
  | { readonly kind: 'host'; readonly address: IpAddress }
  | { readonly kind: 'subnet'; readonly address: IpAddress; readonly prefixLength: number };

export interface FlowEnd {
  readonly address: FlowAddress;
  /** 0 any. */
  readonly port: number;
}

/** The traffic of a filter seen from this computer. */
export interface Flow {
  readonly local: FlowEnd;
  readonly remote: FlowEnd;
  /** 0 any. */
  readonly protocol: number;
  /** Which packets the filter covers: those from `local`, those to it, or both. */
  readonly way: 'out' | 'in' | 'both';
}

/**
 * The flows of a filter: one for each address of its names. None, and a note, when an address is not known in advance.
 * The filter's source is the near side where `sourceIsNear`; else its addresses say which side is.
 */
export function flowsOf(
  filter: Filter,
  localAddresses: readonly IpAddress[],
  book: NoteBook,
  sourceIsNear = false,
): Flow[] {
  const sources = flowAddresses(filter.source, book);
  const destinations = flowAddresses(filter.destination, book);
  return sources.flatMap(source =>
    destinations.flatMap(destination => {
      if (sameFamily(source, destination)) {
        const [outbound, inbound] = bothWays(filter, source, destination);
        if (sourceIsNear) return [outbound];
        return [isOutbound(source, destination, localAddresses, book) ? outbound : inbound];
      }
      book.add('dropped', 'one side of the filter is IPv4 and the other IPv6');
      return [];
    }),
  );
}

/** Numbers of both families when `address` is a word for all of them. */
export function anySubnets(): Extract<FlowAddress, { kind: 'subnet' }>[] {
  return [
    { kind: 'subnet', address: anyIpv4, prefixLength: 0 },
    { kind: 'subnet', address: '::' as IpAddress, prefixLength: 0 },
  ];
}

/** `192.0.2.0/24`, `192.0.2.1/32`; `undefined` for a keyword. */
export function flowPrefix(address: FlowAddress): string | undefined {
  if (address.kind === 'subnet') return `${address.address}/${address.prefixLength}`;
  if (address.kind !== 'host') return undefined;
  return `${address.address}/${addressFamily(address.address) === 4 ? 32 : 128}`;
}

/** The family of an address; `undefined` for one that has both. */
export function flowFamily(address: FlowAddress): 4 | 6 | undefined {
  return address.kind === 'host' || address.kind === 'subnet' ? addressFamily(address.address) : undefined;
}

export function isOwnAddress(address: FlowAddress, localAddresses: readonly IpAddress[]): boolean {
  return address.kind === 'me' || (address.kind === 'host' && localAddresses.includes(address.address));
}

function flowAddresses(spec: AddressSpec, book: NoteBook): FlowAddress[] {
  switch (spec.kind) {
    case 'special':
      book.add('dropped', `its filter on ${spec.group} servers: no other daemon looks these addresses up`);
      return [];
    case 'dns':
      if (spec.addresses.length === 0) book.add('dropped', `no address is known for '${spec.name}'`);
      else book.add('changed', `'${spec.name}' becomes the address it had: ${spec.addresses.join(', ')}`);
      return [...new Set(spec.addresses)].map(address => ({ kind: 'host', address }));
    default:
      return [spec];
  }
}

function sameFamily(a: FlowAddress, b: FlowAddress): boolean {
  const [one, other] = [flowFamily(a), flowFamily(b)];
  return one === undefined || other === undefined || one === other;
}

function bothWays(filter: Filter, source: FlowAddress, destination: FlowAddress): [out: Flow, back: Flow] {
  const from: FlowEnd = { address: source, port: filter.sourcePort };
  const to: FlowEnd = { address: destination, port: filter.destinationPort };
  const { protocol, mirrored } = filter;
  return [
    { local: from, remote: to, protocol, way: mirrored ? 'both' : 'out' },
    { local: to, remote: from, protocol, way: mirrored ? 'both' : 'in' },
  ];
}

const nearnessRank = { own: 2, near: 1, far: 0 } as const;

function isOutbound(
  source: FlowAddress,
  destination: FlowAddress,
  localAddresses: readonly IpAddress[],
  book: NoteBook,
): boolean {
  const from = nearness(source, localAddresses);
  const to = nearness(destination, localAddresses);
  if (from === to && from !== 'own')
    book.add(
      'advice',
      'neither side of the filter is this computer; its source is taken to be the near side',
    );
  return nearnessRank[from] >= nearnessRank[to];
}

function nearness(address: FlowAddress, localAddresses: readonly IpAddress[]): 'own' | 'near' | 'far' {
  if (isOwnAddress(address, localAddresses)) return 'own';
  if (address.kind !== 'subnet') return 'far';
  const range = subnetRange(address.address, address.prefixLength);
  return localAddresses.some(own => rangeContains(range, own)) ? 'near' : 'far';
}
