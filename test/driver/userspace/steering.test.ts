import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { DriverFilter, FilterId } from '../../../src/driver/api.js';
import { nftRuleset, type SteeringOptions } from '../../../src/driver/userspace/steering.js';
import {
  fallbackRoutes,
  routingRemoval,
  routingSetup,
} from '../../../src/driver/userspace/steering-routes.js';
import { type IpAddress, ipAddress } from '../../../src/wire/ip/address.js';
import { type Selector, subnetRange } from '../../../src/wire/ip/selector.js';

const options: SteeringOptions = {
  generation: '0',
  tun: 'ipseckit0',
  localAddresses: [ipAddress('10.0.0.1'), ipAddress('127.0.0.1')],
  broadcastAddresses: [ipAddress('10.0.0.255')],
  innerMtuBytes: 1396,
  ikePort: 500,
  natTraversalPort: 4500,
  noDefaultExempt: 0,
};

/** `10.0.0.1` or `10.0.0.0/24`. */
function range(text: string) {
  const [address = '', length] = text.split('/');
  const family = address.includes(':') ? 128 : 32;
  return subnetRange(ipAddress(address), length === undefined ? family : Number(length));
}

function filter(
  id: string,
  direction: DriverFilter['direction'],
  action: DriverFilter['action'],
  source: string,
  destination: string,
  more: Partial<Selector> & {
    readonly acceptUnsecured?: boolean;
    readonly allowFallback?: boolean;
    readonly connectionType?: 'lan' | 'dialup';
    readonly tunnelEndpoint?: IpAddress;
  } = {},
): DriverFilter {
  const { acceptUnsecured = false, allowFallback = false, connectionType, tunnelEndpoint, ...ports } = more;
  return {
    id: id as FilterId,
    policyId: '{0}',
    direction,
    action,
    acceptUnsecured,
    allowFallback,
    selector: {
      source: range(source),
      destination: range(destination),
      protocol: 0,
      sourcePort: 0,
      destinationPort: 0,
      ...ports,
    },
    ...(connectionType === undefined ? {} : { connectionType }),
    ...(tunnelEndpoint === undefined ? {} : { tunnelEndpoint }),
  };
}

/** The lines of one chain, without those that say where it is hooked in. */
function chain(ruleset: string, name: string): string[] {
  const body = new RegExp(`  chain ${name} \\{\\n([^}]*(?:\\{[^}]*\\}[^}]*)*?)\\n  \\}\\n`).exec(
    ruleset,
  )?.[1];
  assert.ok(body !== undefined, `chain ${name} in ${ruleset}`);
  return body.split('\n').map(line => line.trim());
}

