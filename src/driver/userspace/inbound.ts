import { ahLength, decodeAh } from '../../wire/ah.js';
import { WireError } from '../../wire/bytes.js';
import { decodeEspTrailer, espHeaderBytes, espSequence, espSpi, suitsLayout } from '../../wire/esp.js';
import { fragmentIpv6 } from '../../wire/ip/fragment.js';
import {
  addressOf,
  decodeIp,
  type IpHeader,
  isFragmentOfIp,
  orUndefined,
  upperStart,
} from '../../wire/ip/ip.js';
import { smallestIpv6Mtu } from '../../wire/ip/ipv6.js';
import { ipProtocol } from '../../wire/ip/packet.js';
import type { DriverEvent, DropReason, Endpoint, Spi } from '../api.js';
import { openFurtherOn, sequenceHigh } from '../extended-sequence.js';
import type { InboundEsp, InstalledPair } from '../installed-pair.js';
import type { NatClients } from '../nat-client.js';
import { answersToQuoted, type Flow, flowOf, matchesFlow, mirrorFlow } from '../packet-selector.js';
import type { SaDatabase } from '../sa-database.js';
import { truncationNote } from '../truncation.js';
import type { ClientPorts } from './client-ports.js';
import type { Counters } from './counters.js';
import { decapsulatedTos, setTos } from './ecn.js';
import { hostHead, restoredBytes, writeRestored } from './inner-header.js';
import type { TunDevice, UdpDatagram } from './io.js';
import { repairTransportChecksum } from './nat-checksum.js';
import type { Refusal } from './opened-packets.js';
import { PacketArena } from './packet-arena.js';
import { Reassembler } from './reassembly.js';

const arenaBytes = 512 * 1024;
const largestIpPacket = 65_535;
const congestionLost = 'a router marked congestion on a packet whose sender knows no ECN (RFC 6040)';

export interface InboundDependencies {
  readonly tun: Pick<TunDevice, 'write'>;
  readonly database: SaDatabase;
  readonly clients: NatClients;
  readonly clientPorts: ClientPorts;
  readonly counters: Counters;
  emit(event: DriverEvent): void;
  /** What the filters say of a packet that a pair brought, by its flow as it arrived. */
  refusal(pair: InstalledPair, flow: Flow): Refusal | undefined;
  /** Called after each packet that counts towards a pair's lifetime. */
  used(pair: InstalledPair, nowMs: number): void;
  onFailure(error: Error): void;
}

/** How a protected packet came: in an IP packet of its own, or in UDP from an endpoint. */
type Envelope = IpEnvelope | { readonly kind: 'udp'; readonly datagram: UdpDatagram };

interface IpEnvelope {
  readonly kind: 'ip';
  readonly packet: Uint8Array;
  readonly header: IpHeader;
}

/** What is dropped: a packet as it came, and when. */
interface Arrived {
  readonly envelope: Envelope;
  readonly nowMs: number;
}

/** An ESP packet that passed every check that needs no key. */
interface EspArrival {
  readonly packet: Uint8Array;
  readonly envelope: Envelope;
  /** The whole number where the packet tells part of it. */
  readonly sequence: number;
}

/**
 * The receiving side, in the order of `esp-ah.md` 1.2. ESP is collected per pair, and on `flush` each pair's transform
 * opens all of its packets at once; what they held goes to the TUN device as one vector.
 */
