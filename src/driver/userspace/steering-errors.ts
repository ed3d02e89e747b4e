/**
 * Which ICMP errors belong into a tunnel though no filter covers who sends them: they quote what came out of it, which must not
 * leave in clear (RFC 4301 6.2). Pure: filters come in, nftables rules go out.
 */
import { addressFamily, addressToBigInt } from '../../wire/ip/address.js';
import type { AddressRange } from '../../wire/ip/selector.js';
import type { DriverFilter } from '../api.js';
import { matchRange } from './steering-dispatch.js';

/** Where the quoted packet has what a filter asks for, in bits from the beginning of the error; ports behind a header without options. */
const quotedBits = {
  4: { protocol: 136, source: 160, destination: 192, sourcePort: 224, destinationPort: 240 },
  6: { protocol: 112, source: 128, destination: 256, sourcePort: 384, destinationPort: 400 },
} as const;
const addressBits = { 4: 32, 6: 128 } as const;
const errorTypes = {
  4: 'icmp type { destination-unreachable, time-exceeded, parameter-problem }',
  6: 'icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }',
} as const;

/** Rules that give `verdict` to such errors, for behind those of the filters. */
export function tunnelErrorRules(filters: readonly DriverFilter[], verdict: string): string[] {
  const rules = filters.flatMap(({ direction, action, tunnelEndpoint, selector }) => {
    if (direction !== 'outbound' || action !== 'secure' || tunnelEndpoint === undefined) return [];
    const { source, destination, protocol, sourcePort, destinationPort } = selector;
    const family = addressFamily(source.first);
    const bits = quotedBits[family];
    // The quoted packet came in: its source is where the filter's packets go.
    const terms = [
      matchRange(family === 4 ? 'ip daddr' : 'ip6 daddr', destination),
      quotedNumber(bits.protocol, 8, protocol),
      matchRange(`@th,${bits.source},${addressBits[family]}`, destination, printNumbers),
      matchRange(`@th,${bits.destination},${addressBits[family]}`, source, printNumbers),
      quotedNumber(bits.sourcePort, 16, destinationPort),
      quotedNumber(bits.destinationPort, 16, sourcePort),
    ];
    return [[errorTypes[family], ...terms.filter(term => term !== ''), verdict].join(' ')];
  });
  return rules.length === 0 ? [] : ['meta l4proto != { 1, 58 } return', ...rules];
}

function quotedNumber(at: number, bits: number, value: number): string {
  return value === 0 ? '' : `@th,${at},${bits} ${value}`;
}

function printNumbers({ first, last }: AddressRange): string {
  const number = (address: AddressRange['first']) => `0x${addressToBigInt(address).toString(16)}`;
  return first === last ? number(first) : `${number(first)}-${number(last)}`;
}
