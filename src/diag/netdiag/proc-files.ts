/** Readers of the text files in /proc and /etc that netdiag looks at. Pure: text in, values out. */
import { addressFromBytes, type IpAddress, parseIpAddress } from '../../wire/ip/address.js';
import { maskToPrefix } from '../../wire/ip/selector.js';
import type { TrafficCounters } from './host-facts.js';

/** A line of the IPv4 routing table. */
export interface Route {
  readonly device: string;
  readonly destination: IpAddress;
  readonly prefixLength: number;
  /** Absent when the destination is on the wire itself. */
  readonly gateway?: IpAddress;
  readonly metric: number;
}

/** Routes of `/proc/net/route` that are up; lines that cannot be read are left out. */
export function parseRoutes(text: string): Route[] {
  return dataLines(text, 1).flatMap(fields => {
    const [device, destination, gateway, flags, , , metric, mask] = fields;
    const to = littleEndianAddress(destination);
    const via = littleEndianAddress(gateway);
    const maskAddress = littleEndianAddress(mask);
    const prefixLength = maskAddress && maskToPrefix(maskAddress);
    const up = (Number.parseInt(flags ?? '0', 16) & 1) !== 0;
    if (device === undefined || !to || !via || prefixLength === undefined || !up) return [];
    return [
      {
        device,
        destination: to,
        prefixLength,
        ...(via === '0.0.0.0' ? {} : { gateway: via }),
        metric: Number(metric),
      },
    ];
  });
}

/** Counters per device of `/proc/net/dev`. */
export function parseDevices(
  text: string,
): Map<string, { received: TrafficCounters; sent: TrafficCounters }> {
  return new Map(
    text
      .split('\n')
      .slice(2)
      .flatMap(row => {
        const [name, rest] = row.split(':');
        if (name === undefined || rest === undefined) return [];
        const numbers = rest.trim().split(/\s+/).map(Number);
        const counters = (from: number): TrafficCounters => ({
          bytes: numbers[from] ?? 0,
          packets: numbers[from + 1] ?? 0,
          errors: numbers[from + 2] ?? 0,
          dropped: numbers[from + 3] ?? 0,
        });
        return [[name.trim(), { received: counters(0), sent: counters(8) }] as const];
      }),
  );
}

/** `Ip`, `Icmp`, `Tcp`, `Udp` … counters of `/proc/net/snmp`, each by its name. */
export function parseSnmp(text: string): Map<string, Map<string, number>> {
  const rows = text.split('\n').map(row => row.split(/[:\s]+/));
  const groups = new Map<string, Map<string, number>>();
  for (const [i, row] of rows.entries()) {
    const [name = '', ...names] = row;
    const [sameName, ...values] = rows[i + 1] ?? [];
    if (name === '' || name !== sameName || groups.has(name)) continue;
    groups.set(name, new Map(names.map((counter, at) => [counter, Number(values[at])])));
  }
  return groups;
}

/** Addresses whose Ethernet address is known, of `/proc/net/arp`. */
export function parseNeighbours(text: string): Set<IpAddress> {
  return new Set(
    dataLines(text, 1).flatMap(([address = '', , flags = '']) => {
      const parsed = parseIpAddress(address);
      return parsed !== undefined && (Number.parseInt(flags, 16) & 2) !== 0 ? [parsed] : [];
    }),
  );
}

/** Value of `default_realm` in krb5.conf. */
export function parseDefaultRealm(text: string): string | undefined {
  return /^\s*default_realm\s*=\s*(\S+)/m.exec(text)?.[1];
}

/** `Debian GNU/Linux 12 (bookworm)` of os-release. */
export function parseOsName(text: string): string | undefined {
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1];
}

/** `vendor_id` of cpuinfo. */
export function parseProcessorVendor(text: string): string | undefined {
  return /^vendor_id\s*:\s*(\S+)/m.exec(text)?.[1];
}

function dataLines(text: string, headings: number): string[][] {
  return text
    .split('\n')
    .slice(headings)
    .filter(row => row.trim() !== '')
    .map(row => row.trim().split(/\s+/));
}

/** The kernel prints an address as one number in the machine's byte order. */
function littleEndianAddress(hex: string | undefined): IpAddress | undefined {
  if (hex === undefined || !/^[\da-f]{8}$/i.test(hex)) return undefined;
  return addressFromBytes(Uint8Array.from(Buffer.from(hex, 'hex')).reverse());
}
