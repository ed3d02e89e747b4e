import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { isPeerPortConnected } from '../../../src/driver/userspace/connected-ports.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { ipProtocol } from '../../../src/wire/ip/packet.js';

for (const [name, listen, address] of [
  ['IPv4', '127.0.0.1', '127.0.0.1'],
  ['IPv4 on an IPv6 socket', '::', '127.0.0.1'],
  ['IPv6', '::1', '::1'],
] as const)
  test(`the far ports of connected sockets are seen: ${name}`, async t => {
    const server = createServer(socket => socket.resume());
    t.after(() => server.close());
    server.listen(0, listen);
    const listens = await Promise.race([
      once(server, 'listening').then(() => true),
      once(server, 'error').then(() => false),
    ]);
    if (!listens) return t.skip('no IPv6 here');
    const { port } = server.address() as AddressInfo;
    const isConnected = () => isPeerPortConnected(ipProtocol.tcp, ipAddress(address), port);
    assert.equal(isConnected(), false, 'listening is not being connected');
    const socket = connect(port, address);
    await once(socket, 'connect');
    assert.equal(isConnected(), true);
    assert.equal(isPeerPortConnected(ipProtocol.udp, ipAddress(address), port), false);
    assert.equal(isPeerPortConnected(ipProtocol.icmp, ipAddress(address), port), false);
    socket.destroy();
  });