export class InboundPath {
  readonly #deps: InboundDependencies;
  readonly #arena = new PacketArena(arenaBytes);
  readonly #arrivals = new Map<InstalledPair, EspArrival[]>();
  readonly #reassembler = new Reassembler((packet, atMs) =>
    this.#deps.counters.drop({ reason: 'fragment', direction: 'inbound', atMs, packet }),
  );
  #delivered: Uint8Array[] = [];
  #fragmented = 1;

  constructor(dependencies: InboundDependencies) {
    this.#deps = dependencies;
  }

  get reassembler(): Reassembler {
    return this.#reassembler;
  }

  /** Takes a whole IP packet of protocol 50 or 51. Throws `WireError` when it is malformed. */
  acceptIp(packet: Uint8Array, nowMs: number): void {
    const header = decodeIp(packet);
    const envelope: IpEnvelope = { kind: 'ip', packet, header };
    const about: Arrived = { envelope, nowMs };
    if (isFragmentOfIp(header)) return this.#drop('fragment', about);
    const body = packet.subarray(upperStart(header), header.totalLength);
    if (header.protocol === ipProtocol.esp) this.#acceptEsp(body, envelope, nowMs);
    else if (header.protocol === ipProtocol.ah) this.#acceptAh(body, envelope, nowMs);
    else this.#drop('malformed', about);
  }

  /** Takes ESP out of UDP. Throws `WireError` when it is malformed. */
  acceptUdp(datagram: UdpDatagram, nowMs: number): void {
    const { payload, local } = datagram;
    const envelope: Envelope = { kind: 'udp', datagram };
    const about: Arrived = { envelope, nowMs };
    if (payload.length > largestIpPacket) return this.#drop('malformed', about);
    const pair = this.#deps.database.byEspSpi(espSpi(payload));
    if (pair === undefined || pair.pair.local !== local.address)
      return this.#unknownSpi('esp', espSpi(payload), about);
    if (pair.udpPeer === undefined) return this.#drop('selector-mismatch', about, pair);
    this.#collect(pair, payload, envelope, nowMs);
  }

  /** Opens what was collected and delivers it. */
  flush(nowMs: number): void {
    const collected = [...this.#arrivals];
    this.#arrivals.clear();
    for (const [pair, arrivals] of collected) this.#open(pair, arrivals, nowMs);
    this.#deliver();
  }

  #acceptEsp(body: Uint8Array, envelope: IpEnvelope, nowMs: number): void {
    const about: Arrived = { envelope, nowMs };
    if (body.length < espHeaderBytes) return this.#drop('malformed', about);
    const pair = this.#deps.database.byEspSpi(espSpi(body));
    if (pair === undefined || pair.local !== envelope.header.destination)
      return this.#unknownSpi('esp', espSpi(body), about);
    // Half of a bundle, not in the UDP that was agreed, or between other hosts: not what this SA is for.
    const isMisplaced =
      pair.inboundAh !== undefined ||
      pair.udpPeer !== undefined ||
      (!pair.isTunnel && pair.peer !== envelope.header.source);
    if (isMisplaced) return this.#drop('selector-mismatch', about, pair);
    this.#collect(pair, body, envelope, nowMs);
  }

  #acceptAh(body: Uint8Array, envelope: IpEnvelope, nowMs: number): void {
    const { packet, header } = envelope;
    const about: Arrived = { envelope, nowMs };
    const ah = decodeAh(body);
    const pair = this.#deps.database.byAhSpi(ah.spi);
    const inbound = pair?.inboundAh;
    if (pair === undefined || inbound === undefined || pair.local !== header.destination)
      return this.#unknownSpi('ah', ah.spi, about);
    if (pair.lifetime.isOver) return this.#drop('expired', about, pair);
    const { transform, window } = inbound;
    const told = window.numberOf(ah.sequence);
    if (!window.check(told)) return this.#drop('replay', about, pair);
    const start = upperStart(header);
    const isGenuine = (number: number) =>
      transform.verify(packet, header.totalLength, start, sequenceHigh(number)) &&
      ah.icv.length >= transform.icvBytes;
    const sequence = isGenuine(told) ? told : window.numbersAfterFailure(told).find(isGenuine);
    if (sequence === undefined)
      return this.#notAuthenticated(pair, about, transform.icvBytes, () =>
        transform.otherIcvBytes(packet, header.totalLength, start, sequenceHigh(told)),
      );
    window.accept(sequence);
    this.#markUsed(pair, nowMs);
    const content = body.subarray(ahLength(ah));
    if (pair.inboundEsp === undefined) return this.#unwrap(pair, ah.nextHeader, content, envelope, nowMs);
    const isOurEsp =
      ah.nextHeader === ipProtocol.esp &&
      content.length >= espHeaderBytes &&
      espSpi(content) === pair.inboundEsp.spi;
    if (!isOurEsp) return this.#drop('selector-mismatch', about, pair);
    this.#collect(pair, content, envelope, nowMs);
  }

  #collect(pair: InstalledPair, packet: Uint8Array, envelope: Envelope, nowMs: number): void {
    const { inboundEsp } = pair;
    const about: Arrived = { envelope, nowMs };
    if (inboundEsp === undefined) return;
    if (pair.lifetime.isOver) return this.#drop('expired', about, pair);
    const { layout, opener, window } = inboundEsp;
    const sequence = window.numberOf(espSequence(packet));
    if (!suitsLayout(packet, layout)) {
      const other = () => opener.otherIcvBytes(packet, sequenceHigh(sequence));
      const note = truncationNote(pair, layout.icvBytes, other);
      return this.#drop(note === undefined ? 'malformed' : 'not-authenticated', about, pair, { note });
    }
    if (!window.check(sequence)) return this.#drop('replay', about, pair);
    const arrivals = this.#arrivals.get(pair);
    if (arrivals === undefined) this.#arrivals.set(pair, [{ packet, envelope, sequence }]);
    else arrivals.push({ packet, envelope, sequence });
  }

  #open(pair: InstalledPair, arrivals: readonly EspArrival[], nowMs: number): void {
    const esp = pair.inboundEsp;
    if (esp === undefined) return;
    const opened = esp.opener.open(
      arrivals.map(({ packet }) => packet),
      arrivals.map(({ sequence }) => sequenceHigh(sequence)),
    );
    const take = (arrival: EspArrival, plaintext: Uint8Array) => {
      if (this.#recordGenuine(pair, esp, arrival, nowMs))
        this.#openTrailerSafely(pair, plaintext, arrival.envelope, nowMs);
    };
    for (const [i, arrival] of arrivals.entries()) {
      const { packet, envelope, sequence } = arrival;
      const plaintext = opened[i];
      const found = plaintext === undefined ? openFurtherOn(esp, packet, sequence) : undefined;
      if (plaintext !== undefined) take(arrival, plaintext);
      else if (found !== undefined) take({ ...arrival, sequence: found.sequence }, found.plaintext);
      else
        this.#notAuthenticated(pair, { envelope, nowMs }, esp.layout.icvBytes, () =>
          esp.opener.otherIcvBytes(packet, sequenceHigh(sequence)),
        );
    }
  }

  /** Whatever a peer put into it, the other packets of the vector come in. */
  #openTrailerSafely(pair: InstalledPair, plaintext: Uint8Array, envelope: Envelope, nowMs: number): void {
    try {
      this.#openTrailer(pair, plaintext, envelope, nowMs);
    } catch (error) {
      const note = error instanceof WireError ? error.message : undefined;
      this.#drop('malformed', { envelope, nowMs }, pair, { note });
      if (note === undefined) this.#deps.onFailure(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** False for the second of two equal packets in one vector. */
  #recordGenuine(
    pair: InstalledPair,
    esp: InboundEsp,
    { envelope, sequence }: EspArrival,
    nowMs: number,
  ): boolean {
    if (!esp.window.check(sequence)) {
      this.#drop('replay', { envelope, nowMs }, pair);
      return false;
    }
    // Without integrity it may be anybody's number.
    if (!esp.authenticated) return true;
    const newest = esp.window.accept(sequence);
    this.#markUsed(pair, nowMs);
    if (newest && envelope.kind === 'udp') this.#followPeer(pair, envelope.datagram.peer);
    return true;
  }

  #openTrailer(pair: InstalledPair, plaintext: Uint8Array, envelope: Envelope, nowMs: number): void {
    const trailer = orUndefined(() => decodeEspTrailer(plaintext));
    if (trailer === undefined) return this.#drop('not-decrypted', { envelope, nowMs }, pair);
    // A dummy packet hides how much traffic there is (RFC 4303 2.6).
    if (trailer.nextHeader === ipProtocol.noNextHeader) return this.#deps.counters.received(pair, 0);
    this.#unwrap(pair, trailer.nextHeader, plaintext.subarray(0, trailer.payloadBytes), envelope, nowMs);
  }

  #unwrap(
    pair: InstalledPair,
    nextHeader: number,
    payload: Uint8Array,
    envelope: Envelope,
    nowMs: number,
  ): void {
    if (!pair.isTunnel) return this.#unwrapTransport(pair, nextHeader, payload, envelope, nowMs);
    if (nextHeader !== (pair.selector.family === 4 ? ipProtocol.ipv4 : ipProtocol.ipv6))
      return this.#drop('selector-mismatch', { envelope, nowMs }, pair);
    this.#unwrapTunnel(pair, payload, envelope, nowMs);
  }

  /** The inner total length decides: what is behind it is traffic flow padding. */
  #unwrapTunnel(pair: InstalledPair, payload: Uint8Array, envelope: Envelope, nowMs: number): void {
    const about: Arrived = { envelope, nowMs };
    let packet = payload;
    let header = orUndefined(() => decodeIp(payload));
    if (header === undefined) return this.#drop('malformed', about, pair);
    const { selector } = pair;
    const hasPorts = selector.sourcePort !== 0 || selector.destinationPort !== 0;
    // A later IPv6 fragment need not tell the protocol either.
    const needsWhole = hasPorts || (selector.family === 6 && selector.protocol !== 0);
    const wasCut = isFragmentOfIp(header);
    if (wasCut && needsWhole) {
      const whole = this.#reassembler.add(packet, header, nowMs, pair.pair.id);
      if (whole === undefined) return;
      packet = whole;
      header = orUndefined(() => decodeIp(whole));
      if (header === undefined) return this.#drop('malformed', about, pair);
    }
    const flow = flowOf(packet, header);
    const isOwn = matchesFlow(selector, mirrorFlow(flow));
    // A router tells of our packets from an address of its own.
    const answers = isOwn ? undefined : answersToQuoted(packet, header);
    if (!isOwn && (answers === undefined || !matchesFlow(selector, mirrorFlow(answers))))
      return this.#drop('selector-mismatch', about, pair, { inner: packet });
    const refusal =
      this.#deps.refusal(pair, flow) ??
      (answers === undefined ? undefined : this.#deps.refusal(pair, answers));
    if (refusal !== undefined) return this.#refuse(refusal, about, pair, packet);
    const tos = envelope.kind === 'ip' ? decapsulatedTos(envelope.header.tos, header.tos) : header.tos;
    if (tos === undefined)
      return this.#drop('malformed', about, pair, { inner: packet, note: congestionLost });
    let whole = packet.subarray(0, header.totalLength);
    if (tos !== header.tos) {
      whole = Uint8Array.from(whole);
      setTos(whole, header, tos);
    }
    this.#take(pair, whole, nowMs, wasCut && needsWhole && header.family === 6);
  }

  /** Puts the IP header back on. In UDP the peer keeps the address it was negotiated with, wherever it moved. */
  #unwrapTransport(
    pair: InstalledPair,
    protocol: number,
    payload: Uint8Array,
    envelope: Envelope,
    nowMs: number,
  ): void {
    const about: Arrived = { envelope, nowMs };
    const outer = envelope.kind === 'ip' ? envelope : hostHead(pair);
    const length = restoredBytes(outer, payload.length);
    if (length > largestIpPacket) return this.#drop('malformed', about, pair);
    if (!this.#arena.hasRoom(length)) this.#deliver();
    const start = this.#arena.take(length);
    const packet = this.#arena.bytes.subarray(start, start + length);
    writeRestored(packet, outer, protocol, payload);
    const header = orUndefined(() => decodeIp(packet));
    if (header === undefined) return this.#drop('malformed', about, pair);
    // Transport mode protects whole packets (RFC 4303 3.3.4).
    if (isFragmentOfIp(header)) return this.#drop('fragment', about, pair, { inner: packet });
    const arrived = flowOf(packet, header);
    const flow = mirrorFlow(arrived);
    if (!matchesFlow(pair.selector, flow))
      return this.#drop('selector-mismatch', about, pair, { inner: packet });
    const refusal = this.#deps.refusal(pair, arrived);
    if (refusal !== undefined) return this.#refuse(refusal, about, pair, packet);
    if (envelope.kind === 'udp') {
      repairTransportChecksum(packet, header, pair.pair.natOriginal);
      const admission = this.#deps.clientPorts.receive(pair, packet, header, flow, nowMs);
      if (admission === 'held') return this.#count(pair, packet, nowMs);
      if (admission !== 'deliver')
        return this.#drop('selector-mismatch', about, pair, { inner: packet, note: admission.refused });
    }
    this.#take(pair, packet, nowMs);
  }

  /** An IPv6 packet that came in pieces is handed over in pieces: no router may cut it again. */
  #take(pair: InstalledPair, packet: Uint8Array, nowMs: number, inPieces = false): void {
    if (inPieces) this.#delivered.push(...fragmentIpv6(packet, smallestIpv6Mtu, this.#fragmented++));
    else this.#delivered.push(packet);
    this.#count(pair, packet, nowMs);
  }

  #count(pair: InstalledPair, packet: Uint8Array, nowMs: number): void {
    if (pair.inboundEsp?.authenticated === false) this.#markUsed(pair, nowMs);
    this.#deps.counters.received(pair, packet.length);
    this.#deps.used(pair, nowMs);
  }

  #markUsed(pair: InstalledPair, nowMs: number): void {
    const first = pair.lastInboundAtMs === undefined;
    pair.lastInboundAtMs = nowMs;
    if (first) this.#deps.emit({ kind: 'inboundUsed', pairId: pair.pair.id });
  }

  #followPeer(pair: InstalledPair, peer: Endpoint): void {
    const known = pair.udpPeer;
    if (known === undefined || (known.port === peer.port && known.address === peer.address)) return;
    pair.udpPeer = { address: peer.address, port: peer.port };
    if (pair.client !== undefined) this.#deps.clients.moved(pair.client, pair.peer, pair.udpPeer);
    this.#deps.emit({ kind: 'peerMoved', pairId: pair.pair.id, peer: pair.udpPeer });
  }

  #notAuthenticated(
    pair: InstalledPair,
    about: Arrived,
    icvBytes: number,
    otherIcvBytes: () => number | undefined,
  ): void {
    this.#drop('not-authenticated', about, pair, { note: truncationNote(pair, icvBytes, otherIcvBytes) });
  }

  #refuse({ reason, note }: Refusal, about: Arrived, pair: InstalledPair, inner: Uint8Array): void {
    this.#drop(reason, about, pair, { inner, note });
  }

  #unknownSpi(protocol: 'esp' | 'ah', spi: number, about: Arrived): void {
    this.#drop('bad-spi', about);
    this.#deps.emit({ kind: 'unknownSpi', protocol, spi: spi as Spi, ...endsOf(about.envelope) });
  }

  #drop(
    reason: DropReason,
    { envelope, nowMs }: Arrived,
    pair?: InstalledPair,
    more: { readonly inner?: Uint8Array; readonly note?: string | undefined } = {},
  ): void {
    const packet = envelope.kind === 'ip' ? envelope.packet : envelope.datagram;
    this.#deps.counters.drop({ reason, direction: 'inbound', atMs: nowMs, packet, pair, ...more });
  }

  #deliver(): void {
    const packets = this.#delivered;
    this.#delivered = [];
    try {
      if (packets.length > 0) this.#deps.tun.write(packets);
    } catch (error) {
      this.#deps.onFailure(error instanceof Error ? error : new Error(String(error)));
    }
    this.#arena.reset();
  }
}

/** Where IKE about a packet goes. */
function endsOf(envelope: Envelope): { local: Endpoint; peer: Endpoint } {
  if (envelope.kind === 'udp') return { local: envelope.datagram.local, peer: envelope.datagram.peer };
  const at = (address: IpHeader['source']) => ({ address: addressOf(address), port: 500 });
  return { local: at(envelope.header.destination), peer: at(envelope.header.source) };
}
