/** What XFRM policies need to know of this host. */
import { existsSync, readdirSync } from 'node:fs';
import type { IpAddress } from '../../wire/ip/address.js';
import { isLinkLocal } from '../../wire/ip/ip.js';
import { hostAddresses } from '../host-addresses.js';
import type { XfrmHost } from './exemptions.js';
import { readText } from './host-files.js';

/** Adapters and broadcast addresses as they are now. */
export function readHost(noDefaultExempt: XfrmHost['noDefaultExempt']): XfrmHost {
  return {
    interfaces: readdirSync('/sys/class/net').flatMap(name => {
      const index = Number(readText(`/sys/class/net/${name}/ifindex`));
      return index > 0 ? [{ name, index }] : [];
    }),
    broadcastAddresses: hostAddresses().broadcastAddresses,
    noDefaultExempt,
    ipv6: existsSync('/proc/sys/net/ipv6'),
  };
}

/** This host's addresses, without those of one link. */
export function localAddresses(): IpAddress[] {
  return hostAddresses().localAddresses.filter(address => !isLinkLocal(address));
}

/** The kernel's count of packets it dropped for IPsec, by its own names; empty where it does not count. */
export function readXfrmCounters(): ReadonlyMap<string, number> {
  const lines = (readText('/proc/self/net/xfrm_stat') ?? '').split('\n');
  return new Map(
    lines.map(line => {
      const [name = '', count] = line.trim().split(/\s+/);
      return [name, Number(count ?? 0)];
    }),
  );
}
