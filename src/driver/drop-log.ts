import { decodeAh } from '../wire/ah.js';
import { espHeaderBytes, espSequence, espSpi } from '../wire/esp.js';
import {
  addressOf,
  decodeIp,
  type IpHeader,
  isFragmentOfIp,
  orUndefined,
  portsOf,
  upperStart,
} from '../wire/ip/ip.js';
import { ipProtocol } from '../wire/ip/packet.js';
import type { DropHistory, DropReason, DropRecord, PacketSummary } from './api.js';
import type { InstalledPair } from './installed-pair.js';
import type { UdpDatagram } from './userspace/io.js';

/** Records kept: enough to see what is going on, little enough for any host. */
const keptRecords = 256;

/** Packets that are dropped, as the place that drops them knows them. */
export interface DroppedPackets {
  readonly reason: DropReason;
  readonly direction: DropRecord['direction'];
  readonly atMs: number;
  /** One of them: a whole IP packet, its header, or a datagram of the IKE ports. */
  readonly packet?: Uint8Array | IpHeader | UdpDatagram | undefined;
  /** The IP packet found in it, in a tunnel or with its header put back on. */
  readonly inner?: Uint8Array | undefined;
  readonly pair?: InstalledPair | undefined;
  readonly note?: string | undefined;
  /** 1 when absent. */
  readonly packets?: number;
}

/** The newest dropped packets, in bounded memory: headers as numbers and addresses, no payload. */
export class DropLog {
  readonly #ring: DropRecord[] = [];
  readonly #lastByReason = new Map<DropReason, DropRecord>();
  #number = 0;
  /** Where in the ring the next record goes. */
  #next = 0;

  add({ reason, direction, atMs, packet, inner, pair, note, packets = 1 }: DroppedPackets): DropRecord {
    this.#number += packets;
    const outer = packet && summaryOf(packet);
    const inside = inner && summaryOfPacket(inner);
    const record: DropRecord = {
      number: this.#number,
      packets,
      reason,
      atMs,
      direction,
      ...(pair === undefined ? {} : { pairId: pair.pair.id }),
      ...(outer === undefined ? {} : { packet: outer }),
      ...(inside === undefined ? {} : { inner: inside }),
      ...(note === undefined ? {} : { note }),
    };
    this.#ring[this.#next] = record;
    this.#next = (this.#next + 1) % keptRecords;
    this.#lastByReason.set(reason, record);
    return record;
  }

  /** Counts dropped packets that are not told of. */
  pass(packets: number): void {
    this.#number += packets;
  }

  history(): Pick<DropHistory, 'recent' | 'lastByReason'> {
    return {
      recent: [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)],
      lastByReason: Object.fromEntries(this.#lastByReason),
    };
  }
}

function summaryOf(packet: Uint8Array | IpHeader | UdpDatagram): PacketSummary | undefined {
  if (packet instanceof Uint8Array) return summaryOfPacket(packet);
  return 'family' in packet ? summaryOfHeader(packet) : summaryOfDatagram(packet);
}

/** `undefined` when the headers cannot be read. */
function summaryOfPacket(packet: Uint8Array): PacketSummary | undefined {
  const header = orUndefined(() => decodeIp(packet));
  return header && { ...summaryOfHeader(header), ...upperSummary(packet, header) };
}

function summaryOfHeader(header: IpHeader): PacketSummary {
  const { protocol, totalLength: bytes } = header;
  return { source: addressOf(header.source), destination: addressOf(header.destination), protocol, bytes };
}

function upperSummary(packet: Uint8Array, header: IpHeader): Partial<PacketSummary> {
  const { protocol } = header;
  const upper = packet.subarray(upperStart(header), header.totalLength);
  if (protocol === ipProtocol.tcp || protocol === ipProtocol.udp) {
    const { source: sourcePort, destination: destinationPort } = portsOf(packet, header);
    return sourcePort === 0 && destinationPort === 0 ? {} : { sourcePort, destinationPort };
  }
  if (isFragmentOfIp(header)) return {};
  if (protocol === ipProtocol.esp) return espSummary(upper);
  if (protocol !== ipProtocol.ah) return {};
  const ah = orUndefined(() => decodeAh(upper));
  return ah === undefined ? {} : { spi: ah.spi, sequence: ah.sequence };
}

function summaryOfDatagram({ local, peer, payload }: UdpDatagram): PacketSummary {
  return {
    source: peer.address,
    destination: local.address,
    protocol: ipProtocol.udp,
    sourcePort: peer.port,
    destinationPort: local.port,
    ...espSummary(payload),
    bytes: payload.length,
  };
}

/** Nothing for what is too short, and for the marker of IKE where the SPI would be. */
function espSummary(esp: Uint8Array): Partial<PacketSummary> {
  if (esp.length < espHeaderBytes || espSpi(esp) === 0) return {};
  return { spi: espSpi(esp), sequence: espSequence(esp) };
}
