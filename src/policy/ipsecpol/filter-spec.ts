/**
 * Filter specs, `source=destination` or `source+destination`: `A.B.C.D/mask:port=A.B.C.D/mask:port:protocol`
 * (`ipsecpol` flag `-f`). IPv6 addresses, which Windows' tool did not know, stand in `<...>`. Parsing and printing.
 */
import { addressFamily, anyIpv4, type IpAddress, parseIpAddress } from '../../wire/ip/address.js';
import { maskToPrefix, prefixToMask, subnetRange } from '../../wire/ip/selector.js';
import { carriesPorts, protocolName, protocolNames, protocolNumber } from '../protocols.js';
import type { AddressText, FilterSpec, HostText, TrafficSpec } from './command.js';
import type { Piece } from './piece.js';

/** Parses one filter spec. Throws `IpseckitError` (USAGE, UNSUPPORTED) with argument and column. */
export function parseFilterSpec(spec: Piece): FilterSpec {
  if (spec.text.toUpperCase() === 'DEFAULT') return { kind: 'default' };
  const first = spec.text[0];
  if (first === '(' || first === '[') {
    const closing = first === '(' ? ')' : ']';
    if (!spec.text.endsWith(closing)) spec.part(spec.length).expected(`the closing '${closing}'`);
    const traffic = parseTraffic(spec.part(1, spec.length - 1));
    return { ...traffic, action: first === '(' ? 'permit' : 'block' };
  }
  return parseTraffic(spec);
}

function parseTraffic(spec: Piece): TrafficSpec {
  const separators = [...spec.text.matchAll(/[=+]/g)];
  const [separator, second] = separators;
  if (separator === undefined)
    return spec
      .part(spec.length)
      .expected("'=' or '+' between source and destination", 'example: 0+192.0.2.20');
  if (second !== undefined) spec.part(second.index).fail("a second '=' or '+'");
  const [sourceAddress, sourcePort, sourceExtra] = splitFields(spec.part(0, separator.index));
  if (sourceExtra !== undefined)
    sourceExtra.fail('a protocol stands on the destination side only', {
      next: 'write it last, for example 0:80+*::TCP',
    });
  const [address, port, protocol, extra] = splitFields(spec.part(separator.index + 1));
  if (extra !== undefined) extra.fail('nothing may follow the protocol');
  const traffic: TrafficSpec = {
    kind: 'traffic',
    source: parseAddress(sourceAddress),
    destination: parseAddress(address),
    mirrored: separator[0] === '+',
    protocol: parseProtocol(protocol),
    sourcePort: parsePort(sourcePort),
    destinationPort: parsePort(port),
  };
  for (const [number, piece] of [
    [traffic.sourcePort, sourcePort],
    [traffic.destinationPort, port],
  ] as const) {
    if (number === 0 || piece === undefined || carriesPorts(traffic.protocol)) continue;
    if (traffic.protocol === 0)
      piece.fail('a port needs a protocol', { next: 'add :TCP or :UDP at the end of the filter spec' });
    piece.fail(`protocol ${protocolName(traffic.protocol)} has no ports`, {
      next: 'leave the port empty (::ICMP), or use TCP or UDP',
    });
  }
  return traffic;
}

/** The pieces between colons; those in `<...>` belong to an IPv6 address. */
function splitFields(side: Piece): [Piece, ...Piece[]] {
  if (!side.text.startsWith('<')) {
    const [bare = ''] = side.text.split('/');
    // `0::6` is this computer, any port, protocol 6.
    if (!bare.startsWith('0:') && parseIpAddress(bare)?.includes(':'))
      side.fail('an IPv6 address stands in angle brackets', {
        next: `write '<${bare}>', quoted for the shell`,
      });
    return side.split(':');
  }
  const end = side.text.indexOf('>');
  if (end < 0) side.part(side.length).expected("the closing '>'");
  const [behind, ...fields] = side.part(end).split(':');
  return [side.part(0, end + behind.length), ...fields];
}

/** `<2001:db8::1>`, with an optional prefix length behind it. */
function parseIpv6(piece: Piece): AddressText {
  const [bracketed, length, extra] = piece.split('/');
  if (extra !== undefined) extra.fail("a second '/'");
  const inner = bracketed.part(1, bracketed.length - 1);
  const address = bracketed.text.endsWith('>') ? parseIpAddress(inner.text) : undefined;
  if (address === undefined || !address.includes(':')) return inner.expected('an IPv6 address');
  const prefixLength = length === undefined ? 128 : length.number(0, 128, 'a prefix length');
  if (prefixLength === 128) return { kind: 'host', address };
  return { kind: 'subnet', address: subnetRange(address, prefixLength).first, prefixLength };
}

function parsePort(piece: Piece | undefined): number {
  if (piece === undefined || piece.length === 0) return 0;
  if (protocolNumber(piece.text) !== undefined && !/^\d/.test(piece.text))
    piece.fail("a protocol must follow a port or '::'", { next: `write ::${piece.text}` });
  return piece.number(0, 65_535, 'a port number');
}

function parseProtocol(piece: Piece | undefined): number {
  if (piece === undefined || piece.length === 0) return 0;
  return (
    protocolNumber(piece.text) ?? piece.number(0, 255, `${protocolNames.join(', ')} or a protocol number`)
  );
}

