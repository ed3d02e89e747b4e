/** What the native addon does for XFRM: netlink, and options of the IKE sockets. */
import { IpseckitError } from '../../report/errors.js';
import { type NativeIo, nativeIo } from '../userspace/native.js';

export interface NetlinkIo extends NativeIo {
  /** A netlink socket: without groups for `netlinkExchange`, with a mask of them to be read as `raw`. */
  openNetlink(protocol: number, groups: number): number;
  /** Sends requests, numbered upwards, and returns all that the kernel answered. */
  netlinkExchange(fd: number, requests: Uint8Array): Uint8Array;
  setSocketOption(fd: number, level: number, option: number, value: Uint8Array): void;
}

const functionNames = [
  'openNetlink',
  'netlinkExchange',
  'setSocketOption',
] as const satisfies readonly (keyof NetlinkIo)[];

/** The addon. Throws `IpseckitError` (ENVIRONMENT) where it has not been built, or is of an earlier version. */
export function netlinkIo(): NetlinkIo {
  const addon = nativeIo();
  if (hasNetlink(addon)) return addon;
  throw new IpseckitError('ENVIRONMENT', 'the native part of ipseckit belongs to another version', {
    next: 'run "npm rebuild" in the folder of ipseckit',
  });
}

function hasNetlink(addon: NativeIo): addon is NetlinkIo {
  const members = new Map<string, unknown>(Object.entries(addon));
  return functionNames.every(name => typeof members.get(name) === 'function');
}
