import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AhTransform } from '../../../src/crypto/ah-transform.js';
import { Reassembler } from '../../../src/driver/userspace/reassembly.js';
import { maskMutableIpv6 } from '../../../src/wire/ah-ipv6.js';
import { fromHex, toHex, WireError } from '../../../src/wire/bytes.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { checksumOf } from '../../../src/wire/ip/checksum.js';
import { fragmentIpv6 } from '../../../src/wire/ip/fragment.js';
import { packetTooBigMessage, readPacketTooBig } from '../../../src/wire/ip/icmp.js';
import { addressOf, decodeIp, packetAddress, portsOf, sumOfAddress } from '../../../src/wire/ip/ip.js';
import { decodeIpv6, encodeIpv6, setTrafficClass } from '../../../src/wire/ip/ipv6.js';
import { SeededRandom } from '../../support/random.js';

/** A number of an IPv6 address. */
function number(text: string): bigint {
  const value = packetAddress(ipAddress(text));
  assert.ok(typeof value === 'bigint');
  return value;
}

const ends = { source: number('2001:db8::1'), destination: number('2001:db8:0:1::2') };
const fields = { tos: 0x28, flowLabel: 0xabcde, ttl: 63, ...ends };

/** A packet of extension headers and payload in hexadecimal, the first of them of type `nextHeader`. */
const packetOf = (nextHeader: number, hex: string) => encodeIpv6({ ...fields, nextHeader }, fromHex(hex));

const hopByHop = (next: string) => `${next}00 0502 0000 0100`;
const routing = (next: string) => `${next}02 00 01 00000000 20010db8000000000000000000000099`;
const destinationOptions = (next: string) => `${next}00 0104 00000000`;
const fragment = (next: string) => `${next}00 0001 00000007`;
const udp = '0fa00035000c0000 01020304';

