/** A packet as one line, `tcp 192.0.2.1:1025 > 198.51.100.7:80 in`: parsing and printing. */
import { IpseckitError } from '../report/errors.js';
import { addressFamily, type IpAddress, parseIpAddress } from '../wire/ip/address.js';
import { quoted } from './ipsecpol/piece.js';
import { carriesPorts } from './protocols.js';

/** What filters look at in a packet. */
export interface Packet {
  /** `outbound` leaves this host (sent or forwarded), `inbound` arrives. */
  readonly direction: 'inbound' | 'outbound';
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** IP protocol, 1 to 255. */
  readonly protocol: number;
  /** 0 where the protocol has no ports. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** Words for protocols; any other is its number. */
const protocols: ReadonlyMap<string, number> = new Map([
  ['tcp', 6],
  ['udp', 17],
  ['icmp', 1],
  ['icmpv6', 58],
  ['esp', 50],
  ['ah', 51],
  ['gre', 47],
  ['rsvp', 46],
  ['raw', 255],
]);
const protocolWords: ReadonlyMap<number, string> = new Map([...protocols].map(([word, id]) => [id, word]));

const example = 'for example: tcp 192.0.2.1:1025 > 198.51.100.7:80 in';

interface Word {
  readonly text: string;
  /** Counted from 1. */
  readonly column: number;
}

/**
 * Parses `PROTOCOL SOURCE[:PORT] > DESTINATION[:PORT] [in|out]`; IPv6 addresses with ports stand in brackets. Without
 * a direction, the one of `local`, this computer's addresses, says it. Throws `IpseckitError` (USAGE) with the column.
 */
export function parsePacket(text: string, local: readonly IpAddress[]): Packet {
  const fail = (column: number, problem: string, next = example): never => {
    throw new IpseckitError('USAGE', `bad packet ${quoted(text)} (column ${column}): ${problem}`, { next });
  };
  const words = [...text.matchAll(/[^\s>]+|>/g)].map(
    (match): Word => ({ text: match[0], column: match.index + 1 }),
  );
  let position = 0;
  const take = (expected: string): Word =>
    words[position++] ?? fail(text.length + 1, `expected ${expected}, found nothing`);
  const protocol = parseProtocol(take('a protocol'), fail);
  const source = parseEnd(take('a source address'), protocol, 'source', fail);
  const arrow = take("'>'");
  if (arrow.text !== '>') fail(arrow.column, `expected '>' behind the source, found ${quoted(arrow.text)}`);
  const destinationWord = take('a destination address');
  const destination = parseEnd(destinationWord, protocol, 'destination', fail);
  if (addressFamily(source.address) !== addressFamily(destination.address))
    fail(destinationWord.column, 'one end is IPv4 and the other IPv6');
  const directionWord = words[position++];
  const extra = words[position];
  if (extra !== undefined)
    fail(extra.column, `nothing may follow the direction, found ${quoted(extra.text)}`);
  return {
    direction:
      directionWord === undefined
        ? (directionOf(source.address, destination.address, local) ??
          fail(text.length + 1, 'neither end is this computer, so the direction must be said', whichWay))
        : parseDirection(directionWord, fail),
    source: source.address,
    destination: destination.address,
    protocol,
    sourcePort: source.port,
    destinationPort: destination.port,
  };
}

const whichWay =
  "add 'out' for a packet that leaves this computer (or is forwarded), 'in' for one that arrives";

/** Which way a packet between two addresses goes, seen from a computer with these addresses. */
export function directionOf(
  source: IpAddress,
  destination: IpAddress,
  local: readonly IpAddress[],
): Packet['direction'] | undefined {
  if (local.includes(source)) return 'outbound';
  return local.includes(destination) ? 'inbound' : undefined;
}

/** The canonical line; it parses to the same packet. */
export function printPacket(packet: Packet): string {
  const { protocol, source, sourcePort, destination, destinationPort, direction } = packet;
  const word = protocolWords.get(protocol) ?? String(protocol);
  const end = (address: IpAddress, port: number) => {
    if (!carriesPorts(protocol)) return address;
    return addressFamily(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
  };
  return `${word} ${end(source, sourcePort)} > ${end(destination, destinationPort)} ${direction === 'inbound' ? 'in' : 'out'}`;
}

type Fail = (column: number, problem: string, next?: string) => never;

function parseProtocol({ text, column }: Word, fail: Fail): number {
  const known = protocols.get(text.toLowerCase());
  if (known !== undefined) return known;
  const id = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (id >= 1 && id <= 255) return id;
  return fail(
    column,
    `expected a protocol (${[...protocols.keys()].join(', ')} or a number 1 to 255), found ${quoted(text)}`,
  );
}

function parseEnd(
  { text, column }: Word,
  protocol: number,
  side: string,
  fail: Fail,
): { readonly address: IpAddress; readonly port: number } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  const whole = parseIpAddress(text);
  const colon = text.lastIndexOf(':');
  const [addressText, portText] =
    bracketed !== null
      ? [bracketed[1] ?? '', bracketed[2]]
      : whole !== undefined || colon < 0
        ? [text, undefined]
        : [text.slice(0, colon), text.slice(colon + 1)];
  const address = parseIpAddress(addressText);
  if (address === undefined)
    return fail(column, `expected the ${side} address, found ${quoted(addressText)}`);
  if (portText === undefined) {
    if (!carriesPorts(protocol)) return { address, port: 0 };
    const form = addressFamily(address) === 6 ? `[${address}]:PORT` : `${address}:PORT`;
    return fail(column + text.length, `a TCP or UDP packet has a ${side} port: write ${form}`);
  }
  const portColumn = column + text.length - portText.length;
  if (!carriesPorts(protocol)) return fail(portColumn, 'only TCP and UDP packets have ports');
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : Number.NaN;
  if (!(port >= 1 && port <= 65_535))
    return fail(
      portColumn,
      `expected a port 1 to 65535, found ${portText === '' ? 'nothing' : quoted(portText)}`,
    );
  return { address, port };
}

function parseDirection({ text, column }: Word, fail: Fail): Packet['direction'] {
  if (/^in(bound)?$/i.test(text)) return 'inbound';
  if (/^out(bound)?$/i.test(text)) return 'outbound';
  return fail(column, `expected 'in' or 'out', found ${quoted(text)}`);
}
