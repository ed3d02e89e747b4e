/** Small IPv4 packets for tests of the packet path. */
import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { checksumOf, sumOfU32 } from '../../src/wire/ip/checksum.js';
import {
  decodeIpv4,
  encodeIpv4,
  type Ipv4Header,
  ipProtocol,
  ipv4Payload,
  ipv4ToNumber,
  writeU16,
} from '../../src/wire/ip/packet.js';

export interface PacketOptions {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Bytes behind the TCP or UDP header. */
  readonly data?: Uint8Array;
  readonly header?: Partial<Ipv4Header>;
  readonly options?: Uint8Array;
}

const headerFields = {
  tos: 0,
  identification: 0x1234,
  dontFragment: false,
  moreFragments: false,
  fragmentOffset: 0,
  ttl: 63,
} as const;

/** A UDP packet with a right checksum. */
export function udpPacket(options: PacketOptions): Uint8Array {
  const { sourcePort = 4000, destinationPort = 53, data = new Uint8Array(0) } = options;
  const udp = new Uint8Array(8 + data.length);
  writeU16(udp, 0, sourcePort);
  writeU16(udp, 2, destinationPort);
  writeU16(udp, 4, udp.length);
  udp.set(data, 8);
  writeU16(udp, 6, transportChecksum(options, ipProtocol.udp, udp) || 0xffff);
  return ipPacket(options, ipProtocol.udp, udp);
}

/** A TCP packet with a right checksum. */
export function tcpPacket(options: PacketOptions): Uint8Array {
  const { sourcePort = 4000, destinationPort = 80, data = new Uint8Array(0) } = options;
  const tcp = new Uint8Array(20 + data.length);
  writeU16(tcp, 0, sourcePort);
  writeU16(tcp, 2, destinationPort);
  tcp[12] = 0x50;
  tcp.set(data, 20);
  writeU16(tcp, 16, transportChecksum(options, ipProtocol.tcp, tcp));
  return ipPacket(options, ipProtocol.tcp, tcp);
}

/** An ICMP error that quotes a packet, or as much of it as is given. */
export function icmpError(
  options: PacketOptions,
  type: number,
  code: number,
  quoted: Uint8Array,
): Uint8Array {
  const message = Uint8Array.of(type, code, 0, 0, 0, 0, 0, 0, ...quoted);
  writeU16(message, 2, checksumOf(message, 0, message.length));
  return ipPacket(options, ipProtocol.icmp, message);
}

/** A packet of any protocol. */
export function ipPacket(options: PacketOptions, protocol: number, payload: Uint8Array): Uint8Array {
  return encodeIpv4(
    {
      ...headerFields,
      protocol,
      source: ipv4ToNumber(ipAddress(options.source)),
      destination: ipv4ToNumber(ipAddress(options.destination)),
      ...options.header,
    },
    payload,
    options.options,
  );
}

/** Whether the TCP or UDP checksum of a whole packet is right (or UDP's is absent). */
export function hasGoodTransportChecksum(packet: Uint8Array): boolean {
  const header = decodeIpv4(packet);
  const payload = ipv4Payload(packet, header);
  if (header.protocol === ipProtocol.udp && payload[6] === 0 && payload[7] === 0) return true;
  const pseudo = sumOfU32(header.source) + sumOfU32(header.destination) + header.protocol + payload.length;
  return checksumOf(payload, 0, payload.length, pseudo) === 0;
}

/** Whether the IP header's checksum is right. */
export function hasGoodHeaderChecksum(packet: Uint8Array): boolean {
  return checksumOf(packet, 0, decodeIpv4(packet).headerBytes) === 0;
}

function transportChecksum(options: PacketOptions, protocol: number, segment: Uint8Array): number {
  const sum = (address: string) => sumOfU32(ipv4ToNumber(ipAddress(address) as IpAddress));
  const pseudo = sum(options.source) + sum(options.destination) + protocol + segment.length;
  return checksumOf(segment, 0, segment.length, pseudo);
}