describe('IPv6 header', () => {
  test('decodes what it encodes, ports and addresses too', () => {
    const packet = packetOf(17, udp);
    const header = decodeIp(packet);
    assert.ok(header.family === 6);
    const { tos, flowLabel, ttl, protocol, headerBytes, upperStart, totalLength } = header;
    assert.deepEqual(
      { tos, flowLabel, ttl, protocol, headerBytes, upperStart, totalLength },
      {
        tos: 0x28,
        flowLabel: 0xabcde,
        ttl: 63,
        protocol: 17,
        headerBytes: 40,
        upperStart: 40,
        totalLength: 52,
      },
    );
    assert.equal(addressOf(header.source), '2001:db8::1');
    assert.equal(addressOf(header.destination), '2001:db8:0:1::2');
    assert.deepEqual(portsOf(packet, header), { source: 4000, destination: 53 });
    setTrafficClass(packet, 0xb9);
    assert.deepEqual([decodeIpv6(packet).tos, decodeIpv6(packet).flowLabel], [0xb9, 0xabcde]);
  });

  /** Headers, what transport mode leaves outside, what it protects first, what the packet carries. */
  const chains: readonly (readonly [string, Uint8Array, number, number, number])[] = [
    ['hop-by-hop options stay outside', packetOf(0, hopByHop('11') + udp), 48, 17, 17],
    ['destination options go inside', packetOf(60, destinationOptions('11') + udp), 40, 60, 17],
    ['a routing header stays outside', packetOf(43, routing('11') + udp), 64, 17, 17],
    [
      'and destination options before it; those behind it go inside',
      packetOf(0, hopByHop('3c') + destinationOptions('2b') + routing('3c') + destinationOptions('11') + udp),
      80,
      60,
      17,
    ],
    [
      'a fragment header ends what stays outside',
      packetOf(0, hopByHop('2c') + fragment('11') + udp),
      48,
      44,
      17,
    ],
    [
      'AH is not looked into',
      packetOf(51, '1104000000001002000000010000000000000000000000000fa0'),
      40,
      51,
      51,
    ],
  ];
  for (const [name, packet, headerBytes, nextHeader, protocol] of chains)
    test(name, () => {
      const header = decodeIpv6(packet);
      assert.deepEqual(
        [header.headerBytes, header.nextHeader, header.protocol],
        [headerBytes, nextHeader, protocol],
      );
      assert.equal(packet[header.nextHeaderAt], nextHeader);
      assert.equal(packet[header.protocolAt], protocol);
    });

  const bad: readonly (readonly [string, Uint8Array, string])[] = [
    ['cut', packetOf(17, udp).subarray(0, 51), 'truncated'],
    ['another version', fromHex(`45${'00'.repeat(60)}`), 'unsupported'],
    ['an extension header that is too long', packetOf(0, '1105000000000000'), 'truncated'],
    ['half an extension header', packetOf(60, '1100'), 'truncated'],
    [
      'hop-by-hop options in the wrong place',
      packetOf(60, destinationOptions('00') + hopByHop('11')),
      'bad-value',
    ],
    ['two fragment headers', packetOf(44, fragment('2c') + fragment('11') + udp), 'bad-value'],
    ['an endless chain', packetOf(60, destinationOptions('3c').repeat(40)), 'bad-length'],
  ];
  for (const [name, packet, reason] of bad)
    test(`${name} is an error`, () => {
      assert.throws(() => decodeIpv6(packet), { name: 'WireError', reason });
    });

  test('no bytes make it throw anything but WireError', () => {
    const random = new SeededRandom(8200);
    let decoded = 0;
    for (let i = 0; i < 20_000; i++) {
      const packet = packetOf(random.pick([0, 43, 44, 60, 17]), toHex(random.bytes(random.int(90))));
      if (random.chance(0.7))
        for (let at = 40; at < packet.length; at += 8) packet[at] = random.pick([0, 43, 44, 60, 17]);
      if (random.chance(0.7)) for (let at = 41; at < packet.length; at += 8) packet[at] = random.int(3);
      try {
        const { headerBytes, upperStart, totalLength } = decodeIpv6(packet);
        assert.ok(headerBytes <= upperStart && upperStart <= totalLength && totalLength <= packet.length);
        decoded++;
      } catch (error) {
        assert.ok(error instanceof WireError);
      }
    }
    assert.ok(decoded > 1000, `${decoded} decoded`);
  });
});

describe('IPv6 fragments', () => {
  test('fit, and go together again in any order, behind what every fragment repeats', () => {
    const random = new SeededRandom(5722);
    for (let round = 0; round < 100; round++) {
      const data = random.bytes(random.between(1300, 9000));
      const packet = packetOf(0, hopByHop('3c') + destinationOptions('11') + toHex(data));
      const mtu = random.between(1280, 1500);
      const pieces = fragmentIpv6(packet, mtu, round);
      assert.ok(pieces.length > 1 || packet.length <= mtu);
      assert.ok(pieces.every(piece => piece.length <= mtu && piece.length === decodeIpv6(piece).totalLength));
      if (pieces.length === 1) continue;
      pieces.sort(() => (random.chance(0.5) ? 1 : -1));
      const reassembler = new Reassembler();
      const whole = pieces.flatMap(piece => reassembler.add(piece, decodeIpv6(piece), 0) ?? []);
      assert.deepEqual(whole.map(toHex), [toHex(packet)]);
    }
  });

  test('overlapping ones void their packet', () => {
    const reassembler = new Reassembler();
    const pieces = fragmentIpv6(packetOf(17, '00'.repeat(4000)), 1280, 1);
    const again = [pieces[0], pieces[0], ...pieces].flatMap(piece => {
      assert.ok(piece);
      return reassembler.add(piece, decodeIpv6(piece), 0) ?? [];
    });
    assert.equal(again.length, 1, 'but it can come again, whole');
  });
});

