import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Reassembler } from '../../../src/driver/userspace/reassembly.js';
import { fromHex, toHex } from '../../../src/wire/bytes.js';
import { fragmentIpv4 } from '../../../src/wire/ip/fragment.js';
import { decodeIpv4, ipv4Options } from '../../../src/wire/ip/packet.js';
import { hasGoodHeaderChecksum, udpPacket } from '../../support/packets.js';
import { SeededRandom } from '../../support/random.js';

const where = { source: '192.0.2.1', destination: '198.51.100.2' };

describe('IPv4 fragmentation', () => {
  test('a packet that fits stays whole', () => {
    const packet = udpPacket({ ...where, data: new Uint8Array(100) });
    assert.deepEqual(fragmentIpv4(packet, 128), [packet]);
  });

  test('pieces fit, line up on 8 bytes and go together again, also when cut twice and shuffled', () => {
    const random = new SeededRandom(815);
    for (let round = 0; round < 200; round++) {
      const options = random.chance(0.3) ? fromHex('9404000007070400000000'.padEnd(24, '0')) : undefined;
      const packet = udpPacket({
        ...where,
        data: random.bytes(random.between(1, 9000)),
        header: { identification: round + 1, tos: 0x28 },
        ...(options === undefined ? {} : { options }),
      });
      const mtu = random.between(576, 1500);
      const pieces = fragmentIpv4(packet, mtu).flatMap(piece =>
        random.chance(0.3) ? fragmentIpv4(piece, random.between(120, 560)) : [piece],
      );
      for (const piece of pieces) {
        assert.ok(piece.length <= mtu);
        assert.ok(hasGoodHeaderChecksum(piece));
      }
      const reassembler = new Reassembler();
      const shuffled = pieces
        .map(piece => ({ piece, order: random.u32() }))
        .sort((a, b) => a.order - b.order);
      const whole = shuffled.flatMap(({ piece }) => reassembler.add(piece, decodeIpv4(piece), 0) ?? []);
      // A packet that was never cut is no fragment and reassembles to itself too.
      assert.deepEqual(whole.map(toHex), [toHex(packet)], `round ${round}`);
    }
  });

  test('only options with the copied flag are repeated', () => {
    const options = fromHex('070704 0a000001 94040000 00');
    const packet = udpPacket({ ...where, data: new Uint8Array(1000), options });
    const [first, second] = fragmentIpv4(packet, 600);
    assert.ok(first && second);
    assert.equal(toHex(ipv4Options(first, decodeIpv4(first))), toHex(options));
    assert.equal(toHex(ipv4Options(second, decodeIpv4(second))), '94040000');
  });

  test('an MTU that fits no data is an error', () => {
    const packet = udpPacket({ ...where, data: new Uint8Array(100) });
    assert.throws(() => fragmentIpv4(packet, 27), { name: 'WireError', reason: 'bad-length' });
  });
});

describe('reassembly', () => {
  const packet = udpPacket({ ...where, data: new Uint8Array(2000).fill(7) });
  const pieces = () => fragmentIpv4(packet, 600);

  test('an overlapping fragment voids the packet', () => {
    const reassembler = new Reassembler();
    const [first, second, ...rest] = pieces();
    assert.ok(first && second);
    // Eight bytes earlier, and the same place with other bytes.
    const overlapping = Uint8Array.from(second);
    overlapping[7] = (second[7] ?? 0) - 1;
    const other = Uint8Array.from(second);
    other[60] = 8;
    for (const intruder of [overlapping, other]) {
      for (const piece of [first, second, intruder]) reassembler.add(piece, decodeIpv4(piece), 0);
      for (const piece of rest) assert.equal(reassembler.add(piece, decodeIpv4(piece), 0), undefined);
      reassembler.expire(60_000);
    }
  });

  test('a fragment that comes twice is ignored the second time, unless it then is the last', () => {
    const [first, second, ...rest] = pieces();
    assert.ok(first && second);
    for (const twice of [
      [first, first, second, ...rest],
      [...rest, ...rest, first, second],
    ]) {
      const reassembler = new Reassembler();
      const whole = twice.flatMap(piece => reassembler.add(piece, decodeIpv4(piece), 0) ?? []);
      assert.deepEqual(whole.map(toHex), [toHex(packet)]);
    }
    const last = Uint8Array.from(second);
    last[6] = (second[6] ?? 0) & 0xdf;
    const reassembler = new Reassembler();
    const answers = [first, second, last, ...rest].map(piece => reassembler.add(piece, decodeIpv4(piece), 0));
    assert.deepEqual(answers.filter(Boolean), []);
  });

  test('unfinished packets are given up in time, and never more than 64 are kept', () => {
    const givenUp: number[] = [];
    const reassembler = new Reassembler((header, atMs) => {
      assert.equal(header.family === 4 && header.protocol, 17);
      givenUp.push(atMs);
    });
    for (let id = 1; id <= 100; id++) {
      const [first] = fragmentIpv4(
        udpPacket({ ...where, data: new Uint8Array(2000), header: { identification: id } }),
        600,
      );
      assert.ok(first);
      reassembler.add(first, decodeIpv4(first), 1_000);
    }
    assert.equal(reassembler.nextTimeoutMs, 16_000);
    assert.deepEqual(givenUp, Array(36).fill(1_000), 'the oldest made room');
    reassembler.expire(15_999);
    assert.equal(givenUp.length, 36);
    reassembler.expire(16_000);
    assert.deepEqual(givenUp.slice(36), Array(64).fill(16_000));
    assert.equal(reassembler.nextTimeoutMs, undefined);
  });

  test('fragments that would make more than 65,535 bytes are refused', () => {
    const reassembler = new Reassembler();
    const huge = udpPacket({ ...where, data: new Uint8Array(1000), header: { fragmentOffset: 65_528 } });
    assert.equal(reassembler.add(huge, decodeIpv4(huge), 0), undefined);
    assert.equal(reassembler.nextTimeoutMs, undefined);
  });
});
