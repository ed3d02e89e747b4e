/**
 * Finds the filter that decides about a packet, among hundreds of thousands, IPv4 and IPv6, at a cost that hardly grows
 * with their number. The packet engine has a table of its own, laid out for IPv4 at line rate; this one answers
 * questions about policies, and can also say in which fields a filter and a packet differ.
 */
import type { DriverFilter } from '../driver/api.js';
import { addressBytes, addressFamily, type IpAddress, ipv4Number } from '../wire/ip/address.js';
import type { Packet } from './packet.js';

/** Addresses as 32-bit words, most significant first: one for IPv4, four for IPv6. */
export type AddressWords = readonly number[];

/** The words of an address. */
export function addressWords(address: IpAddress): AddressWords {
  if (addressFamily(address) === 4) return [ipv4Number(address)];
  const bytes = Buffer.from(addressBytes(address));
  return [0, 4, 8, 12].map(at => bytes.readUInt32BE(at));
}

/** Fields in which a packet and a filter can differ, as bits. */
export const field = {
  direction: 1,
  source: 2,
  destination: 4,
  protocol: 8,
  sourcePort: 16,
  destinationPort: 32,
} as const;

/** A packet in the form that comparing takes. */
export interface PacketWords {
  readonly direction: Packet['direction'];
  readonly source: AddressWords;
  readonly destination: AddressWords;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A packet in the form that comparing takes. */
export function packetWords(packet: Packet): PacketWords {
  return { ...packet, source: addressWords(packet.source), destination: addressWords(packet.destination) };
}

/** The filters of one list, in matching order; places in it stand for them. */
export class FilterIndex {
  readonly #filters: readonly DriverFilter[];
  readonly #tables: ReadonlyMap<string, Table>;

