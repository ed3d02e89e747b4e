/** Who talks to whom in a packet of either family, also one that a capture has cut off. */
import { addressFromBytes, type IpAddress } from './address.js';
import { ipProtocol, ipv4Field, ipv4HeaderBytes, readU16 } from './packet.js';

export interface PacketFlow {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** Of what the IP headers carry: 6, 17, 50, … */
  readonly protocol: number;
  /** 0 without ports, and in later fragments, which have none. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly laterFragment: boolean;
}

const ipv6HeaderBytes = 40;
/** Extension headers that stand before what an IPv6 packet carries (RFC 8200 4): hop-by-hop, routing, destination. */
const extensionHeaders: readonly number[] = [0, 43, 60];
const fragmentHeader = 44;
const longestChain = 16;

/** The flow of a packet; `undefined` when the addresses and the protocol are not all in these bytes. */
export function flowOfPacket(packet: Uint8Array): PacketFlow | undefined {
  return (packet[0] ?? 0) >>> 4 === 6 ? ipv6Flow(packet) : ipv4Flow(packet);
}

function ipv4Flow(packet: Uint8Array): PacketFlow | undefined {
  const headerBytes = ((packet[ipv4Field.versionAndLength] ?? 0) & 0xf) * 4;
  if (packet.length < ipv4HeaderBytes || headerBytes < ipv4HeaderBytes) return undefined;
  const { source, destination } = ipv4Field;
  return withPorts(packet, {
    source: addressFromBytes(packet.subarray(source, source + 4)),
    destination: addressFromBytes(packet.subarray(destination, destination + 4)),
    protocol: packet[ipv4Field.protocol] ?? 0,
    payload: headerBytes,
    laterFragment: (readU16(packet, ipv4Field.flagsAndOffset) & 0x1fff) !== 0,
  });
}

function ipv6Flow(packet: Uint8Array): PacketFlow | undefined {
  if (packet.length < ipv6HeaderBytes) return undefined;
  let protocol = packet[6] ?? 0;
  let payload = ipv6HeaderBytes;
  let laterFragment = false;
  for (let i = 0; i < longestChain && payload + 8 <= packet.length; i++) {
    if (protocol === fragmentHeader) {
      laterFragment ||= (readU16(packet, payload + 2) & 0xfff8) !== 0;
      protocol = packet[payload] ?? 0;
      payload += 8;
      if (laterFragment) break;
    } else if (extensionHeaders.includes(protocol)) {
      protocol = packet[payload] ?? 0;
      payload += 8 * ((packet[payload + 1] ?? 0) + 1);
    } else break;
  }
  if (protocol === fragmentHeader || extensionHeaders.includes(protocol)) return undefined;
  return withPorts(packet, {
    source: addressFromBytes(packet.subarray(8, 24)),
    destination: addressFromBytes(packet.subarray(24, 40)),
    protocol,
    payload,
    laterFragment,
  });
}

function withPorts(
  packet: Uint8Array,
  { payload, ...flow }: Omit<PacketFlow, 'sourcePort' | 'destinationPort'> & { readonly payload: number },
): PacketFlow | undefined {
  const carriesPorts = flow.protocol === ipProtocol.tcp || flow.protocol === ipProtocol.udp;
  if (!carriesPorts || flow.laterFragment) return { ...flow, sourcePort: 0, destinationPort: 0 };
  if (packet.length < payload + 4) return undefined;
  return { ...flow, sourcePort: readU16(packet, payload), destinationPort: readU16(packet, payload + 2) };
}
