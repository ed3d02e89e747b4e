/** Selectors as the kernel has them: addresses by prefix, one interface. */
import {
  addressBytes,
  addressFamily,
  addressFromBytes,
  addressToBigInt,
  type IpAddress,
} from '../../wire/ip/address.js';
import {
  type AddressRange,
  prefixLengthOf,
  rangeContains,
  rangesOverlap,
  type Selector,
} from '../../wire/ip/selector.js';
import type { XfrmPrefix, XfrmSelector } from '../../wire/netlink/xfrm-selector.js';

/** The prefixes that make up a range: one for a subnet, up to twice its length for any other. */
export function rangePrefixes(range: AddressRange): XfrmPrefix[] {
  const whole = prefixLengthOf(range);
  if (whole !== undefined) return [{ address: range.first, length: whole }];
  const bits = addressBytes(range.first).length * 8;
  const last = addressToBigInt(range.last);
  const prefixes: XfrmPrefix[] = [];
  for (let first = addressToBigInt(range.first); first <= last; ) {
    let host = 0;
    // The largest block that begins here and does not go past the end.
    while (
      host < bits &&
      first % 2n ** BigInt(host + 1) === 0n &&
      first + 2n ** BigInt(host + 1) - 1n <= last
    )
      host++;
    prefixes.push({ address: addressOf(first, bits), length: bits - host });
    first += 2n ** BigInt(host);
  }
  return prefixes;
}

/** The shortest prefix that covers a range. */
export function coveringPrefix(range: AddressRange): XfrmPrefix {
  const bits = addressBytes(range.first).length * 8;
  const differing = (addressToBigInt(range.first) ^ addressToBigInt(range.last)).toString(2);
  const host = range.first === range.last ? 0 : differing.length;
  const first = (addressToBigInt(range.first) >> BigInt(host)) << BigInt(host);
  return { address: addressOf(first, bits), length: bits - host };
}

/** All selectors of the kernel's that a selector of ours comes to. */
export function xfrmSelectors(
  selector: Selector,
  user: number,
  interfaceIndexes: readonly number[] = [],
): XfrmSelector[] {
  if (addressFamily(selector.source.first) !== addressFamily(selector.destination.first)) return [];
  const common = { protocol: selector.protocol, ...ports(selector), user };
  const plain = rangePrefixes(selector.source).flatMap(source =>
    rangePrefixes(selector.destination).map(destination => ({ ...common, source, destination })),
  );
  if (interfaceIndexes.length === 0) return plain;
  return plain.flatMap(one => interfaceIndexes.map(interfaceIndex => ({ ...one, interfaceIndex })));
}

/** One selector that covers all of it. */
export function coveringSelector(selector: Selector): XfrmSelector {
  return {
    source: coveringPrefix(selector.source),
    destination: coveringPrefix(selector.destination),
    protocol: selector.protocol,
    ...ports(selector),
    user: 0,
  };
}

/** The packets of both selectors; `undefined` when there can be none. */
export function commonSelector(one: Selector, other: Selector): Selector | undefined {
  const common = (a: number, b: number) => (a === 0 ? b : b === 0 || a === b ? a : undefined);
  const protocol = common(one.protocol, other.protocol);
  const sourcePort = common(one.sourcePort, other.sourcePort);
  const destinationPort = common(one.destinationPort, other.destinationPort);
  if (protocol === undefined || sourcePort === undefined || destinationPort === undefined) return undefined;
  if (!rangesOverlap(one.source, other.source) || !rangesOverlap(one.destination, other.destination))
    return undefined;
  return {
    source: commonRange(one.source, other.source),
    destination: commonRange(one.destination, other.destination),
    protocol,
    sourcePort,
    destinationPort,
  };
}

/** What two ranges that overlap have in common. */
export function commonRange(one: AddressRange, other: AddressRange): AddressRange {
  return {
    first: addressToBigInt(one.first) > addressToBigInt(other.first) ? one.first : other.first,
    last: addressToBigInt(one.last) < addressToBigInt(other.last) ? one.last : other.last,
  };
}

/** What a selector and a pair of hosts have in common; `undefined` when nothing. */
export function betweenHosts(
  selector: Selector,
  source: IpAddress,
  destination: IpAddress,
): Selector | undefined {
  if (!rangeContains(selector.source, source) || !rangeContains(selector.destination, destination))
    return undefined;
  return {
    ...selector,
    source: { first: source, last: source },
    destination: { first: destination, last: destination },
  };
}

/** A selector of the kernel's about one packet as one of ours. */
export function packetSelector(selector: XfrmSelector): Selector {
  const host = (address: IpAddress) => ({ first: address, last: address });
  return {
    source: host(selector.source.address),
    destination: host(selector.destination.address),
    protocol: selector.protocol,
    sourcePort: selector.sourcePort ?? 0,
    destinationPort: selector.destinationPort ?? 0,
  };
}

function ports({ sourcePort, destinationPort }: Selector) {
  return {
    ...(sourcePort === 0 ? {} : { sourcePort }),
    ...(destinationPort === 0 ? {} : { destinationPort }),
  };
}

function addressOf(value: bigint, bits: number): IpAddress {
  return addressFromBytes(Uint8Array.from(Buffer.from(value.toString(16).padStart(bits / 4, '0'), 'hex')));
}
