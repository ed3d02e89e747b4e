/**
 * In-memory twins of the TUN device and the sockets: several hosts on one network in one process, without root, time
 * or randomness. Nothing moves until `MemoryNetwork.run`, so every run is the same.
 */
import type { IpAddress } from '../../wire/ip/address.js';
import {
  decodeIpv4,
  encodeIpv4,
  fillIpv4Checksum,
  type Ipv4Header,
  ipProtocol,
  ipv4Field,
  ipv4FromNumber,
  ipv4ToNumber,
  isFragment,
  readU16,
  writeU16,
} from '../../wire/ip/packet.js';
import type { TunDevice, UdpDatagram, WireSockets } from './io.js';
import { Reassembler } from './reassembly.js';

/** Where the fields of a UDP header lie; the payload follows. */
export const udpField = { sourcePort: 0, destinationPort: 2, length: 4, checksum: 6, payload: 8 } as const;

/** What the network makes of a packet from a host: nothing (loss), the packet, several, or a changed one. */
export type Transit = (packet: Uint8Array, from: MemoryHost) => readonly Uint8Array[];

export interface MemoryHostOptions {
  readonly addresses: readonly IpAddress[];
  /** 1500 by default. */
  readonly mtu?: number;
  /** UDP ports whose datagrams go to `onDatagrams`; 500 and 4500 by default. */
  readonly udpPorts?: readonly number[];
}

/** Hosts on one wire. */
export class MemoryNetwork {
  /** Loss, duplication, reordering, NAT, eavesdropping: whatever a test wants to happen on the way. */
  transit: Transit = packet => [packet];
  readonly #hosts = new Map<number, MemoryHost>();
  #inFlight: { packet: Uint8Array; from: MemoryHost }[] = [];

  /** A new host. */
  host(options: MemoryHostOptions): MemoryHost {
    const host = new MemoryHost(options, packet => this.#inFlight.push({ packet, from: host }));
    for (const address of options.addresses) this.#hosts.set(ipv4ToNumber(address), host);
    return host;
  }

  /**
   * Delivers what is in flight, and what that sets off, until the wire is quiet; returns how many packets arrived.
   * Throws `Error` after `most` packets: two hosts answer each other without end.
   */
  run(most = 100_000): number {
    let arrived = 0;
    while (this.#inFlight.length > 0) {
      const sent = this.#inFlight;
      this.#inFlight = [];
      const vectors = new Map<MemoryHost, Uint8Array[]>();
      for (const { packet, from } of sent) {
        for (const onward of this.transit(packet, from)) {
          const host = this.#hosts.get(decodeIpv4(onward).destination);
          if (host === undefined) continue;
          const vector = vectors.get(host) ?? [];
          vectors.set(host, vector);
          vector.push(onward);
        }
      }
      for (const [host, vector] of vectors) {
        arrived += vector.length;
        host.receive(vector);
      }
      if (arrived > most) throw new Error(`more than ${most} packets: the network does not come to rest`);
    }
    return arrived;
  }
}

/** One host: a TUN device, sockets, and clear packets for which there is no socket. */
export class MemoryHost {
  readonly tun: MemoryTun;
  readonly sockets: MemorySockets;
  readonly #reassembler = new Reassembler();
  readonly #udpPorts: readonly number[];
  #onClearPackets: (packets: readonly Uint8Array[]) => void = () => {};

  constructor(options: MemoryHostOptions, send: (packet: Uint8Array) => void) {
    this.tun = new MemoryTun();
    this.sockets = new MemorySockets(options, send);
    this.#udpPorts = options.udpPorts ?? [500, 4500];
  }

  /** Called with packets that are neither ESP nor AH nor for one of the UDP ports. */
  onClearPackets(listener: (packets: readonly Uint8Array[]) => void): void {
    this.#onClearPackets = listener;
  }

  /** Takes packets off the wire, as a kernel would: fragments are put together first. */
  receive(packets: readonly Uint8Array[]): void {
    const ip: Uint8Array[] = [];
    const datagrams: UdpDatagram[] = [];
    const clear: Uint8Array[] = [];
    for (const piece of packets) {
      const header = decodeIpv4(piece);
      const packet = isFragment(header) ? this.#reassembler.add(piece, header, 0) : piece;
      if (packet === undefined) continue;
      const datagram = this.#datagramOf(packet);
      if (header.protocol === ipProtocol.esp || header.protocol === ipProtocol.ah) ip.push(packet);
      else if (datagram !== undefined) datagrams.push(datagram);
      else clear.push(packet);
    }
    if (ip.length > 0) this.sockets.arriveIp(ip);
    if (datagrams.length > 0) this.sockets.arriveDatagrams(datagrams);
    if (clear.length > 0) this.#onClearPackets(clear);
  }

