import assert from 'node:assert/strict';
import { test } from 'node:test';
import { steeringNames } from '../../../src/driver/kernel-names.js';
import { routingRemovers, tableRemovers } from '../../../src/driver/userspace/removal-watch.js';
import { hostIsLittleEndian } from '../../../src/wire/netlink/layout.js';
import { encodeNetlink, encodePayload } from '../../../src/wire/netlink/message.js';

/** A netlink message with one attribute behind a fixed part, from a port. */
function message(type: number, port: number, fixedBytes: number, attribute: number, value: Uint8Array) {
  const payload = encodePayload(new Uint8Array(fixedBytes), [{ type: attribute, value }]);
  const bytes = encodeNetlink({ type, flags: 0, sequence: 0, payload });
  new DataView(bytes.buffer).setUint32(12, port, hostIsLittleEndian);
  return bytes;
}
const ofTable = (type: number, port: number, name: string) =>
  message((10 << 8) | type, port, 4, 1, Buffer.from(`${name}\0`));
const ofRouting = (type: number, port: number, table: number) => {
  const value = new DataView(new ArrayBuffer(4));
  value.setUint32(0, table, hostIsLittleEndian);
  return message(type, port, 12, 15, new Uint8Array(value.buffer));
};
const ports = (removers: typeof tableRemovers, ...messages: Uint8Array[]) => [
  ...removers(Buffer.concat(messages)),
];

test('deletions in our nftables table count, of the table, a chain, a rule, a set and its elements', () => {
  const deletions = [2, 5, 8, 11, 14].map((type, index) => ofTable(type, index + 1, 'ipseckit'));
  assert.deepEqual(ports(tableRemovers, ...deletions), [1, 2, 3, 4, 5]);
  const others = [ofTable(0, 1, 'ipseckit'), ofTable(6, 1, 'ipseckit'), ofTable(2, 1, 'firewall')];
  assert.deepEqual(
    ports(tableRemovers, ...others, ofTable(2, 7, 'ipseckit'), ofTable(8, 7, 'ipseckit')),
    [7],
  );
});

test('so do deletions of rules and routes of our tables, but for those of the kernel itself', () => {
  const { secureRouteTable: ours } = steeringNames;
  assert.deepEqual(ports(routingRemovers, ofRouting(25, 3, ours), ofRouting(33, 4, ours)), [3, 4]);
  const others = [
    ofRouting(24, 1, ours),
    ofRouting(32, 1, ours),
    ofRouting(25, 0, ours),
    ofRouting(33, 1, 254),
  ];
  assert.deepEqual(ports(routingRemovers, ...others), []);
});

test('what makes no sense is no deletion', () => {
  for (const [removers, packet] of [
    [tableRemovers, ofTable(2, 1, 'ipseckit')],
    [routingRemovers, ofRouting(33, 1, steeringNames.secureRouteTable)],
  ] as const)
    for (let length = 0; length < packet.length - 3; length++)
      assert.deepEqual(ports(removers, packet.subarray(0, length)), [], `cut to ${length} bytes`);
  assert.deepEqual(ports(tableRemovers, Buffer.alloc(64)), []);
});
