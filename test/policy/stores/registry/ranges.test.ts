/** Ranges of the V2 section (Windows Vista and later): what they become, and that a few bytes cannot make millions of filters. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeFilter } from '../../../../src/policy/describe.js';
import type { Guid } from '../../../../src/policy/model.js';
import { NoteBook } from '../../../../src/policy/note.js';
import {
  type Address2,
  addressTypes,
  filterData,
} from '../../../../src/policy/stores/registry/filter-data.js';
import { filtersFromData } from '../../../../src/policy/stores/registry/filter-model.js';
import { addressBytes, ipAddress } from '../../../../src/wire/ip/address.js';

const sixteen = (address: string) =>
  Uint8Array.from({ length: 16 }, (_, i) => addressBytes(ipAddress(address))[i] ?? 0);

const range = (first: string, last: string): Address2 => ({
  type: addressTypes.range,
  version: first.includes(':') ? 2 : 1,
  address: sixteen(first),
  second: sixteen(last),
});

const any = (version: number): Address2 => ({ ...range('::', '::'), type: addressTypes.any, version });

const spec = (source: Address2, destination: Address2, lastPort = 0) => ({
  sourceName: '',
  destinationName: '',
  description: '',
  id: '{11111111-1111-1111-1111-111111111111}' as Guid,
  mirrored: false,
  source,
  destination,
  sourcePort: { type: 0, first: 0, last: 0 },
  destinationPort: { type: lastPort === 0 ? 0 : 2, first: 1, last: lastPort },
  protocol: lastPort === 0 ? 0 : 6,
  flags: 8,
});

function load(...specs2: ReturnType<typeof spec>[]) {
  const book = new NoteBook();
  const filters = filtersFromData(filterData.decode(filterData.encode({ specs: [], specs2 })), book);
  return { filters, texts: filters.map(describeFilter), notes: book.notes.map(({ text }) => text) };
}

describe('V2 filters', () => {
  test('a range becomes the fewest subnets', () => {
    const { texts } = load(spec(range('192.0.2.2', '192.0.2.7'), range('2001:db8::', '2001:db8::1')));
    assert.deepEqual(texts, [
      '192.0.2.2/255.255.255.254=<2001:db8::>/127',
      '192.0.2.4/255.255.255.252=<2001:db8::>/127',
    ]);
  });

  test('any address of IPv6 takes none of IPv4 with it', () => {
    assert.deepEqual(load(spec(any(2), any(2))).texts, ['<::>/0=<::>/0']);
    assert.deepEqual(load(spec(any(1), any(1))).texts, ['*=*']);
  });

  test('ranges that would become thousands of filters are left out, and said', () => {
    const widest = range('::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe');
    const { filters, notes } = load(spec(widest, widest, 64), spec(any(1), any(1)));
    assert.equal(filters.length, 1);
    assert.deepEqual(notes, ['its ranges would become 4129024 filters']);
  });

  test('so are those behind many of a list', () => {
    const wide = spec(range('::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe'), any(2), 4);
    const { filters, notes } = load(...Array.from({ length: 30 }, () => wide));
    assert.equal(filters.length, 19 * 254 * 4);
    assert.equal(notes.filter(note => note.includes('would become')).length, 11);
  });
});
