/** What stands around the IKE messages of a capture: fragments of IP, ICMP errors, messages that lack something. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipsecTraffic } from '../../../src/diag/replay/datagrams.js';
import { replay } from '../../../src/diag/replay/replay.js';
import { linkTypes } from '../../../src/wire/captured-packet.js';
import { addressToBigInt, ipAddress } from '../../../src/wire/ip/address.js';
import { fragmentIpv6 } from '../../../src/wire/ip/fragment.js';
import { encodeIpv6 } from '../../../src/wire/ip/ipv6.js';
import { ipProtocol } from '../../../src/wire/ip/packet.js';
import { decodeMessage, encodeMessage } from '../../../src/wire/isakmp/message.js';
import type { Payload } from '../../../src/wire/isakmp/payloads.js';
import { pcapFile } from '../../support/captures.js';
import { ipPacket, udpPacket } from '../../support/packets.js';
import { recording } from '../../support/recordings.js';

const [initiator, responder] = ['192.0.2.1', '192.0.2.2'];

/** The IKE messages of a recording, and who sent each. */
function messagesOf(name: string) {
  return ipsecTraffic(recording(name).file).datagrams.map(({ bytes, source }) => ({
    bytes,
    from: source.address,
  }));
}

const packetOf = ({ bytes, from }: { bytes: Uint8Array; from: string }) =>
  udpPacket({
    source: from,
    destination: from === initiator ? responder : initiator,
    ...{ sourcePort: 500, destinationPort: 500, data: bytes },
  });

/** The same message with other payloads. */
function changed(bytes: Uint8Array, change: (payload: Payload) => Payload[]): Uint8Array {
  const { header, payloads } = decodeMessage(bytes);
  return encodeMessage(
    header,
    payloads.flatMap(({ payload }) => change(payload)),
  );
}

const only = (packets: readonly Uint8Array[]) => {
  const report = replay(pcapFile(packets, linkTypes.RAW));
  const [negotiation] = report.negotiations;
  assert.ok(negotiation, report.notes.join());
  return { ...negotiation, notes: report.notes };
};

test('fragments of IPv6 are put together', () => {
  const [first] = messagesOf('aggressive-psk');
  assert.ok(first);
  const udp = packetOf(first).subarray(20);
  const packet = encodeIpv6(
    {
      ...{ tos: 0, flowLabel: 0, nextHeader: ipProtocol.udp, ttl: 64 },
      source: addressToBigInt(ipAddress('2001:db8::1')),
      destination: addressToBigInt(ipAddress('2001:db8::2')),
    },
    udp,
  );
  const fragments = fragmentIpv6(packet, 200, 7);
  assert.ok(fragments.length > 2);
  const { messages, notes, initiator: from } = only(fragments.reverse());
  assert.deepEqual(
    [messages.map(({ name }) => name), from.address, notes],
    [['aggressive mode 1'], '2001:db8::1', []],
  );
});

test('what ICMP says of IKE messages, and of nothing else', () => {
  const [first] = messagesOf('aggressive-psk');
  assert.ok(first);
  const sent = packetOf(first);
  const unreachable = (quoted: Uint8Array, code: number) =>
    ipPacket(
      { source: responder, destination: initiator },
      ipProtocol.icmp,
      Uint8Array.of(3, code, 0, 0, 0, 0, 0, 0, ...quoted.subarray(0, 28)),
    );
  const other = udpPacket({ source: initiator, destination: responder, destinationPort: 53 });
  const { notes } = only([
    sent,
    unreachable(sent, 3),
    unreachable(sent, 3),
    unreachable(sent, 13),
    unreachable(other, 3),
  ]);
  const what = `ICMP of ${responder}: what ${initiator} sent to UDP port 500 of ${responder} did not arrive`;
  assert.deepEqual(notes, [
    `2 times: ${what}: port unreachable, nothing listens on that port`,
    `${what}: administratively prohibited, a firewall refuses it`,
  ]);
});

test('a message that lacks what it must have, and a public value of another group', () => {
  const [first, second, third] = messagesOf('aggressive-psk');
  assert.ok(first && second && third);
  const lacking = only([
    packetOf({
      ...first,
      bytes: changed(first.bytes, payload => (['nonce', 'id'].includes(payload.kind) ? [] : [payload])),
    }),
  ]);
  assert.ok(
    lacking.messages[0]?.decisions.includes('lacks NONCE, ID: the other side cannot accept it'),
    lacking.messages[0]?.decisions.join(),
  );
  const short = changed(first.bytes, payload => [
    payload.kind === 'ke' ? { ...payload, data: payload.data.slice(32) } : payload,
  ]);
  const misfit = only([packetOf({ ...first, bytes: short }), packetOf(second)]);
  assert.match(
    misfit.messages[1]?.decisions.join() ?? '',
    /the KE of the initiator has 96 bytes; modp1024, which was chosen, takes 128/,
  );
});

test('a side that goes on as if the answer had never come', () => {
  const [first, second] = messagesOf('main-psk-differs');
  assert.ok(first && second);
  const [ask, answer] = [packetOf(first), packetOf(second)];
  const { failure } = only([ask, answer, ask, answer, ask, answer]);
  assert.equal(failure?.reason, 'no-response');
  assert.match(
    failure?.text ?? '',
    /^192\.0\.2\.1 did not answer main mode 2 \(sent 3 times, nothing within 0\.0 s\), and kept sending main mode 1: main mode 2 does not reach it, or it refuses it silently$/,
  );
});
