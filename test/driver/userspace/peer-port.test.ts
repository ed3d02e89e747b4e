/** IPv6's side of it; IPv4's is tried with whole engines in `engine-clients.test.ts`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { flowOf, mirrorFlow } from '../../../src/driver/packet-selector.js';
import { conversationOf, setPeerPort, setQuotedPeer } from '../../../src/driver/userspace/peer-port.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { checksumOf } from '../../../src/wire/ip/checksum.js';
import { decodeIp, packetAddress, sumOfAddress } from '../../../src/wire/ip/ip.js';
import { encodeIpv6, ipv6HeaderBytes, readIpv6Address } from '../../../src/wire/ip/ipv6.js';
import { ipProtocol, readU16, writeU16 } from '../../../src/wire/ip/packet.js';

const number = (text: string) => BigInt(packetAddress(ipAddress(text)));
const here = number('2001:db8::1');
const nat = number('2001:db8::9');
const own = number('fd00::2');

function ipv6(source: bigint, destination: bigint, nextHeader: number, payload: Uint8Array): Uint8Array {
  const checksumAt = nextHeader === ipProtocol.udp ? 6 : 2;
  const pseudo = sumOfAddress(source) + sumOfAddress(destination) + nextHeader + payload.length;
  writeU16(payload, checksumAt, 0);
  writeU16(payload, checksumAt, checksumOf(payload, 0, payload.length, pseudo));
  return encodeIpv6({ tos: 0, flowLabel: 0, nextHeader, ttl: 64, source, destination }, payload);
}

function udp(source: bigint, destination: bigint, sourcePort: number, destinationPort: number): Uint8Array {
  const payload = new Uint8Array(20).fill(7);
  writeU16(payload, 0, sourcePort);
  writeU16(payload, 2, destinationPort);
  writeU16(payload, 4, payload.length);
  return ipv6(source, destination, ipProtocol.udp, payload);
}

function hasGoodChecksum(packet: Uint8Array): boolean {
  const { source, destination, protocol, totalLength } = decodeIp(packet);
  const pseudo = sumOfAddress(source) + sumOfAddress(destination) + protocol + totalLength - ipv6HeaderBytes;
  return checksumOf(packet, ipv6HeaderBytes, totalLength, pseudo) === 0;
}

function conversation(packet: Uint8Array, direction: 'inbound' | 'outbound') {
  const header = decodeIp(packet);
  const own = flowOf(packet, header);
  const flow = direction === 'inbound' ? mirrorFlow(own) : own;
  const { protocol, sourcePort, destinationPort } = conversationOf(packet, header, flow, direction);
  return [protocol, sourcePort, destinationPort];
}

describe('the port of the peer in IPv6', () => {
  test('of UDP', () => {
    const packet = udp(nat, here, 1_701, 1_702);
    assert.deepEqual(conversation(packet, 'inbound'), [17, 1_702, 1_701]);
    setPeerPort(packet, decodeIp(packet), 'inbound', 30_001);
    assert.deepEqual(conversation(packet, 'inbound'), [17, 1_702, 30_001]);
    assert.ok(hasGoodChecksum(packet));
  });

  test('of an echo: the id, where the peer asked', () => {
    const asked = ipv6(nat, here, ipProtocol.icmpv6, Uint8Array.of(128, 0, 0, 0, 0, 7, 0, 1));
    assert.deepEqual(conversation(asked, 'inbound'), [58, 0, 7]);
    setPeerPort(asked, decodeIp(asked), 'inbound', 30_001);
    assert.deepEqual(conversation(asked, 'inbound'), [58, 0, 30_001]);
    assert.ok(hasGoodChecksum(asked));
    const replied = ipv6(here, nat, ipProtocol.icmpv6, Uint8Array.of(129, 0, 0, 0, 0x75, 0x31, 0, 1));
    assert.deepEqual(conversation(replied, 'outbound'), [58, 0, 30_001]);
    const weAsked = ipv6(here, nat, ipProtocol.icmpv6, Uint8Array.of(128, 0, 0, 0, 0, 7, 0, 1));
    assert.deepEqual(conversation(weAsked, 'outbound'), [58, 7, 0]);
  });

  test('of an error: what the packet it quotes has, and the address there', () => {
    const quote = udp(here, own, 1_701, 1_702);
    const message = new Uint8Array(8 + quote.length);
    message[0] = 1;
    message.set(quote, 8);
    const error = ipv6(nat, here, ipProtocol.icmpv6, message);
    const header = decodeIp(error);
    assert.deepEqual(conversation(error, 'inbound'), [17, 1_701, 1_702]);
    setPeerPort(error, header, 'inbound', 30_001);
    setQuotedPeer(error, header, 'inbound', own, nat);
    assert.deepEqual(conversation(error, 'inbound'), [17, 1_701, 30_001]);
    assert.equal(readIpv6Address(error, ipv6HeaderBytes + 8 + 24), nat);
    assert.equal(readU16(error, ipv6HeaderBytes + 8 + ipv6HeaderBytes), 1_701, 'ours stays');
    assert.ok(hasGoodChecksum(error));
    setQuotedPeer(error, header, 'inbound', own, here);
    assert.equal(readIpv6Address(error, ipv6HeaderBytes + 8 + 24), nat, 'it quotes another');
  });

  test('of nothing that is cut off', () => {
    const error = ipv6(nat, here, ipProtocol.icmpv6, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0x60, 0));
    assert.deepEqual(conversation(error, 'inbound'), [58, 0, 0]);
    setPeerPort(error, decodeIp(error), 'inbound', 30_001);
    assert.ok(hasGoodChecksum(error));
  });
});
