import type { IpAddress } from '../../wire/ip/address.js';
import type { Route } from './proc-files.js';
import type { ReportHeader } from './report.js';

/** What every test may need to know about this host. */
export interface HostFacts {
  readonly header: ReportHeader;
  readonly hostName: string;
  /** Without loopback, virtual tunnels and our own packet device. */
  readonly adapters: readonly AdapterFacts[];
  readonly routes: readonly Route[];
  readonly dnsServers: readonly string[];
}

export interface AdapterFacts {
  readonly name: string;
  readonly kind: 'ethernet' | 'ppp' | 'wireguard' | 'other';
  readonly macAddress?: string;
  /** Absent when the driver cannot tell. */
  readonly connected?: boolean;
  readonly speedMbps?: number;
  readonly mtu?: number;
  readonly received: TrafficCounters;
  readonly sent: TrafficCounters;
  readonly addresses: readonly { readonly address: IpAddress; readonly prefixLength: number }[];
  readonly gateways: readonly IpAddress[];
  /** Adapters below this one: a bridge's ports, a bond's members, a VLAN's trunk. */
  readonly lower: readonly string[];
}

export interface TrafficCounters {
  readonly bytes: number;
  readonly packets: number;
  readonly errors: number;
  readonly dropped: number;
}