describe('ICMPv6 packet too big', () => {
  test('has a right checksum, quotes what fits 1280 bytes, and goes back to the sender', () => {
    const message = packetTooBigMessage(packetOf(50, '00'.repeat(1400)), 1350);
    const header = decodeIpv6(message);
    assert.equal(message.length, 1280);
    assert.deepEqual([header.source, header.destination], [ends.destination, ends.source]);
    const payload = message.subarray(40);
    assert.equal(toHex(payload.subarray(0, 2)), '0200');
    const pseudo = sumOfAddress(header.source) + sumOfAddress(header.destination) + 58 + payload.length;
    assert.equal(checksumOf(payload, 0, payload.length, pseudo), 0);
    const sa = { protocol: 'esp', spi: 0 };
    assert.deepEqual(readPacketTooBig(message, 4500), { sa, destination: '2001:db8:0:1::2', mtuBytes: 1350 });
  });

  test('is believed about protected packets only', () => {
    const about = (nextHeader: number, hex: string) =>
      readPacketTooBig(packetTooBigMessage(packetOf(nextHeader, hex), 1300), 4500)?.sa;
    const esp = { protocol: 'esp', spi: 0x1234_5678 };
    assert.deepEqual(about(50, '1234567800000001'), esp);
    assert.deepEqual(about(51, '110400001234567800000001'), { protocol: 'ah', spi: 0x1234_5678 });
    assert.deepEqual(about(44, `${fragment('32')}1234567800000001`), esp);
    assert.deepEqual(about(17, '11941194003000001234567800000001'), esp);
    assert.equal(about(17, '1194119400300000'), undefined);
    assert.equal(about(17, udp), undefined);
    assert.equal(about(6, '00'.repeat(40)), undefined);
    assert.equal(readPacketTooBig(packetOf(58, '8000000000000000'), 4500), undefined);
  });
});

describe('what AH covers of IPv6', () => {
  const ah = '1104 0000 00001002 00000001 000000000000000000000000';

  /** The packet as AH sees it, up to the AH. */
  function masked(packet: Uint8Array): Uint8Array {
    const copy = Uint8Array.from(packet);
    maskMutableIpv6(copy, decodeIpv6(packet).upperStart);
    return copy;
  }

  test('not traffic class, flow label and hop limit, but length and addresses', () => {
    const packet = packetOf(51, ah + udp);
    const copy = masked(packet);
    assert.equal(toHex(copy.subarray(0, 8)), '6000000000243300');
    assert.equal(toHex(copy.subarray(8)), toHex(packet.subarray(8)));
  });

  test('not the data of options that may change on the way, but their type and length', () => {
    const packet = packetOf(0, `3301 3e02 abcd 0502 0007 0502 0100 0000 ${ah}${udp}`);
    assert.equal(toHex(masked(packet).subarray(40, 56)), '33013e02000005020007050201000000');
  });

  test('a routing header as it is at its end', () => {
    const packet = packetOf(43, routing('33') + ah + udp);
    const copy = decodeIpv6(masked(packet));
    assert.equal(addressOf(copy.destination), '2001:db8::99');
    assert.equal(toHex(masked(packet).subarray(40, 64)), '330200000000000020010db8000000010000000000000002');
    const arrived = Uint8Array.from(packet);
    maskMutableIpv6(arrived, 64);
    assert.equal(toHex(masked(arrived)), toHex(arrived), 'seen from the end it is the same');
  });

  test('a sealed packet verifies after routers have changed what they may', () => {
    const transform = new AhTransform('sha1', new Uint8Array(20).fill(3));
    const packet = packetOf(0, hopByHop('33') + ah + udp);
    transform.seal(packet, 0, packet.length, 48);
    packet[7] = 12;
    setTrafficClass(packet, 3);
    assert.ok(transform.verify(packet, packet.length, 48));
    packet[39] = 9;
    assert.ok(!transform.verify(packet, packet.length, 48));
  });

  test('malformed options and routing headers are errors', () => {
    assert.throws(() => masked(packetOf(0, `3300 3e09 abcd 0000 ${ah}`)), { reason: 'bad-length' });
    assert.throws(() => masked(packetOf(43, `3302 0005 00000000 ${'00'.repeat(16)} ${ah}`)), {
      reason: 'bad-value',
    });
  });
});
