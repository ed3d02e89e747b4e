import type { EspSlot } from '../../crypto/packet-cipher.js';
import type { RandomPool } from '../../crypto/random-pool.js';
import { writeAh } from '../../wire/ah.js';
import { WireError } from '../../wire/bytes.js';
import { espHeaderBytes, writeEspHeader, writeEspTrailer } from '../../wire/esp.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { fragmentIpv4, fragmentIpv6 } from '../../wire/ip/fragment.js';
import { fragmentationNeededMessage, packetTooBigMessage } from '../../wire/ip/icmp.js';
import { addressOf, type IpHeader } from '../../wire/ip/ip.js';
import { smallestIpv6Mtu } from '../../wire/ip/ipv6.js';
import { decodeIpv4, ipProtocol } from '../../wire/ip/packet.js';
import type { DropReason } from '../api.js';
import { sequenceHigh } from '../extended-sequence.js';
import { type InstalledPair, udpHeaderBytes } from '../installed-pair.js';
import type { Counters } from './counters.js';
import type { TunDevice, UdpDatagram, WireSockets } from './io.js';
import { hasSoundOptions, writeTransportHeader, writeTunnelHeader } from './outer-header.js';
import { PacketArena } from './packet-arena.js';
import { smallestMtu } from './path-mtu.js';

/** Enough for a vector of 64 full-sized packets, or any one packet. */
const arenaBytes = 512 * 1024;
const largestIpPacket = 65_535;

export interface OutboundDependencies {
  readonly tun: Pick<TunDevice, 'write'>;
  readonly sockets: Pick<WireSockets, 'sendIpPackets' | 'sendDatagrams' | 'pathMtu'>;
  readonly counters: Counters;
  readonly random: RandomPool;
  /** DF bit of the outer header in tunnel mode. */
  readonly dontFragment: 'copy' | 'set' | 'clear';
  onFailure(error: Error): void;
}

/** A packet laid out in the arena: `start..end` is its ESP, `packetStart..packetEnd` all that is sent. */
interface LaidOutPacket extends EspSlot {
  readonly packetStart: number;
  readonly packetEnd: number;
  readonly headerBytes: number;
  /** As `sequenceHigh`, of AH. */
  readonly ahSequenceHigh: number;
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
  sendClear(packet: Uint8Array, header: IpHeader, nowMs: number): void {
    const whole = packet.subarray(0, header.totalLength);
    const mtu = this.#askMtu(addressOf(header.destination));
    if (header.totalLength > mtu) {
      if (!mayBeCut(header, mtu)) return this.#refuseTooBig(packet, header, mtu, nowMs);
      this.#oversized.set(whole, mtu);
    }
    this.#packets.push(whole);
  }

