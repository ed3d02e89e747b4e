import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assignment } from '../../src/driver/assigned-routes.js';
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
  assert.deepEqual(assignment(4, [], [office], device), {
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
  assert.deepEqual(assignment(4, [office], [moved], device), {
    add: ['address replace 10.3.0.8/32 dev ipseckit0', ...routes],
    remove: [
      'route del throw 192.168.1.0/24 table 50053',
      'address del 10.3.0.7/32 dev ipseckit0',
      'route replace default dev ipseckit0 table 50051',
      ...routes,
    ],
  });
  assert.deepEqual(assignment(4, [moved], [], device).remove, [
    'rule del pref 52 lookup 50053',
    'route del unreachable 0.0.0.0/0 metric 4294967294 table 50053',
    'route del 0.0.0.0/0 dev ipseckit0 table 50053',
    'route del throw 224.0.0.0/4 table 50053',
    'route del throw 255.255.255.255/32 table 50053',
    'address del 10.3.0.8/32 dev ipseckit0',
    'route replace default dev ipseckit0 table 50051',
  ]);
});

test('in IPv6, what has a source goes past the routes, and a device of its own ends what the tunnel no longer takes', () => {
  const office = {
    address: ipAddress('fd03::7'),
    networks: [{ address: ipAddress('::'), prefixLength: 0 }],
    excluded: [{ address: ipAddress('fd01::5'), prefixLength: 64 }],
  };
  const both = [
    office,
    {
      address: ipAddress('10.3.0.7'),
      networks: [{ address: ipAddress('10.2.0.0'), prefixLength: 16 }],
      excluded: [],
    },
  ];
  assert.deepEqual(assignment(6, [], both, device), {
    add: [
      'address replace fd03::7/128 dev ipseckit0 nodad noprefixroute',
      'route replace ::/0 dev ipseckit-end metric 4294967294 table 50053',
      'route replace ::/0 dev ipseckit0 table 50053 src fd03::7 mtu 1396',
      'route replace throw fd01::/64 table 50053',
      'route replace throw ff00::/8 table 50053',
      'route replace throw fe80::/10 table 50053',
      'rule add pref 53 nop',
      'rule add pref 52 from ::/1 goto 53',
      'rule add pref 52 from 8000::/1 goto 53',
      'rule add pref 52 fwmark 0/0x30000000 lookup 50053',
    ],
    remove: [],
  });
  assert.deepEqual(assignment(6, both, both.slice(1), device).remove, [
    'rule del pref 52 lookup 50053',
    'rule del pref 52 from ::/1',
    'rule del pref 52 from 8000::/1',
    'rule del pref 53',
    'route del ::/0 dev ipseckit-end metric 4294967294 table 50053',
    'route del ::/0 dev ipseckit0 table 50053',
    'route del throw fd01::/64 table 50053',
    'route del throw ff00::/8 table 50053',
    'route del throw fe80::/10 table 50053',
    'address del fd03::7/128 dev ipseckit0',
    'link del dev ipseckit-end',
  ]);
  assert.deepEqual(assignment(4, both, [office], device).remove.slice(0, 1), [
    'rule del pref 52 lookup 50053',
  ]);
});
