/**
 * The native addon (`native/`): batched packet I/O that Node has no calls for. Addresses cross the boundary as words in host
 * order (`address-words.ts`).
 */
import { createRequire } from 'node:module';
import { IpseckitError } from '../../report/errors.js';

/** A running reader; opaque. */
export type NativeReader = { readonly __brand: 'NativeReader' };

/** What a descriptor is, for `startReader`. */
export const readerKinds = { tun: 0, raw: 1, udp: 2, watch: 3, raw6: 4, udp6: 5 } as const;

/** Numbers that describe one packet in a reader's index. */
export const indexStride = 11;

/** Numbers that say where a datagram goes and where from: peer address, peer port, local address. */
export const endsStride = 9;

/** The addon's functions. Each throws an `Error` with `code` (`EADDRINUSE`) and `syscall`. */
export interface NativeIo {
  /** Packets a reader delivers at most at once. */
  readonly batchPackets: number;
  /** Size of the memory a reader fills. */
  readonly slabBytes: number;
  /** `indexStride`, as the addon was built. */
  readonly indexNumbers: number;
  /** Opens a TUN device and returns its descriptor. */
  openTun(name: string): number;
  /** Returns how many packets the kernel refused. */
  writeTun(fd: number, packets: readonly Uint8Array[]): number;
  openRawReceiver(family: 4 | 6, protocol: number, mark: number): number;
  openRawSender(family: 4 | 6, mark: number): number;
  /** `carriesEsp` 1 sends UDP checksum 0 in IPv4, and cuts nothing that the engine measured. */
  openUdp(family: 4 | 6, port: number, mark: number, carriesEsp: 0 | 1): number;
  /** Returns how many packets the kernel refused. */
  sendRaw(fd: number, packets: readonly Uint8Array[]): number;
  /** `ends` has `endsStride` numbers a payload; a local address of zeros lets the kernel choose. */
  sendUdp(fd: number, family: 4 | 6, payloads: readonly Uint8Array[], ends: Uint32Array): number;
  /**
   * Reads `fd` whenever it has packets, and owns it from now on. `index` gets, a packet, offset and length in `slab`,
   * and of UDP the peer's address and port and the local address. Of a watched packet the first numbers of these three are
   * the seconds and nanoseconds of its time, and twice the number of its device, one more when it leaves. What is read as
   * `raw6` gets its header back. With an ICMP error the first entry has the address and port that the packet was sent to, and
   * instead of the local address the one of who reports; `info` is the MTU of "fragmentation needed".
   */
  startReader(
    fd: number,
    kind: (typeof readerKinds)[keyof typeof readerKinds],
    slab: Uint8Array,
    index: Uint32Array,
    onPackets: (count: number) => void,
    onFailure: (code: string) => void,
    onIcmpError: (type: number, code: number, info: number) => void,
  ): NativeReader;
  /** Stops a reader and closes its descriptor; safe to call twice. */
  stopReader(reader: NativeReader): void;
  /** MTU as configured, and the source address, of the route that packets with `mark` take. */
  findRoute(destination: Uint8Array, mark: number): readonly [mtuBytes: number, source: Uint8Array];
  /** A descriptor that tells of changes to nftables, to be read as `raw`: netlink messages. */
  openNftablesWatch(): number;
  /** A descriptor to be read as `raw`: the frames that cross a device, in both directions, from the link layer on. */
  openCapture(device: string): number;
  /**
   * A descriptor to be read as `watch`: the IP packets that cross a device, or all devices for an empty name;
   * `ipsecOnly` 1 lets only IKE, ESP and AH through.
   */
  openWatch(device: string, ipsecOnly: 0 | 1): number;
  /** Packets that a watch has lost since the last call, because it was read too slowly. */
  watchDrops(reader: NativeReader): number;
  /** The name of a network device; empty when there is none of this number. */
  deviceName(index: number): string;
  /** Closes a descriptor that no reader owns. */
  closeFd(fd: number): void;
}

const addonPath = '../../../../src/driver/userspace/native/build/Release/ipseckit_native.node';
let loaded: NativeIo | undefined;

/** The addon. Throws `IpseckitError` (ENVIRONMENT) where it has not been built. */
export function nativeIo(): NativeIo {
  loaded ??= load();
  return loaded;
}

function load(): NativeIo {
  try {
    const addon: unknown = createRequire(import.meta.url)(addonPath);
    if (isNativeIo(addon)) return addon;
  } catch (cause) {
    throw new IpseckitError('ENVIRONMENT', `the native part of ipseckit cannot be loaded: ${textOf(cause)}`, {
      next: 'install a C compiler and make, then run "npm rebuild" in the folder of ipseckit',
      cause,
    });
  }
  throw new IpseckitError('ENVIRONMENT', 'the native part of ipseckit belongs to another version', {
    next: 'run "npm rebuild" in the folder of ipseckit',
  });
}

const functionNames = [
  'openTun',
  'writeTun',
  'openRawReceiver',
  'openRawSender',
  'openUdp',
  'sendRaw',
  'sendUdp',
  'startReader',
  'stopReader',
  'findRoute',
  'openNftablesWatch',
  'openCapture',
  'openWatch',
  'watchDrops',
  'deviceName',
  'closeFd',
] as const satisfies readonly (keyof NativeIo)[];

function isNativeIo(addon: unknown): addon is NativeIo {
  if (typeof addon !== 'object' || addon === null) return false;
  const members = new Map<string, unknown>(Object.entries(addon));
  return (
    functionNames.every(name => typeof members.get(name) === 'function') &&
    typeof members.get('batchPackets') === 'number' &&
    typeof members.get('slabBytes') === 'number' &&
    members.get('indexNumbers') === indexStride
  );
}

/** The errno name of a system error (`EPERM`), if it is one. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The text of anything thrown. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The error for a missing privilege; `undefined` when `error` is another one. */
export function accessDenied(what: string, error: unknown): IpseckitError | undefined {
  const errno = errnoOf(error);
  if (errno !== 'EPERM' && errno !== 'EACCES') return undefined;
  return new IpseckitError('ACCESS_DENIED', `${what}: ${textOf(error)}`, {
    next: 'run as root, or with the capabilities CAP_NET_ADMIN and CAP_NET_RAW',
    cause: error,
  });
}
