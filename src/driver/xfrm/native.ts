/** What the native addon does for XFRM: netlink, and options of the IKE sockets. */
import { IpseckitError } from '../../report/errors.js';
import { encodePolicyInfo } from '../../wire/netlink/xfrm-policy.js';
import { anySelector } from '../../wire/netlink/xfrm-selector.js';
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

/** `setsockopt` levels and options of Linux (`IP_XFRM_POLICY`, `IPV6_XFRM_POLICY`). */
const xfrmPolicy = { 4: { level: 0, option: 17 }, 6: { level: 41, option: 35 } } as const;

/** No policy of the host's looks at what a socket sends and hears. */
export function exemptFromPolicies(native: NetlinkIo, fd: number, family: 4 | 6): void {
  const { level, option } = xfrmPolicy[family];
  for (const direction of ['in', 'out'] as const) {
    const policy = {
      selector: anySelector(family),
      direction,
      action: 'allow',
      priority: 0,
      templates: [],
    } as const;
    native.setSocketOption(fd, level, option, encodePolicyInfo(policy));
  }
}
