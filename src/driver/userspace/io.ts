/**
 * The two seams between the packet engine and the world. Both take and give vectors of packets, so a native
 * data path can batch; a vector of one is legal. `memory.ts` has in-memory twins of both for tests.
 *
 * Packets given to a listener are views on memory that the device reuses: valid until the listener returns.
 * The same the other way: packets given to `write`, `sendIpPackets` and `sendDatagrams` are views on memory that the
 * engine reuses, valid until the call returns.
 */
import type { IpAddress } from '../../wire/ip/address.js';
import type { UndeliveredReason } from '../../wire/ip/icmp-errors.js';
import type { Endpoint } from '../api.js';

/** A layer-3 tunnel device: whole IP packets in and out. */
export interface TunDevice {
  readonly name: string;
  /** Packets the kernel routed into the device: outbound clear text. */
  onPackets(listener: (packets: readonly Uint8Array[]) => void): void;
  /** Hands packets to the kernel as if they had arrived on the device: inbound clear text. */
  write(packets: readonly Uint8Array[]): void;
  close(): void;
}

/** One UDP datagram of port 500 or 4500, payload only (a port 4500 payload still has its marker or SPI). */
export interface UdpDatagram {
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly payload: Uint8Array;
}

/** An ICMP error about a datagram sent: why it did not arrive, as `reporter` says. */
export interface UndeliveredDatagram {
  readonly peer: Endpoint;
  readonly reporter: IpAddress;
  readonly reason: UndeliveredReason;
}

/** The outside: raw sockets for protocols 50 and 51 and the UDP ports of IKE, all exempt from our own filters. */
export interface WireSockets {
  /** Whole IP packets of protocol 50 or 51 addressed to this host, already reassembled by the kernel. */
  onIpPackets(listener: (packets: readonly Uint8Array[]) => void): void;
  onDatagrams(listener: (datagrams: readonly UdpDatagram[]) => void): void;
  /** Sends whole IP packets; header checksum is filled in. Returns how many the kernel refused. */
  sendIpPackets(packets: readonly Uint8Array[]): number;
  /** Returns how many the kernel refused. */
  sendDatagrams(datagrams: readonly UdpDatagram[]): number;
  /** MTU of the route to an address, in bytes. Asked for every vector of packets: answered from memory. */
  pathMtu(destination: IpAddress): number;
  /** Source address the kernel would use towards a destination; only asked where policy does not say. */
  localAddress?(destination: IpAddress): IpAddress | undefined;
  /** Whether this host has a socket connected to that port of a peer; seldom asked. */
  isPeerPortInUse?(protocol: number, peer: IpAddress, port: number): boolean;
  close(): void;
}
