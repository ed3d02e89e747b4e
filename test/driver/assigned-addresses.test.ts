import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assignment } from '../../src/driver/assigned-addresses.js';
import { ipAddress } from '../../src/wire/ip/address.js';

const device = { name: 'ipseckit0', mtuBytes: 1396, otherRoutes: ['default dev ipseckit0 table 50051'] };

test('assigned addresses: routes in a table of their own, unreachable without the device, and what is excluded', () => {
  const network = (text: string, prefixLength: number) => ({ address: ipAddress(text), prefixLength });
  const office = {
    address: ipAddress('10.3.0.7'),
    networks: [network('0.0.0.0', 0)],
    excluded: [network('192.168.1.5', 24)],
  };
  const groups = [
    'route replace throw 224.0.0.0/4 table 50053',
    'route replace throw 255.255.255.255/32 table 50053',
  ];
  assert.deepEqual(assignment([], [office], device), {
    add: [
      'address replace 10.3.0.7/32 dev ipseckit0',
      'route replace unreachable 0.0.0.0/0 metric 4294967294 table 50053',
      'route replace 0.0.0.0/0 dev ipseckit0 table 50053 src 10.3.0.7 mtu 1396',
      'route replace throw 192.168.1.0/24 table 50053',
      ...groups,
      'rule add pref 52 fwmark 0/0x30000000 from 0.0.0.0/32 lookup 50053',
    ],
    remove: [],
  });
  const moved = { ...office, address: ipAddress('10.3.0.8'), excluded: [] };
  const routes = [
    'route replace unreachable 0.0.0.0/0 metric 4294967294 table 50053',
    'route replace 0.0.0.0/0 dev ipseckit0 table 50053 src 10.3.0.8 mtu 1396',
    ...groups,
  ];
  assert.deepEqual(assignment([office], [moved], device), {
    add: ['address replace 10.3.0.8/32 dev ipseckit0', ...routes],
    remove: [
      'route del throw 192.168.1.0/24 table 50053',
      'address del 10.3.0.7/32 dev ipseckit0',
      'route replace default dev ipseckit0 table 50051',
      ...routes,
    ],
  });
  assert.deepEqual(assignment([moved], [], device).remove, [
    'rule del pref 52 lookup 50053',
    'route del unreachable 0.0.0.0/0 metric 4294967294 table 50053',
    'route del 0.0.0.0/0 dev ipseckit0 table 50053',
    'route del throw 224.0.0.0/4 table 50053',
    'route del throw 255.255.255.255/32 table 50053',
    'address del 10.3.0.8/32 dev ipseckit0',
    'route replace default dev ipseckit0 table 50051',
  ]);
});
