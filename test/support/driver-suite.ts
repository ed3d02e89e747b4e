/** What the suites of the user-space driver on real devices share. */

import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { hostRange, type Selector, subnetRange } from '../../src/wire/ip/selector.js';
import { needs } from '../lab/needs.js';
import { type Host, runAsNamespaceRoot } from './namespaces.js';

/** Addresses of the two hosts, and of networks behind them, for tunnels. */
export const one = ipAddress('10.66.0.1');
export const other = ipAddress('10.66.0.2');
export const oneInside = ipAddress('10.71.0.1');
export const otherInside = ipAddress('10.72.0.1');

/** The same for IPv6. */
export const one6 = ipAddress('fd66::1');
export const other6 = ipAddress('fd66::2');
export const oneInside6 = ipAddress('fd71::1');
export const otherInside6 = ipAddress('fd72::1');

/** All traffic between two hosts, or some of it. */
export function selector(source: IpAddress, destination: IpAddress, more: Partial<Selector> = {}): Selector {
  return {
    source: hostRange(source),
    destination: hostRange(destination),
    protocol: 0,
    sourcePort: 0,
    destinationPort: 0,
    ...more,
  };
}

/** All traffic from the one network to the other. */
export const insides: Selector = selector(oneInside, otherInside, {
  source: subnetRange(oneInside, 24),
  destination: subnetRange(otherInside, 24),
});

/** The same for IPv6. */
export const insides6: Selector = selector(oneInside6, otherInside6, {
  source: subnetRange(oneInside6, 64),
  destination: subnetRange(otherInside6, 64),
});

/**
 * For a suite's `skip` option: `false` where it can run. Runs the whole program again in a user namespace when that gives
 * the rights it needs. Where `CI=true` nothing may be skipped: it throws instead.
 */
export function driverSuiteSkip(): string | false {
  if (runAsNamespaceRoot()) return needs('nft', 'ping');
  if (process.env.CI === 'true') throw new Error('neither root nor user namespaces');
  return 'needs root, or user namespaces';
}

/** Counts what arrives on a host's cable, secured and clear (later fragments go with their first). It stands before everything the driver does. */
export class Witness {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
    host.run(
      'nft',
      `table inet witness {
        counter secured { }
        counter clear { }
        chain seen {
          type filter hook prerouting priority raw;
          iifname != "eth0" accept
          meta l4proto { esp, ah } counter name secured accept
          udp dport 4500 counter name secured accept
          ip frag-off & 0x1fff != 0 accept
          frag frag-off != 0 accept
          ip saddr { 10.66.0.0/24, 10.71.0.0/24, 10.72.0.0/24, 10.73.0.0/24 } counter name clear
          icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
          ip6 saddr { fd66::/64, fd71::/64, fd72::/64, fd73::/64 } counter name clear
        }
      }`,
    );
  }

  /** Packets since the last call. */
  take(): { readonly secured: number; readonly clear: number } {
    const text = this.#host.run('nft', 'reset', 'counters', 'table', 'inet', 'witness');
    const count = (name: string) =>
      Number(new RegExp(`counter ${name} \\{\\s*packets (\\d+)`).exec(text)?.[1]);
    return { secured: count('secured'), clear: count('clear') };
  }
}
