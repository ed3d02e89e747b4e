/** Selectors as numbers, for the packet path: IPv4 only for now. */
import { addressFamily } from '../wire/ip/address.js';
import {
  destinationPortOf,
  type Ipv4Header,
  ipv4FromNumber,
  ipv4ToNumber,
  sourcePortOf,
} from '../wire/ip/packet.js';
import { hostRange, type Selector } from '../wire/ip/selector.js';

/** What a packet is matched by. Addresses are unsigned 32-bit numbers; ports are 0 where there are none. */
export interface Flow {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A selector whose address ranges are numbers, both ends included. */
export interface Ipv4Selector {
  readonly sourceFirst: number;
  readonly sourceLast: number;
  readonly destinationFirst: number;
  readonly destinationLast: number;
  /** 0 any. */
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** `undefined` when the selector is not about IPv4. */
export function ipv4Selector(selector: Selector): Ipv4Selector | undefined {
  const { source, destination, protocol, sourcePort, destinationPort } = selector;
  if (addressFamily(source.first) === 6 || addressFamily(destination.first) === 6) return undefined;
  return {
    sourceFirst: ipv4ToNumber(source.first),
    sourceLast: ipv4ToNumber(source.last),
    destinationFirst: ipv4ToNumber(destination.first),
    destinationLast: ipv4ToNumber(destination.last),
    protocol,
    sourcePort,
    destinationPort,
  };
}

/** Whether a packet is one of the selector's. */
export function matchesFlow(selector: Ipv4Selector, flow: Flow): boolean {
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
export function flowOf(packet: Uint8Array, header: Ipv4Header): Flow {
  return {
    source: header.source,
    destination: header.destination,
    protocol: header.protocol,
    sourcePort: sourcePortOf(packet, header),
    destinationPort: destinationPortOf(packet, header),
  };
}

/** The same packet as its receiver's own outbound selector would see it. */
export function mirrorFlow(flow: Flow): Flow {
  return {
    source: flow.destination,
    destination: flow.source,
    protocol: flow.protocol,
    sourcePort: flow.destinationPort,
    destinationPort: flow.sourcePort,
  };
}

/** A flow as a selector of that one flow. */
export function flowSelector(flow: Flow): Selector {
  return {
    source: hostRange(ipv4FromNumber(flow.source)),
    destination: hostRange(ipv4FromNumber(flow.destination)),
    protocol: flow.protocol,
    sourcePort: flow.sourcePort,
    destinationPort: flow.destinationPort,
  };
}
