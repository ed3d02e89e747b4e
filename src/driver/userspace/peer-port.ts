/**
 * The port by which a packet tells which of its peer's conversations it belongs to: of TCP and UDP the peer's port, of an
 * ICMP echo its id when the peer asked, of an ICMP error that of the packet which it quotes.
 */
import { adjustChecksum } from '../../wire/ip/checksum.js';
import { isIcmpError, quoteOffset } from '../../wire/ip/icmp-errors.js';
import { type IpHeader, type PacketAddress, sumOfAddress, upperStart } from '../../wire/ip/ip.js';
import { ipv6Field, ipv6HeaderBytes, readIpv6Address, writeIpv6Address } from '../../wire/ip/ipv6.js';
import {
  ipProtocol,
  ipv4Field,
  ipv4HeaderBytes,
  readU16,
  readU32,
  writeU16,
  writeU32,
} from '../../wire/ip/packet.js';
import type { Flow } from '../packet-selector.js';

export type Direction = 'inbound' | 'outbound';

/** Where the ports of a packet are, ours and the peer's, and what they say; 0 where one has none. */
interface Ports {
  readonly protocol: number;
  readonly local: number;
  readonly peer: number;
  readonly peerAt: number;
}

/** What an ICMP error quotes: the beginning of a packet that went the other way. */
interface Quote {
  readonly ports: Ports | undefined;
  /** Where the packet begins, and in it the address of the peer. */
  readonly start: number;
  readonly family: 4 | 6;
  readonly peerAddressAt: number;
}

const icmp = {
  4: { protocol: ipProtocol.icmp, request: 8, reply: 0 },
  6: { protocol: ipProtocol.icmpv6, request: 128, reply: 129 },
} as const;
const icmpField = { type: 0, checksum: 2, echoId: 4 } as const;

const checksumField: Readonly<Record<number, number>> = {
  [ipProtocol.tcp]: 16,
  [ipProtocol.udp]: 6,
  [ipProtocol.icmp]: icmpField.checksum,
  [ipProtocol.icmpv6]: icmpField.checksum,
};

/** The flow of the conversation that a packet belongs to, as seen outbound. `flow` is the packet's own, as seen outbound. */
export function conversationOf(packet: Uint8Array, header: IpHeader, flow: Flow, direction: Direction): Flow {
  if (header.protocol !== icmp[header.family].protocol) return flow;
  const ports = isIcmpError(packet, header)
    ? quoteIn(packet, header, direction)?.ports
    : portsAt(packet, header.protocol, upperStart(header), header.totalLength, direction);
  if (ports === undefined) return flow;
  return { ...flow, protocol: ports.protocol, sourcePort: ports.local, destinationPort: ports.peer };
}

/** Writes another port of the peer into a packet, and corrects the checksum. */
export function setPeerPort(packet: Uint8Array, header: IpHeader, direction: Direction, port: number): void {
  const start = upperStart(header);
  const ports = isIcmpError(packet, header)
    ? quoteIn(packet, header, direction)?.ports
    : portsAt(packet, header.protocol, start, header.totalLength, direction);
  if (ports === undefined || ports.peer === 0) return;
  writeU16(packet, ports.peerAt, port);
  correctChecksum(packet, header, ports.peer, port);
}

/** Writes another address of the peer into the packet that an ICMP error quotes; nothing where it quotes another than `from`. */
export function setQuotedPeer(
  packet: Uint8Array,
  header: IpHeader,
  direction: Direction,
  from: PacketAddress,
  to: PacketAddress,
): void {
  const quote = isIcmpError(packet, header) ? quoteIn(packet, header, direction) : undefined;
  if (quote === undefined) return;
  const { family, start, peerAddressAt: at } = quote;
  if (family === 4 && typeof to === 'number' && readU32(packet, at) === from) {
    writeU32(packet, at, to);
    // What this adds to the quoted header, its checksum takes away: the message's own stays.
    const checksumAt = start + ipv4Field.checksum;
    const quoted = adjustChecksum(readU16(packet, checksumAt), sumOfAddress(from), sumOfAddress(to));
    writeU16(packet, checksumAt, quoted);
  } else if (family === 6 && typeof to === 'bigint' && readIpv6Address(packet, at) === from) {
    writeIpv6Address(packet, at, to);
    correctChecksum(packet, header, sumOfAddress(from), sumOfAddress(to));
  }
}

function correctChecksum(packet: Uint8Array, header: IpHeader, before: number, after: number): void {
  const at = upperStart(header) + (checksumField[header.protocol] ?? 0);
  if (header.totalLength < at + 2) return;
  const isUdp = header.protocol === ipProtocol.udp;
  const checksum = readU16(packet, at);
  if (isUdp && checksum === 0) return;
  const corrected = adjustChecksum(checksum, before, after);
  // Zero says "none" in UDP; its other form is all ones (RFC 768).
  writeU16(packet, at, isUdp && corrected === 0 ? 0xffff : corrected);
}

function portsAt(
  packet: Uint8Array,
  protocol: number,
  start: number,
  end: number,
  direction: Direction,
): Ports | undefined {
  if (protocol === ipProtocol.tcp || protocol === ipProtocol.udp) {
    if (end < start + 4) return undefined;
    const [localAt, peerAt] = direction === 'inbound' ? [start + 2, start] : [start, start + 2];
    return { protocol, local: readU16(packet, localAt), peer: readU16(packet, peerAt), peerAt };
  }
  const kind = protocol === ipProtocol.icmp ? icmp[4] : icmp[6];
  if (protocol !== kind.protocol || end < start + icmpField.echoId + 2) return undefined;
  const type = packet[start];
  if (type !== kind.request && type !== kind.reply) return undefined;
  const peerAt = start + icmpField.echoId;
  const id = readU16(packet, peerAt);
  const peerAsked = (type === kind.request) === (direction === 'inbound');
  return peerAsked ? { protocol, local: 0, peer: id, peerAt } : { protocol, local: id, peer: 0, peerAt };
}

function quoteIn(packet: Uint8Array, header: IpHeader, direction: Direction): Quote | undefined {
  const start = upperStart(header) + quoteOffset;
  const end = header.totalLength;
  const went: Direction = direction === 'inbound' ? 'outbound' : 'inbound';
  if (header.family === 4) {
    const headerBytes = ((packet[start] ?? 0) & 0xf) * 4;
    if (headerBytes < ipv4HeaderBytes || end < start + headerBytes) return undefined;
    const isLaterFragment = (readU16(packet, start + ipv4Field.flagsAndOffset) & 0x1fff) !== 0;
    const protocol = packet[start + ipv4Field.protocol] ?? 0;
    const ports = isLaterFragment ? undefined : portsAt(packet, protocol, start + headerBytes, end, went);
    const { source, destination } = ipv4Field;
    return { ports, start, family: 4, peerAddressAt: start + (went === 'outbound' ? destination : source) };
  }
  if (end < start + ipv6HeaderBytes) return undefined;
  // Behind extension headers the ports are not looked for.
  const protocol = packet[start + ipv6Field.nextHeader] ?? 0;
  const ports = portsAt(packet, protocol, start + ipv6HeaderBytes, end, went);
  const { source, destination } = ipv6Field;
  return { ports, start, family: 6, peerAddressAt: start + (went === 'outbound' ? destination : source) };
}
