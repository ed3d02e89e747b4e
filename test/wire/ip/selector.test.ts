import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  addressBytes,
  addressFromBytes,
  addressToBigInt,
  compareAddresses,
  type IpAddress,
  ipAddress,
  parseIpAddress,
} from '../../../src/wire/ip/address.js';
import {
  hostRange,
  maskToPrefix,
  mirrorSelector,
  prefixLengthOf,
  prefixToMask,
  printRange,
  rangeContains,
  rangeCovers,
  rangesOverlap,
  type Selector,
  selectorCovers,
  selectorsEqual,
  subnetRange,
} from '../../../src/wire/ip/selector.js';
import { SeededRandom } from '../../support/random.js';

describe('addresses', () => {
  test('text to bytes and back, in canonical form', () => {
    for (const [text, canonical] of [
      ['192.0.2.1', '192.0.2.1'],
      ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
      ['::', '::'],
      ['::1', '::1'],
      ['2001:db8::', '2001:db8::'],
      ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
      ['2001:0:0:1:0:0:1:1', '2001::1:0:0:1:1'],
      ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
      ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ] as const) {
      const address = ipAddress(text);
      assert.equal(address, canonical);
      assert.equal(addressFromBytes(addressBytes(address)), canonical);
    }
  });

  test('what is no address literal is refused', () => {
    for (const text of ['', '192.0.2', '192.0.2.256', 'localhost', '10.0.0.0/8', 'fe80::1%eth0', '1:2:3'])
      assert.equal(parseIpAddress(text), undefined, text);
  });

  test('order is numeric, not textual', () => {
    const random = new SeededRandom(5);
    for (let i = 0; i < 2000; i++) {
      const length = random.chance(0.7) ? 4 : 16;
      const a = addressFromBytes(random.bytes(length));
      const b = random.chance(0.1) ? a : addressFromBytes(random.bytes(length));
      const difference = addressToBigInt(a) - addressToBigInt(b);
      assert.equal(
        Math.sign(compareAddresses(a, b)),
        difference < 0n ? -1 : difference > 0n ? 1 : 0,
        `${a} ${b}`,
      );
    }
  });
});

describe('ranges', () => {
  test('a subnet has its first and last address, and prints as a subnet', () => {
    for (const [address, length, first, last] of [
      ['10.1.2.3', 8, '10.0.0.0', '10.255.255.255'],
      ['10.1.2.3', 30, '10.1.2.0', '10.1.2.3'],
      ['10.1.2.3', 32, '10.1.2.3', '10.1.2.3'],
      ['10.1.2.3', 0, '0.0.0.0', '255.255.255.255'],
      ['2001:db8::1', 127, '2001:db8::', '2001:db8::1'],
    ] as const) {
      const range = subnetRange(ipAddress(address), length);
      assert.deepEqual(range, { first, last });
      assert.equal(prefixLengthOf(range), length);
    }
    assert.equal(printRange(subnetRange(ipAddress('10.1.2.3'), 24)), '10.1.2.0/24');
    assert.equal(printRange(subnetRange(ipAddress('10.1.2.3'), 0)), 'any');
    assert.equal(printRange(hostRange(ipAddress('10.1.2.3'))), '10.1.2.3');
    assert.equal(
      printRange({ first: ipAddress('10.0.0.1'), last: ipAddress('10.0.0.6') }),
      '10.0.0.1-10.0.0.6',
    );
  });

  test('what is no subnet has no prefix length', () => {
    for (const [first, last] of [
      ['10.0.0.1', '10.0.0.4'],
      ['10.0.0.0', '10.0.0.2'],
      ['10.0.0.9', '10.0.0.1'],
    ] as const)
      assert.equal(prefixLengthOf({ first: ipAddress(first), last: ipAddress(last) }), undefined);
  });

  test('masks and prefix lengths are the same thing twice', () => {
    for (let length = 0; length <= 32; length++) assert.equal(maskToPrefix(prefixToMask(length)), length);
    assert.equal(prefixToMask(20), '255.255.240.0');
    assert.equal(maskToPrefix(ipAddress('255.0.255.0')), undefined);
  });

  test('families never contain one another', () => {
    const everything = subnetRange(ipAddress('0.0.0.0'), 0);
    assert.equal(rangeContains(everything, ipAddress('::1')), false);
    assert.equal(rangesOverlap(everything, hostRange(ipAddress('::1'))), false);
  });

  test('containing, covering and overlapping agree with the numbers', () => {
    const random = new SeededRandom(6);
    const address = () => `10.0.0.${random.int(12)}` as IpAddress;
    const range = () => {
      const [first, last] = [address(), address()].sort(compareAddresses);
      return { first: first ?? address(), last: last ?? address() };
    };
    const numbers = ({ first, last }: ReturnType<typeof range>) => {
      const low = Number(addressToBigInt(first));
      return Array.from({ length: Number(addressToBigInt(last)) - low + 1 }, (_, i) => low + i);
    };
    for (let i = 0; i < 3000; i++) {
      const [a, b, one] = [range(), range(), address()];
      const [inA, inB] = [numbers(a), numbers(b)];
      assert.equal(rangeContains(a, one), inA.includes(Number(addressToBigInt(one))));
      assert.equal(
        rangeCovers(a, b),
        inB.every(n => inA.includes(n)),
      );
      assert.equal(
        rangesOverlap(a, b),
        inB.some(n => inA.includes(n)),
      );
    }
  });
});

describe('selectors', () => {
  const tcp80: Selector = {
    source: hostRange(ipAddress('192.0.2.1')),
    destination: subnetRange(ipAddress('10.0.0.0'), 8),
    protocol: 6,
    sourcePort: 0,
    destinationPort: 80,
  };

  test('a mirror exchanges addresses and ports, twice is the same', () => {
    assert.deepEqual(mirrorSelector(tcp80), {
      source: tcp80.destination,
      destination: tcp80.source,
      protocol: 6,
      sourcePort: 80,
      destinationPort: 0,
    });
    assert.ok(selectorsEqual(mirrorSelector(mirrorSelector(tcp80)), tcp80));
  });

  test('any protocol and any port cover the others, not the other way round', () => {
    const wider = { ...tcp80, protocol: 0, destinationPort: 0 };
    assert.equal(selectorCovers(wider, tcp80), true);
    assert.equal(selectorCovers(tcp80, wider), false);
    assert.equal(selectorCovers(tcp80, { ...tcp80, sourcePort: 1025 }), true);
    assert.equal(selectorCovers({ ...tcp80, sourcePort: 1025 }, tcp80), false);
    assert.equal(selectorCovers(tcp80, { ...tcp80, protocol: 17 }), false);
  });
});
