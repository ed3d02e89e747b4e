import type { IpAddress } from '../../wire/ip/address.js';
import type { IpsecTestInput } from './ipsec-input.js';

/** How an echo request ended. */
export type PingResult =
  | { readonly kind: 'answered'; readonly milliseconds: number }
  | { readonly kind: 'silent' }
  /** No echo request could be sent; `reason` says why. */
  | { readonly kind: 'impossible'; readonly reason: string };

/** What one DNS server says about this host's own name. */
export type NameServerResult =
  | { readonly kind: 'found'; readonly addresses: readonly IpAddress[] }
  | { readonly kind: 'notFound' }
  | { readonly kind: 'silent'; readonly reason: string };

/** Everything a test does to the outside, injected: with fakes the tests are pure. */
export interface Probes {
  /** What `/d:` named. */
  readonly domain?: string;
  ping(address: IpAddress): Promise<PingResult>;
  /** Asks one DNS server for the IPv4 addresses of a name. */
  askNameServer(server: string, name: string): Promise<NameServerResult>;
  /** Targets of an SRV record; empty when there are none. */
  services(name: string): Promise<readonly string[]>;
  /** Text of a file; `undefined` when it cannot be read. */
  readText(path: string): string | undefined;
  /** Whether `klist` finds a valid ticket; `undefined` without klist. */
  hasKerberosTicket(): Promise<boolean | undefined>;
  ipsec(): Promise<IpsecTestInput>;
}
