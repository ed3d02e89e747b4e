import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInterfaces6, parseLocalRoutes } from '../../src/agent/local-addresses.js';

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

test('IPv6 addresses come with the adapter they are on', () => {
  const table = `fe80000000000000a00e00fffe000001 02 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000010 02 40 00 80     eth0
20010db8000100000000000000000010 03 40 00 80     ppp0
`;
  assert.deepEqual(parseInterfaces6(table), [
    { address: '2001:db8:1::10', connectionType: 'dialup' },
    { address: '2001:db8::10', connectionType: 'lan' },
    { address: 'fe80::a00e:ff:fe00:1', connectionType: 'lan' },
  ]);
  assert.deepEqual(parseInterfaces6(''), []);
});