  constructor(filters: readonly DriverFilter[]) {
    this.#filters = filters;
    const groups = new Map<string, number[]>();
    filters.forEach(({ direction, selector }, place) => {
      const words = addressFamily(selector.source.first) === 4 ? 1 : 4;
      const key = `${direction} ${words}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [place]);
      else group.push(place);
    });
    this.#tables = new Map(
      [...groups].map(([key, places]) => [key, new Table(filters, places, key.endsWith('1') ? 1 : 4)]),
    );
  }

  /** Place of the first filter that matches, leaving out those that `passOver` names; `undefined` when none does. */
  match(packet: PacketWords, passOver?: (place: number) => boolean): number | undefined {
    return this.#tables.get(`${packet.direction} ${packet.source.length}`)?.match(packet, passOver);
  }

  /** The `field` bits in which a filter and a packet differ; 0 when it matches. */
  differences(place: number, packet: PacketWords): number {
    const filter = this.#filters[place];
    if (filter === undefined) return -1;
    const { selector, direction } = filter;
    const words = addressFamily(selector.source.first) === 4 ? 1 : 4;
    const table = this.#tables.get(`${direction} ${words}`);
    return (table?.differences(place, packet) ?? -1) | (direction === packet.direction ? 0 : field.direction);
  }
}

/** Filters whose prefixes are of like length, and that name the same fields, are filed in the same way. */
interface Shape {
  readonly sourceBits: number;
  readonly destinationBits: number;
  readonly byProtocol: boolean;
  readonly bySourcePort: boolean;
  readonly byDestinationPort: boolean;
  /** Row of its first filter. */
  readonly first: number;
}

/** Tuple space search over the filters of one direction and family. */
class Table {
  readonly #words: 1 | 4;
  /** Place in the whole list of each row here; ascending. */
  readonly #places: Int32Array;
  readonly #rows = new Map<number, number>();
  readonly #sourceFirst: Uint32Array;
  readonly #sourceLast: Uint32Array;
  readonly #destinationFirst: Uint32Array;
  readonly #destinationLast: Uint32Array;
  /** Protocol, source port and destination port of each row. */
  readonly #upper: Uint16Array;
  readonly #shapes: readonly Shape[];
  readonly #buckets: Int32Array;
  readonly #next: Int32Array;
  readonly #mask: number;

  constructor(filters: readonly DriverFilter[], places: readonly number[], words: 1 | 4) {
    const count = places.length;
    this.#words = words;
    this.#places = Int32Array.from(places);
    this.#sourceFirst = new Uint32Array(count * words);
    this.#sourceLast = new Uint32Array(count * words);
    this.#destinationFirst = new Uint32Array(count * words);
    this.#destinationLast = new Uint32Array(count * words);
    this.#upper = new Uint16Array(count * 3);
    const size = 2 ** Math.ceil(Math.log2(Math.max(16, count * 2)));
    this.#mask = size - 1;
    this.#buckets = new Int32Array(size).fill(-1);
    this.#next = new Int32Array(count).fill(-1);
    const shapes = new Map<number, Shape>();
    const shapeOfRow: Shape[] = [];
    places.forEach((place, row) => {
      this.#rows.set(place, row);
      const filter = filters[place];
      if (filter === undefined) return;
      this.#write(row, filter);
      const shape = this.#shapeOf(row);
      const key = shapeKey(shape);
      const known = shapes.get(key) ?? shape;
      shapes.set(key, known);
      shapeOfRow.push(known);
    });
    this.#shapes = [...shapes.values()];
    // From the last to the first, so that each filter is put before the later ones of its bucket.
    for (let row = count - 1; row >= 0; row--) {
      const shape = shapeOfRow[row];
      if (shape === undefined) continue;
      const bucket = this.#bucketOf(shape, this.#firstPacketOf(row));
      this.#next[row] = this.#buckets[bucket] ?? -1;
      this.#buckets[bucket] = row;
    }
  }

  match(packet: PacketWords, passOver?: (place: number) => boolean): number | undefined {
    let found = this.#places.length;
    for (const shape of this.#shapes) {
      if (shape.first >= found) break;
      let row = this.#buckets[this.#bucketOf(shape, packet)] ?? -1;
      for (; row >= 0 && row < found; row = this.#next[row] ?? -1)
        if (this.#differences(row, packet) === 0 && !passOver?.(this.#places[row] ?? -1)) found = row;
    }
    return this.#places[found];
  }

  differences(place: number, packet: PacketWords): number {
    const row = this.#rows.get(place);
    return row === undefined ? -1 : this.#differences(row, packet);
  }

  #differences(row: number, packet: PacketWords): number {
    const words = this.#words;
    const at = row * 3;
    const upper = this.#upper;
    const protocol = upper[at];
    const sourcePort = upper[at + 1];
    const destinationPort = upper[at + 2];
    let bits = 0;
    if (protocol !== 0 && protocol !== packet.protocol) bits |= field.protocol;
    if (sourcePort !== 0 && sourcePort !== packet.sourcePort) bits |= field.sourcePort;
    if (destinationPort !== 0 && destinationPort !== packet.destinationPort) bits |= field.destinationPort;
    if (!inRange(this.#sourceFirst, this.#sourceLast, row * words, words, packet.source))
      bits |= field.source;
    if (!inRange(this.#destinationFirst, this.#destinationLast, row * words, words, packet.destination))
      bits |= field.destination;
    return bits;
  }

  #write(row: number, { selector }: DriverFilter): void {
    const at = row * this.#words;
    this.#sourceFirst.set(addressWords(selector.source.first), at);
    this.#sourceLast.set(addressWords(selector.source.last), at);
    this.#destinationFirst.set(addressWords(selector.destination.first), at);
    this.#destinationLast.set(addressWords(selector.destination.last), at);
    this.#upper.set([selector.protocol, selector.sourcePort, selector.destinationPort], row * 3);
  }

  #shapeOf(row: number): Shape {
    const at = row * this.#words;
    return {
      sourceBits: filedBits(this.#sourceFirst, this.#sourceLast, at, this.#words),
      destinationBits: filedBits(this.#destinationFirst, this.#destinationLast, at, this.#words),
      byProtocol: this.#upper[row * 3] !== 0,
      bySourcePort: this.#upper[row * 3 + 1] !== 0,
      byDestinationPort: this.#upper[row * 3 + 2] !== 0,
      first: row,
    };
  }

  #firstPacketOf(row: number): Omit<PacketWords, 'direction'> {
    const at = row * this.#words;
    return {
      source: [...this.#sourceFirst.subarray(at, at + this.#words)],
      destination: [...this.#destinationFirst.subarray(at, at + this.#words)],
      protocol: this.#upper[row * 3] ?? 0,
      sourcePort: this.#upper[row * 3 + 1] ?? 0,
      destinationPort: this.#upper[row * 3 + 2] ?? 0,
    };
  }

  #bucketOf(shape: Shape, packet: Omit<PacketWords, 'direction'>): number {
    let hash = shapeKey(shape);
    for (let word = 0; word < this.#words; word++) {
      hash = mix(hash, (packet.source[word] ?? 0) & wordMask(shape.sourceBits, word));
      hash = mix(hash, (packet.destination[word] ?? 0) & wordMask(shape.destinationBits, word));
    }
    if (shape.byProtocol) hash = mix(hash, packet.protocol);
    if (shape.bySourcePort) hash = mix(hash, packet.sourcePort);
    if (shape.byDestinationPort) hash = mix(hash, packet.destinationPort ^ 0x5bd1_e995);
    return (hash ^ (hash >>> 16)) & this.#mask;
  }
}

/** A number for each shape: bits of the prefixes are below 129. */
function shapeKey(shape: Shape): number {
  const named = (shape.byProtocol ? 1 : 0) | (shape.bySourcePort ? 2 : 0) | (shape.byDestinationPort ? 4 : 0);
  return (shape.sourceBits * 129 + shape.destinationBits) * 8 + named;
}

function inRange(
  first: Uint32Array,
  last: Uint32Array,
  at: number,
  words: number,
  address: AddressWords,
): boolean {
  if (address.length !== words) return false;
  return notAfter(first, at, words, address, 1) && notAfter(last, at, words, address, -1);
}

/** Whether the words at `at` are at most (`sign` 1) or at least (`sign` -1) the address. */
function notAfter(
  bound: Uint32Array,
  at: number,
  words: number,
  address: AddressWords,
  sign: 1 | -1,
): boolean {
  for (let word = 0; word < words; word++) {
    const difference = ((bound[at + word] ?? 0) - (address[word] ?? 0)) * sign;
    if (difference !== 0) return difference < 0;
  }
  return true;
}

/** Leading bits that a range's ends share, cut to whole bytes: the longest prefix that shapes tell apart. */
function filedBits(first: Uint32Array, last: Uint32Array, at: number, words: number): number {
  let bits = 0;
  for (let word = 0; word < words; word++) {
    const shared = Math.clz32((first[at + word] ?? 0) ^ (last[at + word] ?? 0));
    bits += shared;
    if (shared < 32) break;
  }
  return bits - (bits % 8);
}

function wordMask(bits: number, word: number): number {
  const here = bits - 32 * word;
  if (here >= 32) return -1;
  return here <= 0 ? 0 : -1 << (32 - here);
}

function mix(hash: number, value: number): number {
  const product = Math.imul(hash ^ (hash >>> 15), 0x85eb_ca6b) ^ Math.imul(value, 0x9e37_79b1);
  return Math.imul(product ^ (product >>> 13), 0xc2b2_ae35);
}
