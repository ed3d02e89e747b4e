/** What people write for the parts of a rule, outside of `ipsecpol` command lines: flags and answers to questions. */
import { dhGroups, type GroupId, groupIds } from '../crypto/algorithms.js';
import { IpseckitError } from '../report/errors.js';
import { addressFamily, parseIpAddress } from '../wire/ip/address.js';
import { subnetRange } from '../wire/ip/selector.js';
import type { FilterAddressText, FilterText } from './build.js';
import { specialNames } from './describe.js';
import type { HostText } from './ipsecpol/command.js';
import { parseAddress, parseFilterSpec, parseHost } from './ipsecpol/filter-spec.js';
import { ArgumentError, Piece, quoted } from './ipsecpol/piece.js';
import { parseNegotiation } from './ipsecpol/security-method.js';
import type { SecurityMethod } from './model.js';
import { carriesPorts, protocolName, protocolNames, protocolNumber } from './protocols.js';

/** How addresses may be written, for help texts and messages. */
export const addressForms =
  'me, any, an address, a network (192.0.2.0/24), a host name, dns-servers, wins-servers, dhcp-servers or gateway';

/** Parses an address of a filter. Throws `IpseckitError` (USAGE) that names `what`. */
export function parseAddressWord(text: string, what: string): FilterAddressText {
  const word = text.trim().toLowerCase();
  if (word === 'me') return { kind: 'me' };
  if (word === 'any') return { kind: 'any' };
  for (const group of ['dns', 'wins', 'dhcp', 'gateway'] as const)
    if (word === specialNames[group].toLowerCase()) return { kind: 'special', group };
  if (word.includes(':')) return parseIpv6(word, what);
  return reading(what, text, addressForms, piece => parseAddress(piece));
}

function parseIpv6(word: string, what: string): FilterAddressText {
  const [host = '', length, extra] = word.split('/');
  const address = parseIpAddress(host);
  const prefixLength = length === undefined ? 128 : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (address === undefined || addressFamily(address) !== 6 || extra !== undefined || !(prefixLength <= 128))
    throw unreadable(what, word, 'this is no IPv6 address or network', addressForms);
  return prefixLength === 128
    ? { kind: 'host', address }
    : { kind: 'subnet', address: subnetRange(address, prefixLength).first, prefixLength };
}

/** Parses a host: an address or a name. Throws `IpseckitError` (USAGE) that names `what`. */
export function parseHostWord(text: string, what: string): HostText {
  const address = parseIpAddress(text.trim());
  if (address !== undefined) return { kind: 'host', address };
  return reading(what, text, 'an address or a host name', piece => parseHost(piece));
}

/** Parses a protocol: a name, a number, or `any` (0). Throws `IpseckitError` (USAGE) that names `what`. */
export function parseProtocolWord(text: string, what: string): number {
  const word = text.trim();
  if (/^any$/i.test(word)) return 0;
  const number = protocolNumber(word) ?? (/^\d{1,3}$/.test(word) ? Number(word) : Number.NaN);
  if (number >= 0 && number <= 255) return number;
  throw unreadable(what, text, 'this is no protocol', `any, ${protocolNames.join(', ')} or a number to 255`);
}

/** Parses a port; `any` is 0. Throws `IpseckitError` (USAGE) that names `what`. */
export function parsePortWord(text: string, what: string): number {
  const word = text.trim();
  if (/^any$/i.test(word) || word === '') return 0;
  const number = /^\d{1,5}$/.test(word) ? Number(word) : Number.NaN;
  if (number >= 0 && number <= 65_535) return number;
  throw unreadable(what, text, 'this is no port', 'a number to 65535, or any');
}

/** Parses a filter written as for `ipsecpol`, without brackets. Throws `IpseckitError` (USAGE) that names `what`. */
export function parseFilterWord(text: string, what: string): FilterText {
  return reading(what, text, 'a filter such as 0+192.0.2.20:80:TCP', piece => {
    const spec = parseFilterSpec(piece);
    if (spec.kind === 'default') return piece.fail('the default response rule is no filter');
    const { kind: _, action, ...filter } = spec;
    if (action !== undefined) piece.fail('a filter of a rule stands without brackets');
    return filter;
  });
}

/** Parses a quick mode method written as for `ipsecpol`. Throws `IpseckitError` (USAGE, UNSUPPORTED) that names `what`. */
export function parseMethodWord(text: string, what: string): SecurityMethod {
  return reading(what, text, 'a method such as ESP[3DES,SHA]', piece => {
    const spec = parseNegotiation(piece);
    return spec.kind === 'method' ? spec.method : piece.fail('this is no security method');
  });
}

/** What `parsePfsWord` takes. */
export const pfsWords = ['none', 'main-mode', ...groupIds.map(id => dhGroups[id].name)];

/** Parses what session-key PFS uses. Throws `IpseckitError` (USAGE) that names `what`. */
export function parsePfsWord(text: string, what: string): 'none' | { readonly group?: GroupId } {
  const word = text.trim().toLowerCase();
  if (word === 'none') return 'none';
  if (word === 'main-mode') return {};
  const group = groupIds.find(id => dhGroups[id].name === word || String(id) === word);
  if (group !== undefined) return { group };
  throw unreadable(what, text, 'this is no group', pfsWords.join(', '));
}

/** Checks a filter's ports. Throws `IpseckitError` (CONFLICT). */
export function requirePortsFit({ protocol, sourcePort, destinationPort }: FilterText): void {
  if ((sourcePort === 0 && destinationPort === 0) || carriesPorts(protocol)) return;
  throw new IpseckitError(
    'CONFLICT',
    protocol === 0 ? 'a port needs a protocol' : `protocol ${protocolName(protocol)} has no ports`,
    { next: 'use TCP or UDP (--protocol tcp), or leave the ports out' },
  );
}

/** Checks a new name of a policy or rule. Throws `IpseckitError` (USAGE). */
export function requireName(name: string, what: string): string {
  if (name.trim() === '') throw unreadable(what, name, 'a name has at least one character', 'a name');
  if (/\p{Cc}/u.test(name)) throw unreadable(what, name, 'a name has no control characters', 'a name');
  if (name.length > 255) throw unreadable(what, name, 'a name has 255 characters at most', 'a name');
  return name;
}

function reading<T>(what: string, text: string, forms: string, parse: (piece: Piece) => T): T {
  try {
    return parse(new Piece(what, text.trim(), 1));
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new IpseckitError(error.code, `${what} ${quoted(text)}: ${error.problem}`, {
      next: `give ${forms}`,
    });
  }
}

function unreadable(what: string, text: string, problem: string, forms: string): IpseckitError {
  return new IpseckitError('USAGE', `${what} ${quoted(text)}: ${problem}`, { next: `give ${forms}` });
}
