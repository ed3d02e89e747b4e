import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parsePacket, printPacket } from '../../src/policy/packet.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { SeededRandom } from '../support/random.js';
import { randomPacket } from '../support/random-policy.js';
import { failure } from './support.js';

const local = [ipAddress('192.0.2.1')];

describe('packets as text', () => {
  test('the documented form', () => {
    assert.deepEqual(parsePacket('tcp 192.0.2.1:1025 > 198.51.100.7:80 in', []), {
      direction: 'inbound',
      source: '192.0.2.1',
      destination: '198.51.100.7',
      protocol: 6,
      sourcePort: 1025,
      destinationPort: 80,
    });
  });

  test("the direction follows from this computer's addresses", () => {
    assert.equal(parsePacket('icmp 192.0.2.1 > 198.51.100.7', local).direction, 'outbound');
    assert.equal(parsePacket('47 198.51.100.7>192.0.2.1', local).direction, 'inbound');
  });

  test('IPv6 addresses with ports stand in brackets', () => {
    const packet = parsePacket('udp [2001:DB8::1]:53 > [2001:db8:0::2]:1025 out', local);
    assert.equal(printPacket(packet), 'udp [2001:db8::1]:53 > [2001:db8::2]:1025 out');
    assert.equal(parsePacket('icmpv6 2001:db8::1 > 2001:db8::2 in', local).protocol, 58);
  });

  const wrong: readonly [string, RegExp][] = [
    ['', /column 1\): expected a protocol, found nothing/],
    ['quic 1.2.3.4:1 > 1.2.3.5:2 in', /column 1\): expected a protocol \(tcp, udp, .*found 'quic'/],
    ['0 1.2.3.4 > 1.2.3.5 in', /column 1\): expected a protocol/],
    ['tcp', /column 4\): expected a source address, found nothing/],
    ['tcp host:1 > 1.2.3.5:2 in', /column 5\): expected the source address, found 'host'/],
    [
      'tcp 1.2.3.4 > 1.2.3.5:2 in',
      /column 12\): a TCP or UDP packet has a source port: write 1\.2\.3\.4:PORT/,
    ],
    ['tcp 2001:db8::1 > [2001:db8::2]:2 in', /write \[2001:db8::1\]:PORT/],
    ['tcp 1.2.3.4:99999 > 1.2.3.5:2 in', /column 13\): expected a port 1 to 65535, found '99999'/],
    ['tcp 1.2.3.4: > 1.2.3.5:2 in', /column 13\): expected a port 1 to 65535, found nothing/],
    ['icmp 1.2.3.4:8 > 1.2.3.5 in', /column 14\): only TCP and UDP packets have ports/],
    ['icmp 1.2.3.4 1.2.3.5 in', /column 14\): expected '>' behind the source, found '1\.2\.3\.5'/],
    ['icmp 1.2.3.4 > 2001:db8::1 in', /column 16\): one end is IPv4 and the other IPv6/],
    ['icmp 1.2.3.4 > 1.2.3.5 up', /column 24\): expected 'in' or 'out', found 'up'/],
    ['icmp 1.2.3.4 > 1.2.3.5 in now', /column 27\): nothing may follow the direction, found 'now'/],
    ['icmp 1.2.3.4 > 1.2.3.5', /column 23\): neither end is this computer/],
  ];
  for (const [text, message] of wrong)
    test(`refused: ${text === '' ? 'nothing' : text}`, () => {
      assert.match(failure(() => parsePacket(text, local), 'USAGE').message, message);
    });

  test('what is printed parses to the same packet', t => {
    const seed = Number(process.env.SEED ?? 20_261_125);
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    for (let i = 0; i < 500; i++) {
      const packet = randomPacket(random, { ipv6: true });
      assert.deepEqual(parsePacket(printPacket(packet), []), packet);
    }
  });
});
