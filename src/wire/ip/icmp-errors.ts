/** What ICMP errors say of a packet that did not arrive (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1 and 3.3). */

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