describe('nftRuleset', () => {
  test('gives the golden text for a policy with all kinds of filters', () => {
    const ruleset = nftRuleset(
      [
        filter('p80', 'outbound', 'permit', '10.0.0.1', '10.0.0.9', { protocol: 6, destinationPort: 80 }),
        filter('s', 'outbound', 'secure', '10.0.0.1', '10.0.0.0/24'),
        filter('si', 'inbound', 'secure', '10.0.0.0/24', '10.0.0.1'),
        filter('pass', 'inbound', 'secure', '10.0.1.0/24', '10.0.0.1', { acceptUnsecured: true }),
        filter('t', 'outbound', 'secure', '10.1.0.0/16', '10.2.0.0/16', {
          tunnelEndpoint: ipAddress('10.0.0.2'),
        }),
        filter('b', 'outbound', 'block', '0.0.0.0/0', '0.0.0.0/0', { protocol: 17, destinationPort: 53 }),
        filter('bi', 'inbound', 'block', '0.0.0.0/0', '0.0.0.0/0'),
      ],
      {
        ...options,
        translatedPorts: [
          { peer: ipAddress('10.0.0.9'), protocol: 17, port: 30_000 },
          { peer: ipAddress('10.0.0.9'), protocol: 6, port: 30_001 },
          { peer: ipAddress('2001:db8::9'), protocol: 17, port: 30_000 },
        ],
      },
    );
    assert.equal(ruleset, readFileSync('test/fixtures/steering/all-kinds.nft', 'utf8'));
  });

  test('keeps the order of filters within each direction, and numbers them over both', () => {
    const ruleset = nftRuleset(
      [
        filter('a', 'outbound', 'permit', '10.0.0.1', '10.0.0.2'),
        filter('b', 'inbound', 'block', '10.0.0.2', '10.0.0.1'),
        filter('c', 'outbound', 'block', '10.0.0.1', '10.0.0.0/24'),
      ],
      options,
    );
    assert.deepEqual(chain(ruleset, 'outbound'), [
      'ip saddr 10.0.0.1 ip daddr 10.0.0.2 counter accept comment "filter 0"',
      'ip saddr 10.0.0.1 ip daddr 10.0.0.0/24 counter drop comment "filter 2"',
    ]);
    assert.deepEqual(chain(ruleset, 'inbound'), [
      'ip saddr 10.0.0.2 ip daddr 10.0.0.1 counter drop comment "filter 1"',
    ]);
  });

  test('writes ranges that are no subnets, and ports without a protocol', () => {
    const odd = filter('r', 'outbound', 'permit', '10.0.0.1', '10.0.0.2', { sourcePort: 7 });
    const ruleset = nftRuleset(
      [
        {
          ...odd,
          selector: {
            ...odd.selector,
            source: { first: ipAddress('10.0.0.3'), last: ipAddress('10.0.0.9') },
          },
        },
      ],
      options,
    );
    assert.deepEqual(chain(ruleset, 'outbound'), [
      'ip saddr 10.0.0.3-10.0.0.9 ip daddr 10.0.0.2 meta l4proto { tcp, udp } th sport 7 counter accept comment "filter 0"',
    ]);
  });

  test('secures IPv6, and drops later fragments where ports decide', () => {
    const ruleset = nftRuleset(
      [
        filter('six', 'outbound', 'secure', '2001:db8::1', '2001:db8::2', {
          protocol: 6,
          destinationPort: 80,
        }),
        filter('port', 'outbound', 'secure', '10.0.0.1', '10.0.0.2', { protocol: 17, destinationPort: 1701 }),
      ],
      options,
    );
    assert.deepEqual(chain(ruleset, 'outbound').slice(0, 3), [
      'ip6 saddr 2001:db8::1 ip6 daddr 2001:db8::2 meta l4proto 6 frag frag-off != 0 counter drop comment "filter 0"',
      'ip6 saddr 2001:db8::1 ip6 daddr 2001:db8::2 meta l4proto 6 th dport 80 counter meta mark set meta mark & 0xcfffffff | 0x10000000 accept comment "filter 0"',
      'ip saddr 10.0.0.1 ip daddr 10.0.0.2 meta l4proto 17 ip frag-off & 0x1fff != 0 counter drop comment "filter 1"',
    ]);
  });

  test('never secures the traffic of one link: filters on it alone drop it, others leave it', () => {
    const ruleset = nftRuleset(
      [
        filter('link', 'outbound', 'secure', 'fe80::1', 'fe80::2'),
        filter('all', 'outbound', 'secure', '2001:db8::1', '::/0'),
        filter('all back', 'inbound', 'secure', '::/0', '2001:db8::1'),
      ],
      options,
    );
    assert.deepEqual(chain(ruleset, 'outbound'), [
      'ip6 saddr fe80::1 ip6 daddr fe80::2 counter drop comment "filter 0"',
      'ip6 saddr 2001:db8::1 ip6 daddr != fe80::/10 counter meta mark set meta mark & 0xcfffffff | 0x10000000 accept comment "filter 1"',
    ]);
    assert.deepEqual(chain(ruleset, 'inbound'), [
      'ip6 daddr 2001:db8::1 ip6 saddr != fe80::/10 meta mark & 0x30000000 != 0x10000000 counter drop comment "filter 2"',
    ]);
  });

  test('lets clear packets of soft SAs pass where a filter allows fallback', () => {
    const both = [
      filter('s', 'inbound', 'secure', '10.0.0.2', '10.0.0.1', { protocol: 6 }),
      filter('soft', 'inbound', 'secure', '10.0.0.0/24', '10.0.0.1', { allowFallback: true }),
    ];
    const ruleset = nftRuleset(both, {
      ...options,
      softElements: ['10.0.0.2 . 10.0.0.1', 'fd00::2 . fd00::1'],
    });
    assert.match(
      ruleset,
      /set soft \{\n {4}type ipv4_addr \. ipv4_addr; counter;\n {4}elements = \{ 10\.0\.0\.2 \. 10\.0\.0\.1 \}\n/,
    );
    assert.match(
      ruleset,
      /set soft6 \{\n {4}type ipv6_addr \. ipv6_addr; counter;\n {4}elements = \{ fd00::2 \. fd00::1 \}\n/,
    );
    assert.deepEqual(chain(ruleset, 'inbound'), [
      'ip saddr 10.0.0.2 ip daddr 10.0.0.1 meta l4proto 6 meta mark & 0x30000000 != 0x10000000 counter drop comment "filter 0"',
      'ip saddr 10.0.0.0/24 ip daddr 10.0.0.1 ip saddr . ip daddr @soft counter accept comment "filter 1"',
      'ip saddr 10.0.0.0/24 ip daddr 10.0.0.1 meta mark & 0x30000000 != 0x10000000 counter drop comment "filter 1"',
    ]);
  });

  test('looks at the adapter where a filter is for some only', () => {
    const any = '0.0.0.0/0';
    const ruleset = nftRuleset(
      [
        filter('d', 'outbound', 'block', any, any, {
          connectionType: 'dialup',
          protocol: 6,
          destinationPort: 80,
        }),
        filter('l', 'inbound', 'permit', any, any, { connectionType: 'lan' }),
      ],
      options,
    );
    const dialup = '{ "ppp*", "wwan*", "rmnet*" }';
    assert.deepEqual(chain(ruleset, 'outbound'), [
      `oifname ${dialup} meta nfproto ipv4 meta l4proto 6 ip frag-off & 0x1fff != 0 counter drop comment "filter 0"`,
      `oifname ${dialup} meta nfproto ipv4 meta l4proto 6 th dport 80 counter drop comment "filter 0"`,
    ]);
    assert.deepEqual(chain(ruleset, 'inbound'), [
      `iifname != ${dialup} meta nfproto ipv4 counter accept comment "filter 1"`,
    ]);
  });

  test('steers ICMP errors about what came out of a tunnel, whoever sends them', () => {
    const gateway = { tunnelEndpoint: ipAddress('10.0.0.2') };
    const web = { protocol: 6, sourcePort: 80 };
    const ruleset = nftRuleset(
      [
        filter('t', 'outbound', 'secure', '10.1.0.0/16', '10.2.0.0/16', gateway),
        filter('back', 'inbound', 'secure', '10.2.0.0/16', '10.1.0.0/16', gateway),
        filter('all', 'outbound', 'secure', '2001:db8::1', '::/0', { ...gateway, ...web }),
        filter('transport', 'outbound', 'secure', '10.0.0.1', '10.0.0.3'),
      ],
      options,
    );
    const secured = 'meta mark set meta mark & 0xcfffffff | 0x10000000 accept';
    assert.deepEqual(chain(ruleset, 'tunnel-errors'), [
      'meta l4proto != { 1, 58 } return',
      `icmp type { destination-unreachable, time-exceeded, parameter-problem } ip daddr 10.2.0.0/16 @th,160,32 0xa020000-0xa02ffff @th,192,32 0xa010000-0xa01ffff ${secured}`,
      `icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } @th,112,8 6 @th,256,128 0x20010db8000000000000000000000001 @th,400,16 80 ${secured}`,
    ]);
    for (const name of ['output', 'prerouting'])
      assert.deepEqual(chain(ruleset, name).slice(-2), ['jump outbound', 'goto tunnel-errors']);
  });

  test('exempts by NoDefaultExempt', () => {
    const exempt = [0, 1, 2, 3].map(value =>
      chain(nftRuleset([], { ...options, noDefaultExempt: value as 0 | 1 | 2 | 3 }), 'exempt').slice(1),
    );
    const groups = ['ip daddr @groups accept', 'ip6 daddr ff00::/8 accept'];
    const services = [
      'meta l4proto 46 accept',
      'meta l4proto { tcp, udp } th sport 88 accept',
      'meta l4proto { tcp, udp } th dport 88 accept',
    ];
    assert.deepEqual(exempt, [[...groups, ...services], groups, services, []]);
    const secure = filter('s', 'outbound', 'secure', '0.0.0.0/0', '0.0.0.0/0');
    assert.match(
      chain(nftRuleset([secure], { ...options, noDefaultExempt: 3 }), 'outbound').join(),
      /ip daddr != @groups counter meta mark set/,
      'nothing is negotiated for multicast',
    );
  });
});

describe('many filters', () => {
  const many = Array.from({ length: 100 }, (_, i) =>
    filter(`h${i}`, 'outbound', 'secure', '10.0.0.1', `10.9.${i}.7`),
  );
  const wide = filter('wide', 'outbound', 'block', '10.0.0.1', '10.9.0.0/16');

  test('are found by their far address first', () => {
    const ruleset = nftRuleset([...many, wide], options);
    const [lookup = '', ...rest] = chain(ruleset, 'outbound');
    assert.deepEqual(rest, []);
    const target = /10\.9\.42\.7 : goto (outbound-\d+)/.exec(lookup)?.[1];
    assert.ok(target !== undefined, lookup);
    assert.deepEqual(
      chain(ruleset, target).map(line => line.slice(line.indexOf('comment'))),
      ['comment "filter 42"', 'comment "filter 100"'],
      'the host filter, then the wide one',
    );
    const between = /10\.9\.42\.8-10\.9\.43\.6 : goto (outbound-\d+)/.exec(lookup)?.[1];
    assert.ok(between !== undefined);
    assert.deepEqual(chain(ruleset, between), [
      'ip saddr 10.0.0.1 ip daddr 10.9.0.0/16 counter drop comment "filter 100"',
    ]);
  });

  test('of both families are looked up apart', () => {
    const six = Array.from({ length: 20 }, (_, i) =>
      filter(`six${i}`, 'outbound', 'secure', 'fd00::1', `fd00:9:${i}::/48`),
    );
    const ruleset = nftRuleset([...many, ...six], options);
    const [ipv4 = '', ipv6 = '', ...rest] = chain(ruleset, 'outbound');
    assert.deepEqual(rest, []);
    assert.match(ipv4, /^ip daddr vmap/);
    const target = /fd00:9:11::\/48 : goto (outbound-\d+)/.exec(ipv6)?.[1];
    assert.ok(target !== undefined, ipv6);
    assert.match(chain(ruleset, target).join(), /comment "filter 111"$/);
  });

  test('never put more rules in a packet’s way than can match its address', () => {
    const ruleset = nftRuleset([...many, wide], options);
    const lengths = [...ruleset.matchAll(/chain (outbound-\d+) /g)].map(
      ([, name = '']) => chain(ruleset, name).length,
    );
    assert.equal(lengths.length, 101);
    assert.ok(Math.max(...lengths) <= 2);
  });
});

test('routing set-up and removal name the same rules and tables', () => {
  assert.deepEqual(routingSetup('ipseckit0', 65_535), [
    'link set dev ipseckit0 mtu 65535 txqueuelen 1000 up',
    'route add default dev ipseckit0 table 50051',
    'route add unreachable default metric 4294967294 table 50051',
    'rule add pref 50 fwmark 0x10000000/0x30000000 lookup 50051',
    'rule add pref 51 iif lo fwmark 0x30000000/0x30000000 lookup 50051',
    'rule add pref 32800 fwmark 0/0x30000000 lookup 50052',
  ]);
  assert.deepEqual(routingRemoval(4), [
    'rule del pref 50 lookup 50051',
    'rule del pref 51 lookup 50051',
    'rule del pref 52 lookup 50053',
    'route flush table 50053',
    'rule del pref 32800 lookup 50052',
    'route flush table 50051',
    'route flush table 50052',
  ]);
});

test('fallback routes lead to tunnelled networks, from an address the filter covers', () => {
  const gateway = { tunnelEndpoint: ipAddress('10.0.0.2') };
  assert.deepEqual(
    fallbackRoutes(
      [
        filter('t', 'outbound', 'secure', '10.0.0.0/24', '10.2.0.0/16', gateway),
        filter('u', 'outbound', 'secure', '10.7.0.0/24', '10.3.0.0/16', gateway),
        filter('again', 'outbound', 'secure', '10.7.0.0/24', '10.2.0.0/16', gateway),
        filter('transport', 'outbound', 'secure', '10.0.0.1', '10.4.0.1'),
        filter('inbound', 'inbound', 'secure', '10.2.0.0/16', '10.0.0.0/24', gateway),
      ],
      options,
      4,
    ),
    [
      '10.2.0.0/16 dev ipseckit0 table 50052 src 10.0.0.1 mtu 1396',
      '10.3.0.0/16 dev ipseckit0 table 50052 mtu 1396',
    ],
  );
});
