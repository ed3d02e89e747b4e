import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../../src/wire/bytes.js';
import { checksumOf } from '../../../src/wire/ip/checksum.js';
import { fragmentationNeededMessage } from '../../../src/wire/ip/icmp.js';
import { decodeIpv4, ipv4Payload, readU16 } from '../../../src/wire/ip/packet.js';
import { hasGoodHeaderChecksum, udpPacket } from '../../support/packets.js';

test('fragmentation needed: from the destination to the source, with the MTU and the start of the packet', () => {
  const packet = udpPacket({ source: '192.0.2.1', destination: '198.51.100.2', data: new Uint8Array(1400) });
  const message = fragmentationNeededMessage(packet, 1438);
  const header = decodeIpv4(message);
  const original = decodeIpv4(packet);
  assert.equal(header.source, original.destination);
  assert.equal(header.destination, original.source);
  assert.equal(header.protocol, 1);
  assert.ok(message.length <= 576);
  assert.ok(hasGoodHeaderChecksum(message));
  const icmp = ipv4Payload(message, header);
  assert.equal(toHex(icmp.subarray(0, 2)), '0304');
  assert.equal(readU16(icmp, 6), 1438);
  assert.equal(checksumOf(icmp, 0, icmp.length), 0);
  assert.equal(toHex(icmp.subarray(8)), toHex(packet.subarray(0, icmp.length - 8)));
});
