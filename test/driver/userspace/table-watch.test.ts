import assert from 'node:assert/strict';
import { endianness } from 'node:os';
import { test } from 'node:test';
import { removedTables } from '../../../src/driver/userspace/table-watch.js';

/** A netlink message of nftables, in this machine's byte order. */
function message(type: number, port: number, name: string): Buffer {
  const text = Buffer.from(`${name}\0`);
  const attributeBytes = 4 + text.length;
  const bytes = Buffer.alloc(20 + ((attributeBytes + 3) & ~3));
  const u16 = (value: number, at: number) =>
    endianness() === 'LE' ? bytes.writeUInt16LE(value, at) : bytes.writeUInt16BE(value, at);
  const u32 = (value: number, at: number) =>
    endianness() === 'LE' ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at);
  u32(bytes.length, 0);
  u16(type, 4);
  u32(port, 12);
  u16(attributeBytes, 20);
  u16(1, 22);
  text.copy(bytes, 24);
  return bytes;
}

test('removedTables finds the removals among other messages', () => {
  const packet = Buffer.concat([
    message(0x0a00, 1, 'new'),
    message(0x0a02, 4711, 'ipseckit'),
    message(0x0a06, 1, 'rule'),
  ]);
  assert.deepEqual(removedTables(packet), [{ name: 'ipseckit', port: 4711 }]);
});

test('removedTables stops at whatever makes no sense', () => {
  const packet = message(0x0a02, 1, 'ipseckit');
  for (let length = 0; length < packet.length; length++)
    assert.deepEqual(removedTables(packet.subarray(0, length)), [], `cut to ${length} bytes`);
  assert.deepEqual(removedTables(Buffer.alloc(64)), []);
});
