/** Selectors as numbers, for the packet path. The two families are kept apart, so that IPv4 never computes with bigints. */
import type { IpAddress } from '../wire/ip/address.js';
import { quotedFlow } from '../wire/ip/icmp-errors.js';
import { addressOf, type IpHeader, type PacketAddress, packetAddress, portsOf } from '../wire/ip/ip.js';
import { hostRange, type Selector } from '../wire/ip/selector.js';

interface FlowOf<F extends 4 | 6, A extends PacketAddress> {
  readonly family: F;
  readonly source: A;
  readonly destination: A;
  readonly protocol: number;
  /** 0 where there are none. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

interface SelectorOf<F extends 4 | 6, A extends PacketAddress> {
  readonly family: F;
  /** Both ends included. */
  readonly sourceFirst: A;
  readonly sourceLast: A;
  readonly destinationFirst: A;
  readonly destinationLast: A;
  /** 0 any. */
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** What a packet is matched by. */
export type Ipv4Flow = FlowOf<4, number>;
export type Ipv6Flow = FlowOf<6, bigint>;
export type Flow = Ipv4Flow | Ipv6Flow;

/** A selector whose address ranges are numbers. */
export type Ipv4Selector = SelectorOf<4, number>;
export type Ipv6Selector = SelectorOf<6, bigint>;
export type PacketSelector = Ipv4Selector | Ipv6Selector;

/** `undefined` for a selector between the families, which no packet matches. */
export function packetSelector(selector: Selector): PacketSelector | undefined {
  const { protocol, sourcePort, destinationPort } = selector;
  const ports = { protocol, sourcePort, destinationPort };
  const sourceFirst = packetAddress(selector.source.first);
  const sourceLast = packetAddress(selector.source.last);
  const destinationFirst = packetAddress(selector.destination.first);
  const destinationLast = packetAddress(selector.destination.last);
  if (
    typeof sourceFirst === 'number' &&
    typeof sourceLast === 'number' &&
    typeof destinationFirst === 'number' &&
    typeof destinationLast === 'number'
  )
    return { family: 4, sourceFirst, sourceLast, destinationFirst, destinationLast, ...ports };
  if (
    typeof sourceFirst === 'bigint' &&
    typeof sourceLast === 'bigint' &&
    typeof destinationFirst === 'bigint' &&
    typeof destinationLast === 'bigint'
  )
    return { family: 6, sourceFirst, sourceLast, destinationFirst, destinationLast, ...ports };
  return undefined;
}

/** Whether a packet is one of the selector's. */
export function matchesFlow(selector: PacketSelector, flow: Flow): boolean {
  if (selector.family === 4) return flow.family === 4 && matchesIpv4(selector, flow);
  return flow.family === 6 && matchesIpv6(selector, flow);
}

export function matchesIpv4(selector: Ipv4Selector, flow: Ipv4Flow): boolean {
  return (
    flow.source >= selector.sourceFirst &&
    flow.source <= selector.sourceLast &&
    flow.destination >= selector.destinationFirst &&
    flow.destination <= selector.destinationLast &&
    (selector.protocol === 0 || selector.protocol === flow.protocol) &&
    (selector.sourcePort === 0 || selector.sourcePort === flow.sourcePort) &&
    (selector.destinationPort === 0 || selector.destinationPort === flow.destinationPort)
  );
}

export function matchesIpv6(selector: Ipv6Selector, flow: Ipv6Flow): boolean {
  return (
    flow.source >= selector.sourceFirst &&
    flow.source <= selector.sourceLast &&
    flow.destination >= selector.destinationFirst &&
    flow.destination <= selector.destinationLast &&
    (selector.protocol === 0 || selector.protocol === flow.protocol) &&
    (selector.sourcePort === 0 || selector.sourcePort === flow.sourcePort) &&
    (selector.destinationPort === 0 || selector.destinationPort === flow.destinationPort)
  );
}

/** What a whole packet, or a first fragment, is matched by. */
export function flowOf(packet: Uint8Array, header: IpHeader): Flow {
  const { protocol } = header;
  const { source: sourcePort, destination: destinationPort } = portsOf(packet, header);
  if (header.family === 4) {
    const { source, destination } = header;
    return { family: 4, source, destination, protocol, sourcePort, destinationPort };
  }
  const { source, destination } = header;
  return { family: 6, source, destination, protocol, sourcePort, destinationPort };
}

/** The same packet as its receiver's own outbound selector would see it. */
export function mirrorFlow(flow: Flow): Flow {
  const { protocol, sourcePort: destinationPort, destinationPort: sourcePort } = flow;
  const ports = { protocol, sourcePort, destinationPort };
  if (flow.family === 4) return { family: 4, source: flow.destination, destination: flow.source, ...ports };
  return { family: 6, source: flow.destination, destination: flow.source, ...ports };
}

/**
 * The traffic that an ICMP error belongs to, as the error goes: the answers to the packet that it quotes, whoever tells of it
 * (RFC 4301 6.2). `undefined` for any other packet, and for an error that does not go to the quoted packet's sender.
 */
export function answersToQuoted(packet: Uint8Array, header: IpHeader): Flow | undefined {
  const quoted = quotedFlow(packet, header);
  if (quoted === undefined) return undefined;
  const { protocol, sourcePort: destinationPort, destinationPort: sourcePort } = quoted;
  const [source, destination] = [packetAddress(quoted.destination), packetAddress(quoted.source)];
  if (destination !== header.destination) return undefined;
  const ports = { protocol, sourcePort, destinationPort };
  if (typeof source === 'number' && typeof destination === 'number')
    return { family: 4, source, destination, ...ports };
  if (typeof source === 'bigint' && typeof destination === 'bigint')
    return { family: 6, source, destination, ...ports };
  return undefined;
}

/** A flow as a selector of that one flow. */
export function flowSelector(flow: Flow): Selector {
  const host = (address: PacketAddress) => hostRange(addressOf(address));
  return {
    source: host(flow.source),
    destination: host(flow.destination),
    protocol: flow.protocol,
    sourcePort: flow.sourcePort,
    destinationPort: flow.destinationPort,
  };
}

/** An address as part of a key: the families never mix. */
export function addressKey(address: PacketAddress): string {
  return typeof address === 'number' ? String(address) : `${address.toString(16)}x`;
}

/** `addressKey` of an address as text. */
export function addressTextKey(address: IpAddress): string {
  return addressKey(packetAddress(address));
}
