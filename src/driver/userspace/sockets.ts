import { IpseckitError } from '../../report/errors.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { BatchReader } from './batch-reader.js';
import { udpPortHolder } from './holders.js';
import type { UdpDatagram, WireSockets } from './io.js';
import {
  accessDenied,
  errnoOf,
  ipv4Address,
  ipv4Number,
  type NativeIo,
  nativeIo,
  readerKinds,
  textOf,
} from './native.js';
import { PathMtuCache } from './path-mtu.js';

/** IP protocols received raw. */
const rawProtocols = { ESP: 50, AH: 51 } as const;

export interface KernelSocketsOptions {
  /** Firewall mark of everything sent, by which steering tells it from other traffic. */
  readonly mark: number;
  readonly ikePort: number;
  readonly natTraversalPort: number;
  /** IP protocols received raw, by name; ESP and AH when absent. */
  readonly rawProtocols?: Readonly<Record<string, number>>;
  /** Does what else a UDP port's socket needs before it is read. */
  prepareUdp?(fd: number, port: number): void;
  onFailure(error: Error): void;
}

/** The kernel's sockets: raw for ESP and AH, UDP for the IKE ports. IPv4. */
export class KernelSockets implements WireSockets {
  readonly #native: NativeIo;
  readonly #mark: number;
  readonly #readers: BatchReader[] = [];
  readonly #rawSender: number;
  /** Descriptors of the UDP ports. */
  readonly #udp = new Map<number, number>();
  readonly #pathMtus = new PathMtuCache(destination => this.#route(destination)?.[0] ?? 1500);
  #onIpPackets: (packets: readonly Uint8Array[]) => void = () => {};
  #onDatagrams: (datagrams: readonly UdpDatagram[]) => void = () => {};
  #closed = false;

  /** Throws `IpseckitError`: ENVIRONMENT when a port is taken, ACCESS_DENIED without the privilege. */
  constructor(options: KernelSocketsOptions) {
    this.#native = nativeIo();
    this.#mark = options.mark;
    const native = this.#native;
    const opened: number[] = [];
    const open = (what: string, fd: () => number) => {
      try {
        const descriptor = fd();
        opened.push(descriptor);
        return descriptor;
      } catch (error) {
        for (const descriptor of opened) native.closeFd(descriptor);
        throw error instanceof IpseckitError ? error : explain(what, error);
      }
    };
    // All are opened before any is read, so that a failure leaves nothing behind.
    const udp = [options.ikePort, options.natTraversalPort].map(
      port => [port, open(`UDP port ${port}`, () => openUdp(native, port, options))] as const,
    );
    const raw = Object.entries(options.rawProtocols ?? rawProtocols).map(
      ([name, protocol]) =>
        [name, open(`the raw ${name} socket`, () => native.openRawReceiver(protocol, options.mark))] as const,
    );
    this.#rawSender = open('the raw sending socket', () => native.openRawSender(options.mark));
    for (const [name, fd] of raw) this.#readRaw(name, fd, options);
    for (const [port, fd] of udp) this.#readUdp(port, fd, options);
  }

  onIpPackets(listener: (packets: readonly Uint8Array[]) => void): void {
    this.#onIpPackets = listener;
  }

  onDatagrams(listener: (datagrams: readonly UdpDatagram[]) => void): void {
    this.#onDatagrams = listener;
  }

  sendIpPackets(packets: readonly Uint8Array[]): number {
    return this.#closed ? packets.length : this.#native.sendRaw(this.#rawSender, packets);
  }

