import { IpseckitError } from '../../report/errors.js';
import { BatchReader } from './batch-reader.js';
import { accessDenied, nativeIo, readerKinds, textOf } from './native.js';

/** An IP packet that crossed a device. */
export interface WatchedPacket {
  /** From the IP header on. */
  readonly bytes: Uint8Array;
  /** When the kernel saw it, since 1970. */
  readonly timestampNs: bigint;
  readonly device: string;
  readonly direction: 'inbound' | 'outbound';
}

/** Packets that cross devices while it is open. */
export interface PacketWatch {
  /** Packets lost since the last call, because they came faster than they were taken. */
  drops(): number;
  close(): void;
}

/**
 * Watches one device, or all of them, for every packet or only for what IPsec says on the wire (IKE, ESP, AH). The
 * packets are valid until `onPackets` returns. Throws `IpseckitError`: ACCESS_DENIED without CAP_NET_RAW, ENVIRONMENT when
 * there is no such device.
 */
export function watchPackets(
  { device, ipsecOnly }: { readonly device?: string; readonly ipsecOnly: boolean },
  onPackets: (packets: readonly WatchedPacket[]) => void,
  onFailure: (error: Error) => void,
): PacketWatch {
  const native = nativeIo();
  const what = device === undefined ? 'the network devices' : `the device ${device}`;
  let fd: number;
  try {
    fd = native.openWatch(device ?? '', ipsecOnly ? 1 : 0);
  } catch (error) {
    throw (
      accessDenied(`cannot watch ${what}`, error) ??
      new IpseckitError('ENVIRONMENT', `cannot watch ${what}: ${textOf(error)}`, {
        next: '"ip link" lists the devices',
        cause: error,
      })
    );
  }
  const names = new Map<number, string>();
  const nameOf = (index: number) => {
    const known = names.get(index);
    if (known !== undefined) return known;
    const name = native.deviceName(index) || `device ${index}`;
    names.set(index, name);
    return name;
  };
  return new BatchReader(native, fd, readerKinds.watch, {
    onPackets: (batch, count) =>
      onPackets(
        Array.from({ length: count }, (_, i) => {
          const [seconds, nanoseconds, index, leaves] = batch.sighting(i);
          return {
            bytes: batch.packet(i),
            timestampNs: BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds),
            device: nameOf(index),
            direction: leaves ? 'outbound' : 'inbound',
          };
        }),
      ),
    onFailure: code =>
      onFailure(new IpseckitError('ENVIRONMENT', `${what} cannot be watched any more (${code})`)),
  });
}
