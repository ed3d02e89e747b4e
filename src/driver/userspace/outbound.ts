import type { EspSlot } from '../../crypto/packet-cipher.js';
import { maskMutableIpv4, writeAh } from '../../wire/ah.js';
import { WireError } from '../../wire/bytes.js';
import { espHeaderBytes, writeEspHeader, writeEspTrailer } from '../../wire/esp.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { fragmentIpv4 } from '../../wire/ip/fragment.js';
import { fragmentationNeededMessage } from '../../wire/ip/icmp.js';
import {
  decodeIpv4,
  fillIpv4Checksum,
  type Ipv4Header,
  ipProtocol,
  ipv4Field,
  ipv4FromNumber,
  ipv4HeaderBytes,
  writeIpv4Header,
  writeU16,
} from '../../wire/ip/packet.js';
import { type InstalledPair, udpHeaderBytes } from '../installed-pair.js';
import type { Counters } from './counters.js';
import type { TunDevice, UdpDatagram, WireSockets } from './io.js';
import { PacketArena } from './packet-arena.js';

/** Enough for a vector of 64 full-sized packets, or any one packet. */
const arenaBytes = 512 * 1024;
const tunnelTtl = 64;
/** Every IPv4 host takes packets of this size: a path that claims less is not believed (`esp-ah.md` 6). */
const smallestMtu = 576;
const largestIpPacket = 65_535;

export interface OutboundDependencies {
  readonly tun: Pick<TunDevice, 'write'>;
  readonly sockets: Pick<WireSockets, 'sendIpPackets' | 'sendDatagrams' | 'pathMtu'>;
  readonly counters: Counters;
  /** DF bit of the outer header in tunnel mode. */
  readonly dontFragment: 'copy' | 'set' | 'clear';
  onFailure(error: Error): void;
}

/** A packet laid out in the arena: `start..end` is its ESP, `packetStart..packetEnd` all that is sent. */
interface LaidOutPacket extends EspSlot {
  readonly packetStart: number;
  readonly packetEnd: number;
  readonly headerBytes: number;
}

/**
 * The sending side. Packets are laid out one after the other in one piece of memory: IP header, AH, ESP header, payload,
 * trailer. On `flush` each pair's transforms run over all of its packets at once, and everything goes to the sockets
 * in the order it came.
 */
export class OutboundPath {
  readonly #deps: OutboundDependencies;
  readonly #arena = new PacketArena(arenaBytes);
  /** What the transforms have yet to work on. */
  readonly #laidOut = new Map<InstalledPair, LaidOutPacket[]>();
  #packets: Uint8Array[] = [];
  /** Which of `packets` are too long for their path, and its MTU. */
  readonly #oversized = new Map<Uint8Array, number>();
  #datagrams: UdpDatagram[] = [];
  #identification = 0;

  constructor(dependencies: OutboundDependencies) {
    this.#deps = dependencies;
  }

  /** Sends a packet as it is; it must stay unchanged until `flush`. */
  sendClear(packet: Uint8Array, header: Ipv4Header): void {
    const whole = packet.subarray(0, header.totalLength);
    const mtu = this.#askMtu(ipv4FromNumber(header.destination));
    if (header.totalLength > mtu) {
      if (header.dontFragment) return this.#refuseTooBig(packet, mtu, undefined);
      this.#oversized.set(whole, mtu);
    }
    this.#packets.push(whole);
  }