  sendDatagrams(datagrams: readonly UdpDatagram[]): number {
    let refused = this.#closed ? datagrams.length : 0;
    for (const [port, fd] of this.#closed ? [] : this.#udp) {
      const ours = datagrams.filter(datagram => datagram.local.port === port);
      if (ours.length > 0) refused += this.#sendUdp(fd, ours);
    }
    return refused + (this.#closed ? 0 : datagrams.filter(({ local }) => !this.#udp.has(local.port)).length);
  }

  pathMtu(destination: IpAddress): number {
    return this.#pathMtus.get(destination, performance.now());
  }

  localAddress(destination: IpAddress): IpAddress | undefined {
    const source = this.#route(destination)?.[1];
    return source === undefined || source === 0 ? undefined : ipv4Address(source);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const reader of this.#readers) reader.close();
    this.#native.closeFd(this.#rawSender);
  }

  #readRaw(name: string, fd: number, options: KernelSocketsOptions): void {
    this.#readers.push(
      new BatchReader(this.#native, fd, readerKinds.raw, {
        onPackets: (batch, count) => this.#onIpPackets(batch.packets(count)),
        onFailure: code => options.onFailure(lost(`the raw ${name} socket`, code)),
        onPathMtu: (destination, mtuBytes) =>
          this.#pathMtus.learn(ipv4Address(destination), mtuBytes, performance.now()),
      }),
    );
  }

  #readUdp(port: number, fd: number, options: KernelSocketsOptions): void {
    this.#udp.set(port, fd);
    this.#readers.push(
      new BatchReader(this.#native, fd, readerKinds.udp, {
        onPackets: (batch, count) => this.#onDatagrams(datagramsOf(batch, count, port)),
        onFailure: code => options.onFailure(lost(`UDP port ${port}`, code)),
      }),
    );
  }

  #sendUdp(fd: number, datagrams: readonly UdpDatagram[]): number {
    const payloads: Uint8Array[] = [];
    const addresses = new Uint32Array(3 * datagrams.length);
    for (const { local, peer, payload } of datagrams) {
      const [to, from] = [ipv4Number(peer.address), ipv4Number(local.address)];
      if (to === undefined || from === undefined) continue;
      addresses.set([to, peer.port, from], 3 * payloads.length);
      payloads.push(payload);
    }
    return datagrams.length - payloads.length + this.#native.sendUdp(fd, payloads, addresses);
  }

  #route(destination: IpAddress): readonly [mtuBytes: number, source: number] | undefined {
    const number = ipv4Number(destination);
    if (number === undefined || this.#closed) return undefined;
    try {
      return this.#native.findRoute(number, this.#mark);
    } catch {
      return undefined; // No route: sending says so, and counts it.
    }
  }
}

function datagramsOf(batch: BatchReader, count: number, port: number): UdpDatagram[] {
  const datagrams: UdpDatagram[] = [];
  for (let i = 0; i < count; i++) {
    const [peerAddress, peerPort, localAddress] = batch.addresses(i);
    datagrams.push({
      local: { address: ipv4Address(localAddress), port },
      peer: { address: ipv4Address(peerAddress), port: peerPort },
      payload: batch.packet(i),
    });
  }
  return datagrams;
}

function openUdp(native: NativeIo, port: number, options: KernelSocketsOptions): number {
  try {
    // ESP is authenticated already: RFC 3948 2.1 wants its UDP checksum to be zero.
    const fd = native.openUdp(port, options.mark, port === options.natTraversalPort ? 1 : 0);
    try {
      options.prepareUdp?.(fd, port);
    } catch (error) {
      native.closeFd(fd);
      throw error;
    }
    return fd;
  } catch (error) {
    if (errnoOf(error) !== 'EADDRINUSE') throw error;
    const holder = udpPortHolder(port);
    const by = holder === undefined ? 'another program' : `${holder.program} (pid ${holder.pid})`;
    throw new IpseckitError('ENVIRONMENT', `UDP port ${port} is in use by ${by}`, {
      next: `stop the other IKE service ("ss -ulpn sport = :${port}" shows it), then try again`,
      cause: error,
    });
  }
}

function explain(what: string, cause: unknown): IpseckitError {
  const text = `cannot open ${what}`;
  return (
    accessDenied(text, cause) ??
    new IpseckitError('ENVIRONMENT', `${text}: ${textOf(cause)}`, {
      next: 'check the limits of this host (open files, memory)',
      cause,
    })
  );
}

function lost(what: string, code: string): IpseckitError {
  return new IpseckitError('ENVIRONMENT', `${what} failed while in use (${code})`, {
    next: 'start ipseckit again',
  });
}
