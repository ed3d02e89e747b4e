import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex, toHex, WireError } from '../../../src/wire/bytes.js';
import { type IpAddress, ipAddress } from '../../../src/wire/ip/address.js';
import { adjustChecksum, checksumOf, onesComplementSum, sumOfU32 } from '../../../src/wire/ip/checksum.js';
import {
  decodeIpv4,
  destinationPortOf,
  encodeIpv4,
  ipv4FromNumber,
  ipv4Options,
  ipv4Payload,
  ipv4ToNumber,
  isFragment,
  isMulticastOrBroadcast,
  sourcePortOf,
} from '../../../src/wire/ip/packet.js';
import { ipPacket, tcpPacket, udpPacket } from '../../support/packets.js';
import { SeededRandom } from '../../support/random.js';

/** A ping as tcpdump shows it. */
const ping = fromHex('45000054090400004001f988c0a87b03c0a87bc8 08009f76a90a0100');

describe('IPv4 header', () => {
  test('a real header, field by field', () => {
    const whole = new Uint8Array(0x54);
    whole.set(ping);
    const header = decodeIpv4(whole);
    assert.deepEqual(header, {
      family: 4,
      headerBytes: 20,
      tos: 0,
      totalLength: 0x54,
      identification: 0x0904,
      dontFragment: false,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: 64,
      protocol: 1,
      source: 0xc0a8_7b03,
      destination: 0xc0a8_7bc8,
    });
    assert.equal(ipv4FromNumber(header.source), '192.168.123.3');
    assert.equal(toHex(encodeIpv4(header, ipv4Payload(whole, header))), toHex(whole));
  });

  test('whatever decodes encodes back, but for the checksum and the reserved flag', () => {
    const random = new SeededRandom(791);
    let decoded = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = random.bytes(random.between(0, 90));
      if (bytes.length >= 8 && random.chance(0.9)) {
        bytes[0] = 0x40 | random.between(4, 8);
        bytes[2] = 0;
        bytes[3] = bytes.length;
        bytes[6] = (bytes[6] ?? 0) & 0x7f;
      }
      let header: ReturnType<typeof decodeIpv4>;
      try {
        header = decodeIpv4(bytes);
      } catch (error) {
        assert.ok(error instanceof WireError);
        continue;
      }
      decoded++;
      const again = encodeIpv4(header, ipv4Payload(bytes, header), ipv4Options(bytes, header));
      const masked = (packet: Uint8Array) => toHex(Uint8Array.from(packet).fill(0, 10, 12));
      const expected = Uint8Array.from(bytes.subarray(0, header.totalLength));
      expected[6] = (expected[6] ?? 0) & 0x7f;
      assert.equal(masked(again), masked(expected));
      assert.equal(checksumOf(again, 0, header.headerBytes), 0);
    }
    assert.ok(decoded > 5000);
  });

  test('errors say what and where', () => {
    const cases: [string, string, number][] = [
      ['', 'truncated', 0],
      ['45000014', 'truncated', 4],
      [`60${'00'.repeat(39)}`, 'unsupported', 0],
      [`44000014${'00'.repeat(16)}`, 'bad-length', 0],
      [`45000013${'00'.repeat(16)}`, 'bad-length', 2],
      [`45000015${'00'.repeat(16)}`, 'truncated', 20],
      [`46000014${'00'.repeat(16)}`, 'bad-length', 2],
    ];
    for (const [bytes, reason, offset] of cases)
      assert.throws(() => decodeIpv4(fromHex(bytes)), { name: 'WireError', reason, offset }, bytes);
  });

  test('ports of TCP and UDP only, and of first fragments only', () => {
    const where = { source: '192.0.2.1', destination: '198.51.100.2', sourcePort: 4001, destinationPort: 88 };
    const ports = (packet: Uint8Array) => {
      const header = decodeIpv4(packet);
      return [sourcePortOf(packet, header), destinationPortOf(packet, header)];
    };
    assert.deepEqual(ports(udpPacket(where)), [4001, 88]);
    assert.deepEqual(ports(tcpPacket(where)), [4001, 88]);
    assert.deepEqual(ports(ipPacket(where, 1, fromHex('0fa10058'))), [0, 0]);
    assert.deepEqual(ports(ipPacket(where, 6, fromHex('0fa100'))), [0, 0]);
    const first = ipPacket({ ...where, header: { moreFragments: true } }, 17, fromHex('0fa1005800000000'));
    assert.deepEqual(ports(first), [4001, 88]);
    const later = ipPacket({ ...where, header: { fragmentOffset: 8 } }, 17, fromHex('0fa1005800000000'));
    assert.deepEqual(ports(later), [0, 0]);
    assert.equal(isFragment(decodeIpv4(first)) && isFragment(decodeIpv4(later)), true);
  });

  test('addresses as numbers and back', () => {
    for (const text of ['0.0.0.0', '127.0.0.1', '192.0.2.255', '255.255.255.255'])
      assert.equal(ipv4FromNumber(ipv4ToNumber(ipAddress(text))), text);
    assert.throws(() => ipv4ToNumber('2001:db8::1' as IpAddress), WireError);
    const groups = ['224.0.0.1', '239.255.255.255', '255.255.255.255'];
    assert.ok(groups.every(text => isMulticastOrBroadcast(ipv4ToNumber(ipAddress(text)))));
    const others = ['223.255.255.255', '240.0.0.1', '10.0.0.255'];
    assert.ok(others.every(text => !isMulticastOrBroadcast(ipv4ToNumber(ipAddress(text)))));
  });
});

describe('internet checksum', () => {
  test('RFC 1071 section 3 example', () => {
    assert.equal(onesComplementSum(fromHex('0001f203f4f5f6f7'), 0, 8), 0xddf2);
  });

  test('adjusting gives what computing anew gives', () => {
    const random = new SeededRandom(1624);
    for (let i = 0; i < 5000; i++) {
      const data = random.bytes(40);
      const before = { a: random.u32(), b: random.u32() };
      const after = { a: random.u32(), b: random.u32() };
      const sum = (pair: typeof before) => sumOfU32(pair.a) + sumOfU32(pair.b);
      const checksum = checksumOf(data, 0, data.length, sum(before));
      const expected = checksumOf(data, 0, data.length, sum(after));
      assert.equal(adjustChecksum(checksum, sum(before), sum(after)), expected);
    }
  });
});
