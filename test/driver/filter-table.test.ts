import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FilterTable } from '../../src/driver/filter-table.js';
import { Ipv6FilterTable } from '../../src/driver/ipv6-filter-table.js';
import {
  type Ipv4Flow,
  type Ipv4Selector,
  type Ipv6Flow,
  type Ipv6Selector,
  matchesFlow,
} from '../../src/driver/packet-selector.js';
import { SeededRandom } from '../support/random.js';

/** Few distinct values, so that filters and packets meet. */
function address(random: SeededRandom): number {
  return ((10 << 24) | (random.int(3) << 16) | (random.int(3) << 8) | random.int(6)) >>> 0;
}

function range(random: SeededRandom): [number, number] {
  const first = address(random);
  const kind = random.int(4);
  if (kind === 0) return [first, first];
  if (kind === 1) {
    const other = address(random);
    return [Math.min(first, other), Math.max(first, other)];
  }
  const length = random.pick([0, 8, 15, 16, 20, 24, 29, 31]);
  const mask = length === 0 ? 0 : (-1 << (32 - length)) >>> 0;
  const low = (first & mask) >>> 0;
  return [low, (low | ~mask) >>> 0];
}

function port(random: SeededRandom): number {
  return random.pick([0, 0, 1, 80, 65_535]);
}

function selector(random: SeededRandom): Ipv4Selector {
  const [sourceFirst, sourceLast] = range(random);
  const [destinationFirst, destinationLast] = range(random);
  return {
    family: 4,
    sourceFirst,
    sourceLast,
    destinationFirst,
    destinationLast,
    protocol: random.pick([0, 1, 6, 17]),
    sourcePort: port(random),
    destinationPort: port(random),
  };
}

function flow(random: SeededRandom): Ipv4Flow {
  const protocol = random.pick([1, 6, 17, 50]);
  const hasPorts = protocol === 6 || protocol === 17;
  return {
    family: 4,
    source: random.chance(0.05) ? random.u32() : address(random),
    destination: random.chance(0.05) ? random.u32() : address(random),
    protocol,
    sourcePort: hasPorts ? port(random) : 0,
    destinationPort: hasPorts ? port(random) : 0,
  };
}

describe('filter table', () => {
  test('finds what a look at every filter in turn finds', () => {
    const random = new SeededRandom(20_26);
    let hits = 0;
    for (let round = 0; round < 300; round++) {
      const selectors = Array.from({ length: random.pick([0, 1, 5, 30, 200]) }, () =>
        random.chance(0.02) ? undefined : selector(random),
      );
      const table = new FilterTable(selectors);
      for (let i = 0; i < 100; i++) {
        const packet = flow(random);
        const expected = selectors.findIndex(one => one !== undefined && matchesFlow(one, packet));
        assert.equal(table.match(packet), expected, `round ${round}, flow ${JSON.stringify(packet)}`);
        assert.equal(table.match(packet), expected, 'asked again');
        if (expected >= 0) hits++;
      }
    }
    assert.ok(hits > 5000, `${hits} packets met a filter`);
  });

  test('ten thousand hosts with ports: each packet finds its own filter', () => {
    const selectors: Ipv4Selector[] = Array.from({ length: 10_000 }, (_, i) => ({
      family: 4,
      sourceFirst: 0x0a00_0001,
      sourceLast: 0x0a00_0001,
      destinationFirst: 0x0b00_0000 + i,
      destinationLast: 0x0b00_0000 + i,
      protocol: 6,
      sourcePort: 0,
      destinationPort: 1 + (i % 65_535),
    }));
    const table = new FilterTable(selectors);
    for (let i = 0; i < 10_000; i += 7) {
      const packet: Ipv4Flow = {
        family: 4,
        source: 0x0a00_0001,
        destination: 0x0b00_0000 + i,
        protocol: 6,
        sourcePort: 4000,
        destinationPort: 1 + (i % 65_535),
      };
      assert.equal(table.match(packet), i);
      assert.equal(table.match({ ...packet, protocol: 17 }), -1);
    }
  });

  test('IPv6: finds what a look at every filter in turn finds', () => {
    const random = new SeededRandom(6);
    let hits = 0;
    for (let round = 0; round < 150; round++) {
      const wide = (address: number) => wideAddress(address, round % 3);
      const selectors = Array.from(
        { length: random.pick([0, 1, 5, 30, 200]) },
        (): Ipv6Selector | undefined => {
          const narrow = selector(random);
          if (random.chance(0.02)) return undefined;
          return {
            ...narrow,
            family: 6,
            sourceFirst: wide(narrow.sourceFirst),
            sourceLast: wide(narrow.sourceLast),
            destinationFirst: wide(narrow.destinationFirst),
            destinationLast: wide(narrow.destinationLast),
          };
        },
      );
      const table = new Ipv6FilterTable(selectors);
      for (let i = 0; i < 60; i++) {
        const narrow = flow(random);
        const packet: Ipv6Flow = {
          ...narrow,
          family: 6,
          source: wide(narrow.source),
          destination: wide(narrow.destination),
        };
        const expected = selectors.findIndex(one => one !== undefined && matchesFlow(one, packet));
        assert.equal(table.match(packet), expected, `round ${round}, flow ${i}`);
        assert.equal(table.match(packet), expected, 'asked again');
        assert.equal(
          selectors.some(one => one !== undefined && matchesFlow(one, narrow)),
          false,
        );
        if (expected >= 0) hits++;
      }
    }
    assert.ok(hits > 1500, `${hits} packets met a filter`);
  });
});

/** An IPv4 address in the first, the middle or the last bits of an IPv6 address; order is kept. */
function wideAddress(address: number, place: number): bigint {
  return (BigInt(address) << BigInt([88, 40, 0][place] ?? 0)) | (0x20n << 120n);
}
