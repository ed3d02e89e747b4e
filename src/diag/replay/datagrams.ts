/** From the packets of a capture to what IPsec said: IKE datagrams, and how much ESP and AH there was. */
import { Reassembler } from '../../driver/userspace/reassembly.js';
import { bytesEqual, WireError } from '../../wire/bytes.js';
import { ipPacketOf } from '../../wire/captured-packet.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { addressOf, decodeIp, isFragmentOfIp, upperStart } from '../../wire/ip/ip.js';
import { ipProtocol, readU16, readU32 } from '../../wire/ip/packet.js';
import { readCapture } from '../../wire/pcap.js';
import type { ProtectedFlow, ReplayEndpoint } from './report.js';
import { undeliveredNote } from './undelivered.js';

/** An IKE message as it crossed the wire; the non-ESP marker is off. */
export interface CapturedDatagram {
  /** Number in the file, from 1. */
  readonly packet: number;
  readonly atSeconds: number;
  readonly source: ReplayEndpoint;
  readonly destination: ReplayEndpoint;
  readonly bytes: Uint8Array;
}

export interface IpsecTraffic {
  readonly datagrams: readonly CapturedDatagram[];
  readonly flows: readonly ProtectedFlow[];
  readonly packets: number;
  readonly startedAtNs?: bigint;
  readonly endsAtSeconds: number;
  readonly notes: readonly string[];
}

const ikePort = 500;
const natPort = 4500;
const udpHeaderBytes = 8;
/** The same datagram on a second interface of one host is no retransmission; it comes soon, among so many others. */
const sameDatagramSeconds = 0.002;
const sameDatagramWithin = 32;
const mostNotes = 100;
/** SPIs told apart; what comes for others is counted. */
const mostFlows = 10_000;

interface Carried {
  readonly family: 4 | 6;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly protocol: number;
  readonly payload: Uint8Array;
}

/** Reads a capture (pcap or pcapng). A damaged file gives what stands before the damage, and a note with its place. */
export function ipsecTraffic(file: Uint8Array): IpsecTraffic {
  const collector = new DatagramCollector();
  try {
    for (const captured of readCapture(file)) {
      const ip = ipPacketOf(captured);
      collector.add(ip, captured.timestampNs, captured.wireBytes > captured.bytes.length, captured.device);
    }
  } catch (error) {
    // Without a single packet it is no capture at all.
    if (!(error instanceof WireError) || collector.packets === 0) throw error;
    collector.note(`the file is damaged behind packet ${collector.packets}: ${error.message}`);
  }
  return collector.result();
}

type Flow = { -readonly [K in keyof ProtectedFlow]: ProtectedFlow[K] };

/** Takes IP packets one after another; keeps views of those that carry IKE. */
export class DatagramCollector {
  packets = 0;
  #datagrams: CapturedDatagram[] = [];
  readonly #flows = new Map<string, Flow>();
  readonly #notes = new Map<string, number>();
  readonly #reassembler = new Reassembler();
  readonly #recent: { readonly datagram: CapturedDatagram; readonly device: string | undefined }[] = [];
  #startedAtNs: bigint | undefined;
  #endsAtSeconds = 0;

