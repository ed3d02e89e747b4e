import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FilterTable } from '../../src/driver/filter-table.js';
import { type Flow, type Ipv4Selector, matchesFlow } from '../../src/driver/ipv4-selector.js';
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
    sourceFirst,
    sourceLast,
    destinationFirst,
    destinationLast,
    protocol: random.pick([0, 1, 6, 17]),
    sourcePort: port(random),
    destinationPort: port(random),
  };
}

function flow(random: SeededRandom): Flow {
  const protocol = random.pick([1, 6, 17, 50]);
  const hasPorts = protocol === 6 || protocol === 17;
  return {
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
      const packet = {
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
});
