/** Turns packets that were seen into the blocks of a capture file. No I/O of its own: `write` takes whole blocks. */
import { release } from 'node:os';
import { IkeCommentator } from '../../diag/replay/comments.js';
import type { WatchedPacket } from '../../driver/userspace/packet-watch.js';
import { linkTypes } from '../../wire/captured-packet.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { flowOfPacket, type PacketFlow } from '../../wire/ip/flow-of-packet.js';
import { ipProtocol } from '../../wire/ip/packet.js';
import { rangeContains, type Selector } from '../../wire/ip/selector.js';
import {
  enhancedPacket,
  interfaceDescription,
  interfaceStatistics,
  sectionHeader,
} from '../../wire/pcapng/writer.js';

/** What of all that is seen goes into the file; everything when nothing is said. */
export interface CaptureFilter {
  /** Packets on the wire to and from this address. */
  readonly peer?: IpAddress;
  /**
   * With a peer: the traffic inside that is protected towards it, in either direction; everything when absent. Packets of
   * the peer itself always are taken.
   */
  readonly inner?: readonly Selector[];
  /** Only this device on the wire. Without one, `lo` is left out: everything shows up there twice. */
  readonly device?: string;
}

export type CaptureSide = 'wire' | 'inner';

export interface CapturedInterface {
  readonly name: string;
  readonly side: CaptureSide;
  readonly packets: number;
  /** Packets that came faster than they could be taken. */
  readonly lost: number;
}

interface Interface {
  readonly id: number;
  readonly name: string;
  readonly side: CaptureSide;
  packets: number;
}

const sideNames: Readonly<Record<CaptureSide, string>> = {
  wire: 'on the wire: IKE, ESP and AH',
  inner: 'inside: before encryption and after decryption',
};

/** Pairs of addresses remembered for their later fragments; anyone can send from any address. */
const mostIkePairs = 10_000;

export class CaptureRecorder {
  readonly #write: (block: Uint8Array) => void;
  readonly #filter: CaptureFilter;
  readonly #interfaces = new Map<string, Interface>();
  readonly #commentator = new IkeCommentator();
  readonly #ikePairs = new Set<string>();
  readonly #lost: Record<CaptureSide, number> = { wire: 0, inner: 0 };

  constructor(write: (block: Uint8Array) => void, application: string, filter: CaptureFilter = {}) {
    this.#write = write;
    this.#filter = filter;
    write(sectionHeader({ application, os: `Linux ${release()}` }));
  }

  /** Packets in the file. */
  get packets(): number {
    return [...this.#interfaces.values()].reduce((sum, { packets }) => sum + packets, 0);
  }

  /** Takes a packet, or leaves it out; returns whether it was taken. */
  add(side: CaptureSide, packet: WatchedPacket): boolean {
    const flow = flowOfPacket(packet.bytes);
    if (flow === undefined) return false;
    if (side === 'wire' ? !this.#isWanted(flow, packet) : !this.#isWantedInside(flow)) return false;
    const { bytes, timestampNs, direction } = packet;
    const found = this.#interfaceFor(side, packet.device);
    const isIke = side === 'wire' && flow.protocol === ipProtocol.udp;
    const comments = isIke ? this.#commentator.comment(bytes.slice(), timestampNs) : [];
    this.#write(enhancedPacket({ interfaceId: found.id, timestampNs, bytes, direction, comments }));
    found.packets++;
    return true;
  }

  /** Packets that were lost before they came here. */
  lost(side: CaptureSide, packets: number): void {
    this.#lost[side] += packets;
  }

  /** Writes what became of each interface's packets; nothing may follow. A side's lost packets count at its first. */
  finish(timestampNs: bigint): CapturedInterface[] {
    const lost = { ...this.#lost };
    return [...this.#interfaces.values()].map(({ id, name, side, packets }) => {
      const dropped = lost[side];
      lost[side] = 0;
      this.#write(
        interfaceStatistics({ interfaceId: id, timestampNs, received: packets + dropped, dropped }),
      );
      return { name, side, packets, lost: dropped };
    });
  }

  #interfaceFor(side: CaptureSide, name: string): Interface {
    const key = `${side} ${name}`;
    const known = this.#interfaces.get(key);
    if (known !== undefined) return known;
    const made: Interface = { id: this.#interfaces.size, name, side, packets: 0 };
    this.#interfaces.set(key, made);
    this.#write(interfaceDescription({ name, description: sideNames[side], linkType: linkTypes.RAW }));
    return made;
  }

  #isWanted(flow: PacketFlow, { device, direction }: WatchedPacket): boolean {
    const { peer, device: wanted } = this.#filter;
    if (wanted === undefined ? device === 'lo' : device !== wanted) return false;
    // On the loopback device every packet leaves and arrives.
    if (device === 'lo' && direction === 'outbound') return false;
    if (peer !== undefined && flow.source !== peer && flow.destination !== peer) return false;
    if (flow.protocol !== ipProtocol.udp) return true;
    // Later fragments have no ports: those between two that speak IKE belong to it.
    const pair = `${flow.source} ${flow.destination}`;
    if (flow.laterFragment) return this.#ikePairs.has(pair);
    this.#ikePairs.add(pair);
    const [oldest] = this.#ikePairs;
    if (this.#ikePairs.size > mostIkePairs && oldest !== undefined) this.#ikePairs.delete(oldest);
    return true;
  }

  #isWantedInside({ source, destination, protocol }: PacketFlow): boolean {
    const { peer, inner } = this.#filter;
    if (peer === undefined || inner === undefined || source === peer || destination === peer) return true;
    return inner.some(
      selector =>
        (selector.protocol === 0 || selector.protocol === protocol) &&
        ((rangeContains(selector.source, source) && rangeContains(selector.destination, destination)) ||
          (rangeContains(selector.source, destination) && rangeContains(selector.destination, source))),
    );
  }
}
