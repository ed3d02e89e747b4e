import { existsSync } from 'node:fs';
import { IpseckitError } from '../../report/errors.js';
import { addressFamily, type IpAddress } from '../../wire/ip/address.js';
import type { QuotedSa } from '../../wire/ip/icmp.js';
import { ipProtocol } from '../../wire/ip/packet.js';
import { isPeerPortConnected } from './connected-ports.js';
import { FamilySockets, type OpenedSockets, rawProtocols, type SocketEvents } from './family-sockets.js';
import { udpPortHolder } from './holders.js';
import type { UdpDatagram, UndeliveredDatagram, WireSockets } from './io.js';
import { accessDenied, errnoOf, type NativeIo, nativeIo, textOf } from './native.js';

export interface KernelSocketsOptions {
  /** Firewall mark of everything sent, by which steering tells it from other traffic. */
  readonly mark: number;
  readonly ikePort: number;
  readonly natTraversalPort: number;
  /** IP protocols received raw, by name; ESP and AH when absent. */
  readonly rawProtocols?: Readonly<Record<string, number>>;
  /** Does what else a UDP port's socket needs before it is read. */
  prepareUdp?(fd: number, port: number, family: 4 | 6): void;
  onFailure(error: Error): void;
}

/** The kernel's sockets: raw for ESP and AH, UDP for the IKE ports. IPv4, and IPv6 where the kernel has it. */
export class KernelSockets implements WireSockets {
  readonly #ipv4: FamilySockets;
  readonly #ipv6: FamilySockets | undefined;
  #onIpPackets: (packets: readonly Uint8Array[]) => void = () => {};
  #onDatagrams: (datagrams: readonly UdpDatagram[]) => void = () => {};
  #onUndelivered: (undelivered: UndeliveredDatagram) => void = () => {};
  #sendsWith: SocketEvents['sendsWith'] = () => false;

  /** Throws `IpseckitError`: ENVIRONMENT when a port is taken, ACCESS_DENIED without the privilege. */
  constructor(options: KernelSocketsOptions) {
    const native = nativeIo();
    const descriptors: number[] = [];
    const open = (what: string, fd: () => number) => {
      try {
        const descriptor = fd();
        descriptors.push(descriptor);
        return descriptor;
      } catch (error) {
        for (const descriptor of descriptors) native.closeFd(descriptor);
        throw error instanceof IpseckitError ? error : explain(what, error);
      }
    };
    // All are opened before any is read, so that a failure leaves nothing behind.
    const ipv4 = openFamily(native, 4, options, open);
    const ipv6 = hasIpv6() ? openFamily(native, 6, options, open) : undefined;
    const events = {
      onIpPackets: (packets: readonly Uint8Array[]) => this.#onIpPackets(packets),
      onDatagrams: (datagrams: readonly UdpDatagram[]) => this.#onDatagrams(datagrams),
      onUndelivered: (undelivered: UndeliveredDatagram) => this.#onUndelivered(undelivered),
      sendsWith: (sa: QuotedSa, destination: IpAddress) => this.#sendsWith(sa, destination),
      onLost: (what: string, code: string) => options.onFailure(lost(what, code)),
    };
    this.#ipv4 = new FamilySockets(native, ipv4, options, events);
    this.#ipv6 = ipv6 && new FamilySockets(native, ipv6, options, events);
  }

  onIpPackets(listener: (packets: readonly Uint8Array[]) => void): void {
    this.#onIpPackets = listener;
  }

  onDatagrams(listener: (datagrams: readonly UdpDatagram[]) => void): void {
    this.#onDatagrams = listener;
  }

  onUndelivered(listener: (undelivered: UndeliveredDatagram) => void): void {
    this.#onUndelivered = listener;
  }

  /** Routers are believed about the packets of such SAs; before, of none. */
  believeAbout(sendsWith: SocketEvents['sendsWith']): void {
    this.#sendsWith = sendsWith;
  }

  sendIpPackets(packets: readonly Uint8Array[]): number {
    const ipv6 = packets.filter(packet => (packet[0] ?? 0) >>> 4 === 6);
    if (ipv6.length === 0) return this.#ipv4.sendIpPackets(packets);
    const ipv4 = packets.filter(packet => (packet[0] ?? 0) >>> 4 !== 6);
    return this.#ipv4.sendIpPackets(ipv4) + (this.#ipv6?.sendIpPackets(ipv6) ?? ipv6.length);
  }

  sendDatagrams(datagrams: readonly UdpDatagram[]): number {
    const ipv6 = datagrams.filter(({ peer }) => addressFamily(peer.address) === 6);
    if (ipv6.length === 0) return this.#ipv4.sendDatagrams(datagrams);
    const ipv4 = datagrams.filter(({ peer }) => addressFamily(peer.address) === 4);
    return this.#ipv4.sendDatagrams(ipv4) + (this.#ipv6?.sendDatagrams(ipv6) ?? ipv6.length);
  }

  isPeerPortInUse(protocol: number, peer: IpAddress, port: number): boolean {
    return isPeerPortConnected(protocol, peer, port);
  }

  pathMtu(destination: IpAddress): number {
    return this.#familyOf(destination)?.pathMtu(destination) ?? 1500;
  }

  localAddress(destination: IpAddress): IpAddress | undefined {
    return this.#familyOf(destination)?.localAddress(destination);
  }

  close(): void {
    this.#ipv4.close();
    this.#ipv6?.close();
  }

  #familyOf(address: IpAddress): FamilySockets | undefined {
    return addressFamily(address) === 4 ? this.#ipv4 : this.#ipv6;
  }
}

/** Whether this kernel knows IPv6 at all. */
export function hasIpv6(): boolean {
  return existsSync('/proc/net/if_inet6');
}

function openFamily(
  native: NativeIo,
  family: 4 | 6,
  options: KernelSocketsOptions,
  open: (what: string, fd: () => number) => number,
): OpenedSockets {
  const { mark } = options;
  return {
    family,
    udp: [options.ikePort, options.natTraversalPort].map(port => ({
      port,
      fd: open(`UDP port ${port}`, () => openUdp(native, family, port, options)),
    })),
    raw: Object.entries(options.rawProtocols ?? rawProtocols).map(([name, protocol]) => ({
      ...{ name, protocol },
      fd: open(`the raw ${name} socket`, () => native.openRawReceiver(family, protocol, mark)),
    })),
    ...(family === 4 || options.rawProtocols !== undefined
      ? {}
      : { tooBig: open('the ICMPv6 socket', () => native.openRawReceiver(6, ipProtocol.icmpv6, mark)) }),
    sender: open('the raw sending socket', () => native.openRawSender(family, mark)),
  };
}

function openUdp(native: NativeIo, family: 4 | 6, port: number, options: KernelSocketsOptions): number {
  try {
    // ESP is authenticated already: RFC 3948 2.1 wants its UDP checksum to be zero.
    const fd = native.openUdp(family, port, options.mark, port === options.natTraversalPort ? 1 : 0);
    try {
      options.prepareUdp?.(fd, port, family);
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
