import { addressBytes, addressFamily, addressFromBytes, type IpAddress } from '../../wire/ip/address.js';
import { type QuotedSa, quotedSa, readPacketTooBig } from '../../wire/ip/icmp.js';
import { isFragmentationNeeded, readUndelivered } from '../../wire/ip/icmp-errors.js';
import { ipProtocol } from '../../wire/ip/packet.js';
import { wordsOf } from './address-words.js';
import { BatchReader } from './batch-reader.js';
import type { UdpDatagram, UndeliveredDatagram } from './io.js';
import { endsStride, type NativeIo, readerKinds } from './native.js';
import { PathMtuCache } from './path-mtu.js';

/** Opened descriptors of one address family; nothing is read yet. */
export interface OpenedSockets {
  readonly family: 4 | 6;
  readonly udp: readonly { readonly port: number; readonly fd: number }[];
  readonly raw: readonly { readonly name: string; readonly protocol: number; readonly fd: number }[];
  /** ICMPv6 "packet too big"; in IPv4 the raw sockets tell. */
  readonly tooBig?: number;
  readonly sender: number;
}

/** What sockets tell. */
export interface SocketEvents {
  onIpPackets(packets: readonly Uint8Array[]): void;
  onDatagrams(datagrams: readonly UdpDatagram[]): void;
  onUndelivered(undelivered: UndeliveredDatagram): void;
  /** Whether an SA sends to that address: what is said of its packets' length is believed. */
  sendsWith(sa: QuotedSa, destination: IpAddress): boolean;
  /** A descriptor is of no use any more. */
  onLost(what: string, code: string): void;
}

/** The sockets of one address family, being read. */
export class FamilySockets {
  readonly family: 4 | 6;
  readonly #native: NativeIo;
  readonly #mark: number;
  readonly #sender: number;
  readonly #udp: ReadonlyMap<number, number>;
  readonly #readers: readonly BatchReader[];
  readonly #pathMtus = new PathMtuCache(destination => this.#route(destination)?.[0] ?? 1500);
  #closed = false;

  /** Takes over the descriptors. `natTraversalPort` is the one whose datagrams carry ESP. */
  constructor(
    native: NativeIo,
    opened: OpenedSockets,
    options: { readonly mark: number; readonly natTraversalPort: number },
    events: SocketEvents,
  ) {
    const { family } = opened;
    const { natTraversalPort } = options;
    this.family = family;
    this.#native = native;
    this.#mark = options.mark;
    this.#sender = opened.sender;
    this.#udp = new Map(opened.udp.map(({ port, fd }) => [port, fd]));
    const [rawKind, udpKind] =
      family === 4 ? [readerKinds.raw, readerKinds.udp] : [readerKinds.raw6, readerKinds.udp6];
    const raw = opened.raw.map(
      ({ name, protocol, fd }) =>
        new BatchReader(native, fd, rawKind, {
          onPackets: (batch, count) => events.onIpPackets(batch.packets(count)),
          onFailure: code => events.onLost(`the raw ${name} socket`, code),
          onIcmpError: (batch, type, code, info) => {
            if (!isFragmentationNeeded({ family, type, code })) return;
            const { destination, quoted } = batch.icmpError(family);
            const sa = quotedSa(protocol, quoted, natTraversalPort);
            if (sa !== undefined && events.sendsWith(sa, destination.address))
              this.#learn(destination.address, info);
          },
        }),
    );
    const udp = opened.udp.map(
      ({ port, fd }) =>
        new BatchReader(native, fd, udpKind, {
          onPackets: (batch, count) => events.onDatagrams(datagramsOf(batch, count, port, family)),
          onFailure: code => events.onLost(`UDP port ${port}`, code),
          onIcmpError: (batch, type, code) => {
            const reason = readUndelivered({ family, type, code });
            if (reason === undefined) return;
            const { destination: peer, reporter } = batch.icmpError(family);
            events.onUndelivered({ peer, reporter, reason });
          },
        }),
    );
    this.#readers = [...raw, ...udp];
    if (opened.tooBig === undefined) return;
    const tooBig = new BatchReader(native, opened.tooBig, rawKind, {
      onPackets: (batch, count) => {
        for (const packet of batch.packets(count)) {
          const news = readPacketTooBig(packet, natTraversalPort);
          if (news !== undefined && events.sendsWith(news.sa, news.destination))
            this.#learn(news.destination, news.mtuBytes);
        }
      },
      onFailure: code => events.onLost('the ICMPv6 socket', code),
    });
    this.#readers = [...this.#readers, tooBig];
  }

  /** Returns how many the kernel refused. */
  sendIpPackets(packets: readonly Uint8Array[]): number {
    return this.#closed ? packets.length : this.#native.sendRaw(this.#sender, packets);
  }

  /** Sends datagrams between addresses of this family; returns how many were refused, here or by the kernel. */
  sendDatagrams(datagrams: readonly UdpDatagram[]): number {
    if (this.#closed) return datagrams.length;
    let refused = datagrams.filter(({ local }) => !this.#udp.has(local.port)).length;
    for (const [port, fd] of this.#udp) {
      const ours = datagrams.filter(({ local }) => local.port === port);
      if (ours.length > 0) refused += this.#sendFrom(fd, ours);
    }
    return refused;
  }

  pathMtu(destination: IpAddress): number {
    return this.#pathMtus.get(destination, performance.now());
  }

  localAddress(destination: IpAddress): IpAddress | undefined {
    const source = this.#route(destination)?.[1];
    return source?.some(byte => byte !== 0) === true ? addressFromBytes(source) : undefined;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const reader of this.#readers) reader.close();
    this.#native.closeFd(this.#sender);
  }

  #learn(destination: IpAddress, mtuBytes: number): void {
    this.#pathMtus.learn(destination, mtuBytes, performance.now());
  }

  #sendFrom(fd: number, datagrams: readonly UdpDatagram[]): number {
    const payloads: Uint8Array[] = [];
    const ends = new Uint32Array(endsStride * datagrams.length);
    for (const { local, peer, payload } of datagrams) {
      if (addressFamily(local.address) !== addressFamily(peer.address)) continue;
      const at = endsStride * payloads.length;
      ends.set(wordsOf(peer.address), at);
      ends[at + 4] = peer.port;
      ends.set(wordsOf(local.address), at + 5);
      payloads.push(payload);
    }
    return datagrams.length - payloads.length + this.#native.sendUdp(fd, this.family, payloads, ends);
  }

  #route(destination: IpAddress): readonly [mtuBytes: number, source: Uint8Array] | undefined {
    if (this.#closed) return undefined;
    try {
      return this.#native.findRoute(addressBytes(destination), this.#mark);
    } catch {
      return undefined; // No route: sending says so, and counts it.
    }
  }
}

/** IP protocols received raw. */
export const rawProtocols = { ESP: ipProtocol.esp, AH: ipProtocol.ah } as const;

function datagramsOf(batch: BatchReader, count: number, port: number, family: 4 | 6): UdpDatagram[] {
  const datagrams: UdpDatagram[] = [];
  for (let i = 0; i < count; i++) {
    const { peer, localAddress: address } = batch.ends(i, family);
    datagrams.push({ local: { address, port }, peer, payload: batch.packet(i) });
  }
  return datagrams;
}