  /** Lays out a clear packet for a pair. `original`: as this host sent it. */
  protect(pair: InstalledPair, packet: Uint8Array, header: IpHeader, nowMs: number, original = packet): void {
    const payloadStart = pair.isTunnel ? 0 : header.headerBytes;
    const outerHeaderBytes = pair.isTunnel ? pair.outerHeaderBytes : header.headerBytes;
    const length = pair.protectedBytes(outerHeaderBytes, header.totalLength - payloadStart);
    const mtu = this.#pathMtu(pair, nowMs);
    if (length > mtu && this.#cannotBeCut(pair, header, mtu)) {
      const innerMtu = pair.innerMtu(mtu);
      if (header.dontFragment) return this.#refuseTooBig(original, header, innerMtu, nowMs, pair);
      for (const piece of fragmentIpv4(packet, innerMtu)) this.protect(pair, piece, decodeIpv4(piece), nowMs);
      return;
    }
    if (length > largestIpPacket) return this.#drop('too-big', nowMs, packet, pair);
    if (!this.#arena.hasRoom(length)) this.flush(nowMs);
    if (pair.udpLocal === undefined) this.#layOutIp(pair, packet, header, mtu, nowMs);
    else this.#layOutUdp(pair, packet, header);
    this.#deps.counters.sent(pair, header.totalLength, nowMs);
  }

  /** Runs the transforms and hands everything over. */
  flush(nowMs: number): void {
    for (const [pair, slots] of this.#laidOut) {
      pair.outboundEsp?.sealer.seal(slots);
      if (pair.outboundAh === undefined) continue;
      for (const { bytes, packetStart, packetEnd, headerBytes, ahSequenceHigh } of slots)
        pair.outboundAh.transform.seal(bytes, packetStart, packetEnd, headerBytes, ahSequenceHigh);
    }
    this.#laidOut.clear();
    const { sockets } = this.#deps;
    const packets =
      this.#oversized.size === 0 ? this.#packets : this.#packets.flatMap(p => this.#cut(p, nowMs));
    const datagrams = this.#datagrams;
    this.#packets = [];
    this.#datagrams = [];
    this.#oversized.clear();
    if (packets.length > 0) this.#send(packets, nowMs, () => sockets.sendIpPackets(packets));
    if (datagrams.length > 0) this.#send(datagrams, nowMs, () => sockets.sendDatagrams(datagrams));
    this.#arena.reset();
  }

  #layOutIp(pair: InstalledPair, packet: Uint8Array, header: IpHeader, mtu: number, nowMs: number): void {
    const { bytes } = this.#arena;
    const esp = pair.outboundEsp;
    const ah = pair.outboundAh;
    const payloadStart = pair.isTunnel ? 0 : header.headerBytes;
    const headerBytes = pair.isTunnel ? pair.outerHeaderBytes : header.headerBytes;
    const length = pair.protectedBytes(headerBytes, header.totalLength - payloadStart);
    if (
      ah !== undefined &&
      headerBytes > pair.outerHeaderBytes &&
      !pair.isTunnel &&
      !hasSoundOptions(packet, header)
    )
      return this.#drop('malformed', nowMs, packet, pair);
    const packetStart = this.#arena.take(length);
    const packetEnd = packetStart + length;
    const protocol = ah === undefined ? ipProtocol.esp : ipProtocol.ah;
    this.#writeHeader(pair, packet, header, packetStart, length, protocol);
    const payloadProtocol = carriedProtocol(pair, header);
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
    this.#remember(pair, {
      bytes,
      start,
      end: packetEnd,
      packetStart,
      packetEnd,
      headerBytes,
      sequenceHigh: sequenceHigh(esp?.sequence ?? 0),
      ahSequenceHigh: sequenceHigh(ah?.sequence ?? 0),
    });
    const whole = bytes.subarray(packetStart, packetEnd);
    if (length > mtu) this.#oversized.set(whole, mtu);
    this.#packets.push(whole);
  }

  /** The kernel writes the IP and UDP headers. */
  #layOutUdp(pair: InstalledPair, packet: Uint8Array, header: IpHeader): void {
    const { udpLocal: local, udpPeer: peer } = pair;
    if (local === undefined || peer === undefined) return;
    const { bytes } = this.#arena;
    const payloadStart = pair.isTunnel ? 0 : header.headerBytes;
    const payload = packet.subarray(payloadStart, header.totalLength);
    const length = pair.protectedBytes(0, payload.length) - udpHeaderBytes;
    const start = this.#arena.take(length);
    const end = start + length;
    this.#layOutEsp(pair, payload, carriedProtocol(pair, header), start, end);
    this.#remember(pair, {
      bytes,
      start,
      end,
      packetStart: start,
      packetEnd: end,
      headerBytes: 0,
      sequenceHigh: sequenceHigh(pair.outboundEsp?.sequence ?? 0),
      ahSequenceHigh: 0,
    });
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

  #writeHeader(
    pair: InstalledPair,
    packet: Uint8Array,
    header: IpHeader,
    start: number,
    totalLength: number,
    protocol: number,
  ): void {
    const { bytes } = this.#arena;
    const identification = this.#nextIdentification();
    if (!pair.isTunnel)
      return writeTransportHeader(bytes, start, packet, header, { totalLength, protocol, identification });
    const { dontFragment } = this.#deps;
    writeTunnelHeader(bytes, start, pair, header, {
      totalLength,
      protocol,
      identification,
      dontFragment: dontFragment === 'copy' ? header.dontFragment : dontFragment === 'set',
    });
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
    return Math.max(smallestMtu(destination), this.#deps.sockets.pathMtu(destination));
  }

  /** Whether the protected packet must go in one piece. The kernel cuts UDP by itself. */
  #cannotBeCut(pair: InstalledPair, header: IpHeader, mtu: number): boolean {
    if (header.family === 6) return !mayBeCut(header, mtu);
    if (!pair.isTunnel || this.#deps.dontFragment === 'copy') return header.dontFragment;
    return this.#deps.dontFragment === 'set';
  }

  #refuseTooBig(
    packet: Uint8Array,
    { family }: IpHeader,
    mtu: number,
    nowMs: number,
    pair?: InstalledPair,
  ): void {
    const note = `the sender was told to send at most ${mtu} bytes`;
    this.#drop('too-big', nowMs, packet, pair, note);
    const message =
      family === 4
        ? fragmentationNeededMessage(packet, mtu)
        : packetTooBigMessage(packet, Math.max(smallestIpv6Mtu, mtu));
    this.#deps.tun.write([message]);
  }

  #cut(packet: Uint8Array, nowMs: number): Uint8Array[] {
    const mtu = this.#oversized.get(packet);
    if (mtu === undefined) return [packet];
    try {
      if ((packet[0] ?? 0) >>> 4 === 4) return fragmentIpv4(packet, mtu);
      return fragmentIpv6(packet, mtu, this.#deps.random.u32());
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#drop('malformed', nowMs, packet);
      return [];
    }
  }

  #send(vector: readonly (Uint8Array | UdpDatagram)[], nowMs: number, send: () => number): void {
    let refused = vector.length;
    try {
      refused = send();
    } catch (error) {
      this.#deps.onFailure(error instanceof Error ? error : new Error(String(error)));
    }
    this.#deps.counters.drop({
      reason: 'send-failed',
      direction: 'outbound',
      atMs: nowMs,
      // Which of several it was, the kernel does not say.
      packet: vector.length === 1 ? vector[0] && sentAs(vector[0]) : undefined,
      packets: refused,
    });
  }

  #drop(reason: DropReason, atMs: number, packet: Uint8Array, pair?: InstalledPair, note?: string): void {
    this.#deps.counters.drop({ reason, direction: 'outbound', atMs, packet, pair, note });
  }
}

/** A datagram as it looks on its way: from us to the peer. */
function sentAs(sent: Uint8Array | UdpDatagram): Uint8Array | UdpDatagram {
  return sent instanceof Uint8Array ? sent : { ...sent, local: sent.peer, peer: sent.local };
}

/**
 * Whether a packet may travel in pieces. IPv6 packets are cut by their sender only, and less than 1280 bytes cannot be asked
 * of it (RFC 2473 7.1). A datagram longer than the path even in clear is one that this host's kernel would have cut, had our
 * device not taken it whole: we stand in for it.
 */
function mayBeCut(header: IpHeader, mtu: number): boolean {
  if (header.family === 4 || !header.dontFragment) return !header.dontFragment;
  const { totalLength, protocol } = header;
  return totalLength <= smallestIpv6Mtu || (totalLength > mtu && protocol !== ipProtocol.tcp);
}

/** What ESP or AH says that it carries. */
function carriedProtocol(pair: InstalledPair, header: IpHeader): number {
  if (pair.isTunnel) return header.family === 4 ? ipProtocol.ipv4 : ipProtocol.ipv6;
  return header.family === 4 ? header.protocol : header.nextHeader;
}