/** `0`, `*`, dotted, star-dotted, a DNS name or `<IPv6>`, with an optional mask. */
export function parseAddress(piece: Piece): AddressText {
  if (piece.text.startsWith('<')) return parseIpv6(piece);
  const [address, mask, extra] = piece.split('/');
  if (extra !== undefined) extra.fail("a second '/'");
  const prefixLength = mask === undefined ? undefined : parseMask(mask);
  if (address.text === '0') {
    if (mask !== undefined && prefixLength !== 32)
      mask.fail('0 is this computer and takes no mask but 255.255.255.255', {
        next: 'write * for any address',
      });
    return { kind: 'me' };
  }
  if (address.text === '*') {
    if (mask !== undefined && prefixLength !== 0) mask.fail('* is any address and takes no mask but 0.0.0.0');
    return { kind: 'any' };
  }
  if (address.text.includes('*')) {
    if (mask !== undefined) mask.fail('octet stars already say the mask');
    return starDotted(address);
  }
  const host = parseHost(address);
  if (host.kind === 'name')
    return prefixLength === undefined || prefixLength === 32
      ? host
      : prefixLength === 0
        ? { kind: 'any' }
        : { ...host, prefixLength };
  if (host.address === anyIpv4 && (prefixLength ?? 32) === 32)
    address.fail('0.0.0.0 is no host', { next: 'write 0 for this computer, * for any address' });
  return subnet(host.address, prefixLength ?? 32);
}

function parseMask(piece: Piece): number {
  if (/^\d+$/.test(piece.text)) return piece.number(0, 32, 'a prefix length');
  const mask = piece.text.includes(':') ? undefined : parseIpAddress(piece.text);
  const prefixLength = mask === undefined ? undefined : maskToPrefix(mask);
  if (mask === undefined) piece.expected('a mask such as 255.255.255.0');
  if (prefixLength === undefined) piece.fail('the one bits of the mask are not contiguous');
  return prefixLength;
}

/** `144.92.*.*`; trailing stars may be cut short (`128.*`). */
function starDotted(piece: Piece): AddressText {
  const parts = piece.split('.');
  if (parts.length > 4) piece.fail('an address has four octets');
  const fixed = parts.findIndex(part => part.text === '*');
  const octets = parts.map((part, i) => {
    if (fixed >= 0 && i >= fixed) {
      if (part.text !== '*') part.expected("'*': only stars may follow a star");
      return 0;
    }
    return part.number(0, 255, 'an octet');
  });
  if (fixed === 0) return { kind: 'any' };
  const text = [...octets, 0, 0, 0].slice(0, 4).join('.');
  const address = parseIpAddress(text);
  if (address === undefined) piece.expected('an address');
  return subnet(address, 8 * fixed);
}

function subnet(address: IpAddress, prefixLength: number): AddressText {
  if (prefixLength === 0) return { kind: 'any' };
  if (prefixLength === 32) return { kind: 'host', address };
  return { kind: 'subnet', address: subnetRange(address, prefixLength).first, prefixLength };
}

/** An address, an IPv6 one with or without `<...>`, or a DNS name. Throws `IpseckitError` (USAGE, UNSUPPORTED) with argument and column. */
export function parseHost(piece: Piece): HostText {
  const text = /^<.*>$/.test(piece.text) ? piece.text.slice(1, -1) : piece.text;
  const address = parseIpAddress(text);
  if (address !== undefined) return { kind: 'host', address };
  if (/^[\d.]+$/.test(text)) {
    const octets = piece.split('.');
    for (const octet of octets) octet.number(0, 255, 'an octet');
    piece.fail(`an address has four octets, this has ${octets.length}`, {
      next: 'write trailing octets as stars for a subnet, for example 128.*',
    });
  }
  const labels = text.replace(/\.$/, '').split('.');
  if (text.length > 253 || !labels.every(label => /^[a-z\d_]([a-z\d_-]{0,61}[a-z\d_])?$/i.test(label)))
    piece.expected('an address: 0, *, A.B.C.D, A.B.*.* or a host name');
  if (/^\d+$/.test(labels.at(-1) ?? '')) piece.expected('an address or a host name');
  return { kind: 'name', name: text };
}

/** Canonical text: what is printed parses to the same spec. */
export function printFilterSpec(spec: FilterSpec): string {
  if (spec.kind === 'default') return 'DEFAULT';
  const port = (number: number) => (number === 0 ? '' : String(number));
  const source = printAddress(spec.source) + (spec.sourcePort === 0 ? '' : `:${spec.sourcePort}`);
  const protocol = spec.protocol === 0 ? '' : `:${protocolName(spec.protocol)}`;
  const behind =
    protocol === '' && spec.destinationPort === 0 ? '' : `:${port(spec.destinationPort)}${protocol}`;
  const text = `${source}${spec.mirrored ? '+' : '='}${printAddress(spec.destination)}${behind}`;
  if (spec.action === undefined) return text;
  return spec.action === 'permit' ? `(${text})` : `[${text}]`;
}

const isIpv6 = (address: IpAddress) => addressFamily(address) === 6;

function printAddress(address: AddressText): string {
  switch (address.kind) {
    case 'me':
      return '0';
    case 'any':
      return '*';
    case 'host':
      return isIpv6(address.address) ? `<${address.address}>` : address.address;
    case 'subnet':
      return isIpv6(address.address)
        ? `<${address.address}>/${address.prefixLength}`
        : `${address.address}/${prefixToMask(address.prefixLength)}`;
    case 'name':
      return address.prefixLength === undefined
        ? address.name
        : `${address.name}/${prefixToMask(address.prefixLength)}`;
  }
}

/** Text of a host: what `-t` takes. */
export function printHost(host: HostText): string {
  return host.kind === 'name' ? host.name : host.address;
}
