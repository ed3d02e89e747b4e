import type { IpAddress } from '../../wire/ip/address.js';
import {
  decodeIpv4,
  fillIpv4Checksum,
  ipProtocol,
  ipv4Field,
  ipv4ToNumber,
  readU16,
  writeU16,
  writeU32,
} from '../../wire/ip/packet.js';
import { udpField } from './memory.js';

/** A NAT for `MemoryNetwork.transit`: hides one inside host behind an outside address, UDP only. */
export class MemoryNat {
  readonly #inside: number;
  readonly #outside: number;
  /** Inside port to outside port, in both directions. */
  #outsidePorts = new Map<number, number>();
  #insidePorts = new Map<number, number>();
  #nextPort: number;

  constructor(inside: IpAddress, outside: IpAddress, firstPort = 40_000) {
    this.#inside = ipv4ToNumber(inside);
    this.#outside = ipv4ToNumber(outside);
    this.#nextPort = firstPort;
  }

  /** Forgets all mappings: the next packet from inside comes from another port. */
  rebind(): void {
    this.#outsidePorts = new Map();
    this.#insidePorts = new Map();
  }

  /** The packet as it leaves the NAT: nothing when there is no mapping for it. Other hosts' packets pass unchanged. */
  translate(packet: Uint8Array): Uint8Array[] {
    const header = decodeIpv4(packet);
    const fromInside = header.source === this.#inside;
    if (!fromInside && header.destination !== this.#outside) return [packet];
    if (header.protocol !== ipProtocol.udp) return [];
    const portAt = header.headerBytes + (fromInside ? udpField.sourcePort : udpField.destinationPort);
    const port = readU16(packet, portAt);
    const mapped = fromInside ? this.#mappingOf(port) : this.#insidePorts.get(port);
    if (mapped === undefined) return [];
    const translated = Uint8Array.from(packet);
    writeU16(translated, portAt, mapped);
    if (fromInside) writeU32(translated, ipv4Field.source, this.#outside);
    else writeU32(translated, ipv4Field.destination, this.#inside);
    // The checksum covers the addresses; zero says there is none.
    writeU16(translated, header.headerBytes + udpField.checksum, 0);
    fillIpv4Checksum(translated, 0, header.headerBytes);
    return [translated];
  }

  #mappingOf(insidePort: number): number {
    const known = this.#outsidePorts.get(insidePort);
    if (known !== undefined) return known;
    const port = this.#nextPort++;
    this.#outsidePorts.set(insidePort, port);
    this.#insidePorts.set(port, insidePort);
    return port;
  }
}
