/** What ICMP errors say of a packet that did not arrive (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3), and which one that was. */
import { flowOfPacket, type PacketFlow } from './flow-of-packet.js';
import { type IpHeader, isFragmentOfIp, upperStart } from './ip.js';
import { ipv6HeaderBytes } from './ipv6.js';
import { ipProtocol, ipv4HeaderBytes } from './packet.js';

/** Type and code of one ICMP error. */
export interface IcmpError {
  readonly family: 4 | 6;
  readonly type: number;
  readonly code: number;
}

/** Stable words for why a packet did not arrive. */
export type UndeliveredReason = 'no-listener' | 'no-host' | 'no-route' | 'prohibited' | 'loop';

/** What each means, for people. */
export const undeliveredMeanings: Readonly<Record<UndeliveredReason, string>> = {
  'no-listener': 'port unreachable, nothing listens on that port',
  'no-host': 'host unreachable, nobody on its network answers for it',
  'no-route': 'network unreachable, no route leads there',
  prohibited: 'administratively prohibited, a firewall refuses it',
  loop: 'time to live exceeded, routers send it in a circle',
};

const unreachable = { 4: 3, 6: 1 } as const;
const timeExceeded = { 4: 11, 6: 3 } as const;

/** Codes of "destination unreachable"; "fragmentation needed" is none: it is about the packet's length alone. */
const unreachableCodes: Readonly<Record<4 | 6, Readonly<Record<number, UndeliveredReason>>>> = {
  4: {
    ...{ 0: 'no-route', 1: 'no-host', 2: 'no-listener', 3: 'no-listener', 5: 'no-route', 6: 'no-route' },
    ...{ 7: 'no-host', 8: 'no-host', 9: 'prohibited', 10: 'prohibited', 11: 'no-route', 12: 'no-host' },
    ...{ 13: 'prohibited', 14: 'prohibited', 15: 'prohibited' },
  },
  6: {
    0: 'no-route',
    1: 'prohibited',
    2: 'no-route',
    3: 'no-host',
    4: 'no-listener',
    5: 'prohibited',
    6: 'no-route',
  },
};

/** Why the packet did not arrive; `undefined` when the error says something else. */
export function readUndelivered({ family, type, code }: IcmpError): UndeliveredReason | undefined {
  if (type === timeExceeded[family]) return code === 0 ? 'loop' : undefined;
  return type === unreachable[family] ? unreachableCodes[family][code] : undefined;
}

/** The MTU that "fragmentation needed" asks for is told with it (RFC 1191); IPv6 has a message of its own. */
export function isFragmentationNeeded({ family, type, code }: IcmpError): boolean {
  return family === 4 && type === unreachable[4] && code === 4;
}

/** Unreachable, too big (IPv6), time exceeded, parameter problem; source quench is no longer one (RFC 6633). */
const errors = {
  4: { protocol: ipProtocol.icmp, types: [3, 11, 12] },
  6: { protocol: ipProtocol.icmpv6, types: [1, 2, 3, 4] },
} as const;

/** Where an error begins to quote the packet that it is about. */
export const quoteOffset = 8;

/** Whether a packet is an ICMP error about another. */
export function isIcmpError(packet: Uint8Array, header: IpHeader): boolean {
  const { protocol, types } = errors[header.family];
  return (
    header.protocol === protocol && (types as readonly number[]).includes(packet[upperStart(header)] ?? 0)
  );
}

/**
 * Who talked to whom in the packet that an ICMP error is about, as far as that can be told for sure: `undefined` for any other
 * packet, for a piece of an error, and where the quoted headers, ports included, are not whole.
 */
export function quotedFlow(packet: Uint8Array, header: IpHeader): PacketFlow | undefined {
  if (!isIcmpError(packet, header) || isFragmentOfIp(header)) return undefined;
  const quote = packet.subarray(upperStart(header) + quoteOffset, header.totalLength);
  const first = quote[0] ?? 0;
  const headerBytes = header.family === 4 ? Math.max(ipv4HeaderBytes, (first & 0xf) * 4) : ipv6HeaderBytes;
  return first >>> 4 === header.family && quote.length >= headerBytes ? flowOfPacket(quote) : undefined;
}
