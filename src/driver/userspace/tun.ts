import { writeFileSync } from 'node:fs';
import { IpseckitError } from '../../report/errors.js';
import { BatchReader } from './batch-reader.js';
import { tunHolder } from './holders.js';
import type { TunDevice } from './io.js';
import { accessDenied, errnoOf, type NativeIo, nativeIo, readerKinds, textOf } from './native.js';

/** The device that packets cross before they are protected and after; the engine's, unless told otherwise. */
export const tunDeviceName = 'ipseckit0';

/** A TUN device of this network namespace. It exists as long as it is open, whatever ends the process. */
export class KernelTun implements TunDevice {
  readonly name: string;
  readonly #native: NativeIo;
  readonly #fd: number;
  readonly #reader: BatchReader;
  #listener: (packets: readonly Uint8Array[]) => void = () => {};
  #refused = 0;
  #closed = false;

  /** Throws `IpseckitError`: ENVIRONMENT without TUN or when another process holds the device, ACCESS_DENIED. */
  constructor(name: string, onFailure: (error: Error) => void) {
    this.name = name;
    this.#native = nativeIo();
    this.#fd = open(this.#native, name);
    this.#reader = new BatchReader(this.#native, this.#fd, readerKinds.tun, {
      onPackets: (batch, count) => this.#listener(batch.packets(count)),
      onFailure: code =>
        onFailure(
          new IpseckitError('ENVIRONMENT', `the device ${name} is gone (${code}): somebody deleted it`, {
            next: 'start ipseckit again',
          }),
        ),
    });
  }

  onPackets(listener: (packets: readonly Uint8Array[]) => void): void {
    this.#listener = listener;
  }

  write(packets: readonly Uint8Array[]): void {
    if (!this.#closed) this.#refused += this.#native.writeTun(this.#fd, packets);
  }

  /** Packets the kernel did not take so far. */
  get refusedPackets(): number {
    return this.#refused;
  }

  close(): void {
    this.#closed = true;
    this.#reader.close();
  }
}

function open(native: NativeIo, name: string): number {
  try {
    return native.openTun(name);
  } catch (error) {
    throw accessDenied(`cannot make the TUN device ${name}`, error) ?? explain(name, error);
  }
}

function explain(name: string, cause: unknown): IpseckitError {
  const errno = errnoOf(cause);
  if (errno === 'EBUSY') {
    const holder = tunHolder(name);
    const by = holder === undefined ? 'another process' : `${holder.program} (pid ${holder.pid})`;
    return new IpseckitError(
      'ENVIRONMENT',
      `an IPsec driver runs already in this network namespace: ${by} holds the device ${name}`,
      { next: 'stop it first ("ipseckit agent stop"), or use another network namespace', cause },
    );
  }
  const missing = errno === 'ENOENT' || errno === 'ENODEV' || errno === 'ENXIO';
  return new IpseckitError('ENVIRONMENT', `cannot make the TUN device ${name}: ${textOf(cause)}`, {
    next: missing
      ? 'load the kernel module ("modprobe tun"), and in a container pass the device /dev/net/tun through'
      : 'check that no other device has this name ("ip link")',
    cause,
  });
}

/** Settings of the device, in `/proc/sys/net`; where they cannot be written, the default mostly does. */
const deviceSettings = (tun: string) => [
  // Packets we opened come from addresses that are routed elsewhere; with `all.rp_filter` 1 their mark explains it.
  [`ipv4/conf/${tun}/rp_filter`, '0'],
  [`ipv4/conf/${tun}/src_valid_mark`, '1'],
  [`ipv4/conf/${tun}/send_redirects`, '0'],
  [`ipv4/conf/${tun}/accept_redirects`, '0'],
  // No address of its own, and nothing that the kernel says on its own account.
  [`ipv6/conf/${tun}/addr_gen_mode`, '1'],
  [`ipv6/conf/${tun}/accept_ra`, '0'],
  [`ipv6/conf/${tun}/router_solicitations`, '0'],
  [`ipv6/conf/${tun}/disable_ipv6`, '0'],
];

/** Makes a TUN device that is not up yet fit for packets of any address. */
export function configureTun(tun: string): void {
  for (const [name, value] of deviceSettings(tun)) {
    try {
      writeFileSync(`/proc/sys/net/${name}`, `${value}\n`);
    } catch {
      // Read-only in some containers.
    }
  }
}
