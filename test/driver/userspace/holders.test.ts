import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { udpInodes, udpPortHolder } from '../../../src/driver/userspace/holders.js';

test('udpInodes finds the sockets of a port, and no other column', () => {
  const table = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  123: 00000000:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  124: 0100007F:11F4 0100007F:01F4 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
`;
  assert.deepEqual(udpInodes(table, 500), ['4711']);
  assert.deepEqual(udpInodes(table, 4596), ['4712']);
});

test('udpPortHolder names this process for a port it holds', async () => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  try {
    assert.equal(udpPortHolder(socket.address().port)?.pid, process.pid);
  } finally {
    socket.close();
  }
});