  note(text: string): void {
    if (this.#notes.size >= mostNotes && !this.#notes.has(text)) return;
    this.#notes.set(text, (this.#notes.get(text) ?? 0) + 1);
  }

  add(
    ip: Uint8Array | undefined,
    timestampNs: bigint | undefined,
    cut: boolean,
    device: string | undefined,
  ): void {
    this.packets++;
    this.#startedAtNs ??= timestampNs;
    const atSeconds = timestampNs === undefined ? 0 : Number(timestampNs - (this.#startedAtNs ?? 0n)) / 1e9;
    this.#endsAtSeconds = Math.max(this.#endsAtSeconds, atSeconds);
    if (ip === undefined) return;
    let carried: Carried | undefined;
    try {
      carried = this.#carriedBy(ip, atSeconds);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.note(
        cut
          ? 'packets that the capture has cut (capture with a larger snap length)'
          : `unreadable packets: ${error.message}`,
      );
    }
    if (carried !== undefined) this.#take(carried, atSeconds, device);
  }

  /** The IKE datagrams since the last call. */
  takeDatagrams(): readonly CapturedDatagram[] {
    const taken = this.#datagrams;
    this.#datagrams = [];
    return taken;
  }

  result(): IpsecTraffic {
    return {
      datagrams: this.#datagrams,
      flows: [...this.#flows.values()],
      packets: this.packets,
      ...(this.#startedAtNs === undefined ? {} : { startedAtNs: this.#startedAtNs }),
      endsAtSeconds: this.#endsAtSeconds,
      notes: [...this.#notes].map(([text, count]) => (count === 1 ? text : `${count} times: ${text}`)),
    };
  }

  #carriedBy(ip: Uint8Array, atSeconds: number): Carried | undefined {
    const header = decodeIp(ip);
    if (isFragmentOfIp(header)) {
      const whole = this.#reassembler.add(ip, header, atSeconds * 1000);
      this.#reassembler.expire(atSeconds * 1000);
      return whole === undefined ? undefined : this.#carriedBy(whole, atSeconds);
    }
    return {
      family: header.family,
      source: addressOf(header.source),
      destination: addressOf(header.destination),
      protocol: header.protocol,
      payload: ip.subarray(upperStart(header), header.totalLength),
    };
  }

  #take(carried: Carried, atSeconds: number, device: string | undefined): void {
    const { family, source, destination, protocol, payload } = carried;
    if (protocol === (family === 4 ? ipProtocol.icmp : ipProtocol.icmpv6)) {
      const note = undeliveredNote(source, family, payload, port => port === ikePort || port === natPort);
      if (note !== undefined) this.note(note);
      return;
    }
    if (protocol === ipProtocol.esp)
      return this.#count('ESP', readU32(payload, 0), carried, atSeconds, false);
    if (protocol === ipProtocol.ah) return this.#count('AH', readU32(payload, 4), carried, atSeconds, false);
    if (protocol !== ipProtocol.udp || payload.length < udpHeaderBytes) return;
    const [sourcePort, destinationPort] = [readU16(payload, 0), readU16(payload, 2)];
    const data = payload.subarray(udpHeaderBytes);
    const onNatPort = sourcePort === natPort || destinationPort === natPort;
    if (!onNatPort && sourcePort !== ikePort && destinationPort !== ikePort) return;
    // A single byte is a keepalive.
    if (onNatPort && data.length < 4) return;
    if (onNatPort && readU32(data, 0) !== 0)
      return this.#count('ESP', readU32(data, 0), carried, atSeconds, true);
    this.#addDatagram(
      {
        packet: this.packets,
        atSeconds,
        source: { address: source, port: sourcePort },
        destination: { address: destination, port: destinationPort },
        bytes: onNatPort ? data.subarray(4) : data,
      },
      device,
    );
  }

  #addDatagram(datagram: CapturedDatagram, device: string | undefined): void {
    const isTwin = this.#recent.some(
      ({ datagram: { bytes, atSeconds, source }, device: seenOn }) =>
        seenOn !== device &&
        datagram.atSeconds - atSeconds < sameDatagramSeconds &&
        source.address === datagram.source.address &&
        bytesEqual(bytes, datagram.bytes),
    );
    if (isTwin) return;
    this.#datagrams.push(datagram);
    this.#recent.push({ datagram, device });
    if (this.#recent.length > sameDatagramWithin) this.#recent.shift();
  }

  #count(
    protocol: ProtectedFlow['protocol'],
    spi: number,
    { source, destination }: Carried,
    atSeconds: number,
    inUdp: boolean,
  ): void {
    const key = `${protocol} ${spi} ${source} ${destination}`;
    const known = this.#flows.get(key);
    if (known !== undefined) {
      known.packets++;
      known.endsAtSeconds = atSeconds;
    } else if (this.#flows.size >= mostFlows)
      this.note(`a packet of ESP or AH with an SPI after the first ${mostFlows}`);
    else
      this.#flows.set(key, {
        protocol,
        spi: printSpi(spi),
        source,
        destination,
        inUdp,
        packets: 1,
        beginsAtSeconds: atSeconds,
        endsAtSeconds: atSeconds,
      });
  }
}

/** `0x0000abcd`. */
export function printSpi(spi: number): string {
  return `0x${spi.toString(16).padStart(8, '0')}`;
}
