import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLocalRoutes } from '../../src/agent/local-addresses.js';

const trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.9
           /32 host LOCAL
        |-- 192.0.2.1
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
Local:
        |-- 192.0.2.1
           /32 host LOCAL
`;

test('the host addresses of the routing table, each once, without loopback, broadcast and networks', () => {
  assert.deepEqual(parseLocalRoutes(trie), ['192.0.2.1', '192.0.2.9']);
  assert.deepEqual(parseLocalRoutes(''), []);
});
