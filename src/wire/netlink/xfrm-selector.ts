import { addressBytes, addressFamily, addressFromBytes, type IpAddress } from '../ip/address.js';
import type { StructOf } from './layout.js';
import { addressFamilies, type selector } from './xfrm-structures.js';

export interface XfrmPrefix {
  readonly address: IpAddress;
  readonly length: number;
}

/** What a policy or state is about. */
export interface XfrmSelector {
  readonly source: XfrmPrefix;
  readonly destination: XfrmPrefix;
  /** 0 any. */
  readonly protocol: number;
  /** Absent: any. 0 is a port of its own: what has none, such as a fragment, has it. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Absent: any. */
  readonly interfaceIndex?: number;
  /** No packet is matched by it: policies that differ only here are different ones. */
  readonly user: number;
}

const anyPort = 0;
const exactPort = 0xffff;

export function selectorFields(value: XfrmSelector): StructOf<typeof selector> {
  const { source, destination, sourcePort, destinationPort } = value;
  return {
    destination: addressBytes(destination.address),
    source: addressBytes(source.address),
    destinationPort: destinationPort ?? 0,
    destinationPortMask: destinationPort === undefined ? anyPort : exactPort,
    sourcePort: sourcePort ?? 0,
    sourcePortMask: sourcePort === undefined ? anyPort : exactPort,
    family: familyNumber(source.address),
    destinationPrefix: destination.length,
    sourcePrefix: source.length,
    protocol: value.protocol,
    interfaceIndex: value.interfaceIndex ?? 0,
    user: value.user,
  };
}

export function selectorOf(fields: StructOf<typeof selector>): XfrmSelector {
  const { family, sourcePort, destinationPort, interfaceIndex } = fields;
  return {
    source: { address: addressOf(fields.source, family), length: fields.sourcePrefix },
    destination: { address: addressOf(fields.destination, family), length: fields.destinationPrefix },
    protocol: fields.protocol,
    ...(fields.sourcePortMask === anyPort ? {} : { sourcePort }),
    ...(fields.destinationPortMask === anyPort ? {} : { destinationPort }),
    ...(interfaceIndex === 0 ? {} : { interfaceIndex }),
    user: fields.user,
  };
}

/** A selector that every packet of the family matches. */
export function anySelector(family: 4 | 6): XfrmSelector {
  const any = { address: anyAddress(family), length: 0 };
  return { source: any, destination: any, protocol: 0, user: 0 };
}

export function anyAddress(family: 4 | 6): IpAddress {
  return addressFromBytes(new Uint8Array(family === 4 ? 4 : 16));
}

/** `AF_INET` or `AF_INET6`. */
export function familyNumber(address: IpAddress): number {
  return addressFamilies[addressFamily(address)];
}

/** An address out of the sixteen bytes that the kernel keeps for one. */
export function addressOf(bytes: Uint8Array, family: number): IpAddress {
  return addressFromBytes(bytes.subarray(0, family === addressFamilies[6] ? 16 : 4));
}