  /** Lays out a clear packet for a pair. */
  protect(pair: InstalledPair, packet: Uint8Array, header: Ipv4Header, nowMs: number): void {
    const payloadStart = pair.isTunnel ? 0 : header.headerBytes;
    const outerHeaderBytes = pair.isTunnel ? ipv4HeaderBytes : header.headerBytes;
    const length = pair.protectedBytes(outerHeaderBytes, header.totalLength - payloadStart);
    const mtu = this.#pathMtu(pair, nowMs);
    if (length > mtu && this.#cannotBeCut(pair, header)) {
      const innerMtu = pair.innerMtu(mtu);
      if (header.dontFragment) return this.#refuseTooBig(packet, innerMtu, pair);
      for (const piece of fragmentIpv4(packet, innerMtu)) this.protect(pair, piece, decodeIpv4(piece), nowMs);
      return;
    }
    if (length > largestIpPacket) return this.#deps.counters.drop('too-big', pair);
    if (!this.#arena.hasRoom(length)) this.flush();
    if (pair.udpLocal === undefined) this.#layOutIp(pair, packet, header, mtu);
    else this.#layOutUdp(pair, packet, header);
    this.#deps.counters.sent(pair, header.totalLength, nowMs);
  }

  /** Runs the transforms and hands everything over. */
  flush(): void {
    for (const [pair, slots] of this.#laidOut) {
      pair.outboundEsp?.sealer.seal(slots);
      if (pair.outboundAh === undefined) continue;
      for (const { bytes, packetStart, packetEnd, headerBytes } of slots)
        pair.outboundAh.transform.seal(bytes, packetStart, packetEnd, headerBytes);
    }
    this.#laidOut.clear();
    const { sockets } = this.#deps;
    const packets = this.#oversized.size === 0 ? this.#packets : this.#packets.flatMap(p => this.#cut(p));
    const datagrams = this.#datagrams;
    this.#packets = [];
    this.#datagrams = [];
    this.#oversized.clear();
    if (packets.length > 0) this.#send(packets.length, () => sockets.sendIpPackets(packets));
    if (datagrams.length > 0) this.#send(datagrams.length, () => sockets.sendDatagrams(datagrams));
    this.#arena.reset();
  }

  #layOutIp(pair: InstalledPair, packet: Uint8Array, header: Ipv4Header, mtu: number): void {
    const { bytes } = this.#arena;
    const esp = pair.outboundEsp;
    const ah = pair.outboundAh;
    const payloadStart = pair.isTunnel ? 0 : header.headerBytes;
    const headerBytes = pair.isTunnel ? ipv4HeaderBytes : header.headerBytes;
    const length = pair.protectedBytes(headerBytes, header.totalLength - payloadStart);
    if (
      ah !== undefined &&
      headerBytes > ipv4HeaderBytes &&
      !pair.isTunnel &&
      !hasSoundOptions(packet, headerBytes)
    )
      return this.#deps.counters.drop('malformed', pair);
    const packetStart = this.#arena.take(length);
    const packetEnd = packetStart + length;
    const protocol = ah === undefined ? ipProtocol.esp : ipProtocol.ah;
    if (pair.isTunnel) this.#writeTunnelHeader(pair, packetStart, header, length, protocol);
    else this.#writeTransportHeader(packet, packetStart, header, length, protocol);
    const payloadProtocol = pair.isTunnel ? ipProtocol.ipv4 : header.protocol;
    let start = packetStart + headerBytes;
    if (ah !== undefined) {
      start = writeAh(bytes, start, {
        nextHeader: esp === undefined ? payloadProtocol : ipProtocol.esp,
        reserved: 0,
        spi: ah.spi,
        sequence: ++ah.sequence,
        icv: ah.blankIcv,
      });
    }
    if (esp === undefined) bytes.set(packet.subarray(payloadStart, header.totalLength), start);
    else
      this.#layOutEsp(
        pair,
        packet.subarray(payloadStart, header.totalLength),
        payloadProtocol,
        start,
        packetEnd,
      );
    this.#remember(pair, { bytes, start, end: packetEnd, packetStart, packetEnd, headerBytes });
    const whole = bytes.subarray(packetStart, packetEnd);
    if (length > mtu) this.#oversized.set(whole, mtu);
    this.#packets.push(whole);
  }

  /** The kernel writes the IP and UDP headers. */
  #layOutUdp(pair: InstalledPair, packet: Uint8Array, header: Ipv4Header): void {
    const { udpLocal: local, udpPeer: peer } = pair;
    if (local === undefined || peer === undefined) return;
    const { bytes } = this.#arena;
    const payloadStart = pair.isTunnel ? 0 : header.headerBytes;
    const payload = packet.subarray(payloadStart, header.totalLength);
    const length = pair.protectedBytes(0, payload.length) - udpHeaderBytes;
    const start = this.#arena.take(length);
    const end = start + length;
    this.#layOutEsp(pair, payload, pair.isTunnel ? ipProtocol.ipv4 : header.protocol, start, end);
    this.#remember(pair, { bytes, start, end, packetStart: start, packetEnd: end, headerBytes: 0 });
    this.#datagrams.push({ local, peer, payload: bytes.subarray(start, end) });
  }

  #layOutEsp(pair: InstalledPair, payload: Uint8Array, nextHeader: number, start: number, end: number): void {
    const esp = pair.outboundEsp;
    if (esp === undefined) return;
    const { bytes } = this.#arena;
    const payloadStart = start + espHeaderBytes + esp.layout.ivBytes;
    writeEspHeader(bytes, start, esp.spi, ++esp.sequence);
    bytes.set(payload, payloadStart);
    writeEspTrailer(bytes, payloadStart + payload.length, end - esp.layout.icvBytes, nextHeader);
  }

  #writeTunnelHeader(
    pair: InstalledPair,
    start: number,
    inner: Ipv4Header,
    totalLength: number,
    protocol: number,
  ): void {
    const { dontFragment } = this.#deps;
    writeIpv4Header(this.#arena.bytes, start, {
      headerBytes: ipv4HeaderBytes,
      // DSCP is copied, and ECN in the normal mode of RFC 6040 4.1.
      tos: inner.tos,
      totalLength,
      identification: this.#nextIdentification(),
      dontFragment: dontFragment === 'copy' ? inner.dontFragment : dontFragment === 'set',
      moreFragments: false,
      fragmentOffset: 0,
      ttl: tunnelTtl,
      protocol,
      source: pair.local,
      destination: pair.peer,
    });
  }

  /** The packet's own header with its options. A raw socket would replace identification 0, which AH covers. */
  #writeTransportHeader(
    packet: Uint8Array,
    start: number,
    header: Ipv4Header,
    totalLength: number,
    protocol: number,
  ): void {
    const { bytes } = this.#arena;
    bytes.set(packet.subarray(0, header.headerBytes), start);
    bytes[start + ipv4Field.protocol] = protocol;
    writeU16(bytes, start + ipv4Field.totalLength, totalLength);
    if (header.identification === 0)
      writeU16(bytes, start + ipv4Field.identification, this.#nextIdentification());
    fillIpv4Checksum(bytes, start, header.headerBytes);
  }

  #nextIdentification(): number {
    this.#identification = (this.#identification % 0xffff) + 1;
    return this.#identification;
  }

  #remember(pair: InstalledPair, slot: LaidOutPacket): void {
    const slots = this.#laidOut.get(pair);
    if (slots === undefined) this.#laidOut.set(pair, [slot]);
    else slots.push(slot);
  }

  #pathMtu(pair: InstalledPair, nowMs: number): number {
    if (pair.pathMtu.askedAtMs !== nowMs)
      pair.pathMtu = { bytes: this.#askMtu(pair.pair.peer), askedAtMs: nowMs };
    return pair.pathMtu.bytes;
  }

  #askMtu(destination: IpAddress): number {
    return Math.max(smallestMtu, this.#deps.sockets.pathMtu(destination));
  }

  /** Whether the protected packet must go in one piece. The kernel cuts UDP by itself. */
  #cannotBeCut(pair: InstalledPair, header: Ipv4Header): boolean {
    if (!pair.isTunnel || this.#deps.dontFragment === 'copy') return header.dontFragment;
    return this.#deps.dontFragment === 'set';
  }

  #refuseTooBig(packet: Uint8Array, mtu: number, pair: InstalledPair | undefined): void {
    this.#deps.counters.drop('too-big', pair);
    this.#deps.tun.write([fragmentationNeededMessage(packet, mtu)]);
  }

  #cut(packet: Uint8Array): Uint8Array[] {
    const mtu = this.#oversized.get(packet);
    if (mtu === undefined) return [packet];
    try {
      return fragmentIpv4(packet, mtu);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#deps.counters.drop('malformed');
      return [];
    }
  }

  #send(count: number, send: () => number): void {
    let refused = count;
    try {
      refused = send();
    } catch (error) {
      this.#deps.onFailure(error instanceof Error ? error : new Error(String(error)));
    }
    if (refused > 0) this.#deps.counters.drop('send-failed', undefined, refused);
  }
}

function hasSoundOptions(packet: Uint8Array, headerBytes: number): boolean {
  try {
    maskMutableIpv4(Uint8Array.from(packet.subarray(0, headerBytes)), headerBytes);
    return true;
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}