  #datagramOf(packet: Uint8Array): UdpDatagram | undefined {
    const header = decodeIpv4(packet);
    const at = header.headerBytes;
    if (header.protocol !== ipProtocol.udp || header.totalLength < at + udpField.payload) return undefined;
    const port = readU16(packet, at + udpField.destinationPort);
    if (!this.#udpPorts.includes(port)) return undefined;
    return {
      local: { address: ipv4FromNumber(header.destination), port },
      peer: { address: ipv4FromNumber(header.source), port: readU16(packet, at + udpField.sourcePort) },
      payload: packet.subarray(at + udpField.payload, header.totalLength),
    };
  }
}

/** A TUN device without a kernel: a test plays the kernel. */
export class MemoryTun implements TunDevice {
  readonly name = 'memory0';
  /** Copies of everything written, oldest first; a test empties it at will. */
  readonly written: Uint8Array[] = [];
  #listener: (packets: readonly Uint8Array[]) => void = () => {};

  onPackets(listener: (packets: readonly Uint8Array[]) => void): void {
    this.#listener = listener;
  }

  write(packets: readonly Uint8Array[]): void {
    for (const packet of packets) this.written.push(Uint8Array.from(packet));
  }

  /** Routes packets into the device. */
  inject(packets: readonly Uint8Array[]): void {
    this.#listener(packets);
  }

  /** Takes out what was written. */
  takeWritten(): Uint8Array[] {
    return this.written.splice(0);
  }

  close(): void {
    this.#listener = () => {};
  }
}

/** Sockets of one host on a `MemoryNetwork`. */
export class MemorySockets implements WireSockets {
  readonly #options: MemoryHostOptions;
  readonly #send: (packet: Uint8Array) => void;
  /** MTU of the way to an address, where it is less than the device's. */
  readonly pathMtus = new Map<IpAddress, number>();
  #onIpPackets: (packets: readonly Uint8Array[]) => void = () => {};
  #onDatagrams: (datagrams: readonly UdpDatagram[]) => void = () => {};
  #identification = 0;

  constructor(options: MemoryHostOptions, send: (packet: Uint8Array) => void) {
    this.#options = options;
    this.#send = send;
  }

  onIpPackets(listener: (packets: readonly Uint8Array[]) => void): void {
    this.#onIpPackets = listener;
  }

  onDatagrams(listener: (datagrams: readonly UdpDatagram[]) => void): void {
    this.#onDatagrams = listener;
  }

  /** Like a raw socket: fills in length, checksum and a missing identification, refuses what exceeds the MTU. */
  sendIpPackets(packets: readonly Uint8Array[]): number {
    let refused = 0;
    for (const packet of packets) {
      const header = decodeIpv4(packet);
      if (packet.length > this.pathMtu(ipv4FromNumber(header.destination))) refused++;
      else this.#send(this.#completed(packet, header));
    }
    return refused;
  }

  /** The kernel would fragment large ones; here they travel whole. */
  sendDatagrams(datagrams: readonly UdpDatagram[]): number {
    for (const { local, peer, payload } of datagrams) {
      const udp = new Uint8Array(udpField.payload + payload.length);
      writeU16(udp, udpField.sourcePort, local.port);
      writeU16(udp, udpField.destinationPort, peer.port);
      writeU16(udp, udpField.length, udp.length);
      udp.set(payload, udpField.payload);
      const fields = {
        tos: 0,
        identification: this.#nextIdentification(),
        dontFragment: false,
        moreFragments: false,
        fragmentOffset: 0,
        ttl: 64,
        protocol: ipProtocol.udp,
        source: ipv4ToNumber(local.address),
        destination: ipv4ToNumber(peer.address),
      };
      this.#send(encodeIpv4(fields, udp));
    }
    return 0;
  }

  pathMtu(destination: IpAddress): number {
    return this.pathMtus.get(destination) ?? this.#options.mtu ?? 1500;
  }

  localAddress(): IpAddress | undefined {
    return this.#options.addresses[0];
  }

  /** Hands packets to the listener, as the network does. */
  arriveIp(packets: readonly Uint8Array[]): void {
    this.#onIpPackets(packets);
  }

  arriveDatagrams(datagrams: readonly UdpDatagram[]): void {
    this.#onDatagrams(datagrams);
  }

  close(): void {
    this.#onIpPackets = () => {};
    this.#onDatagrams = () => {};
  }

  #completed(packet: Uint8Array, header: Ipv4Header): Uint8Array {
    const copy = Uint8Array.from(packet);
    writeU16(copy, ipv4Field.totalLength, copy.length);
    if (header.identification === 0) writeU16(copy, ipv4Field.identification, this.#nextIdentification());
    fillIpv4Checksum(copy, 0, header.headerBytes);
    return copy;
  }

  #nextIdentification(): number {
    this.#identification = (this.#identification % 0xffff) + 1;
    return this.#identification;
  }
}
