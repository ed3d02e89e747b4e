import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ExpandContext, expandPolicies } from '../../src/policy/expand.js';
import type { Policy } from '../../src/policy/model.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { printSelector } from '../../src/wire/ip/selector.js';
import { SeededRandom } from '../support/random.js';
import { buildContext, dynamicPolicy, policyOf } from './support.js';

const host = (...addresses: string[]): ExpandContext => ({
  localAddresses: addresses.map(address => ({ address: ipAddress(address) })),
});
const one = host('192.0.2.10');

const lines = (policies: readonly Policy[], context = one) =>
  expandPolicies(
    policies.map(policy => ({ policy })),
    context,
  ).filters.map(({ filter }) => `${filter.direction} ${filter.action} ${printSelector(filter.selector)}`);

const spec = (text: string, context = one) => lines([dynamicPolicy(`-f ${text}`)], context);

describe('documented expansions', () => {
  const examples: readonly (readonly [spec: string, ...filters: string[]])[] = [
    ['*=0:1434:UDP', 'inbound secure any -> 192.0.2.10 proto 17 ports 0/1434'],
    ['0=*:1434:UDP', 'outbound secure 192.0.2.10 -> any proto 17 ports 0/1434'],
    [
      '0:80+*::TCP',
      'inbound secure any -> 192.0.2.10 proto 6 ports 0/80',
      'outbound secure 192.0.2.10 -> any proto 6 ports 80/0',
    ],
    [
      '0+*',
      'inbound secure any -> 192.0.2.10 proto 0 ports 0/0',
      'outbound secure 192.0.2.10 -> any proto 0 ports 0/0',
    ],
    [
      '0+*::ICMP',
      'inbound secure any -> 192.0.2.10 proto 1 ports 0/0',
      'outbound secure 192.0.2.10 -> any proto 1 ports 0/0',
    ],
    ['(hostA=192.0.2.10::6)', 'inbound permit 198.51.100.1 -> 192.0.2.10 proto 6 ports 0/0'],
  ];
  for (const [text, ...filters] of examples) test(text, () => assert.deepEqual(spec(text), filters));
});

describe('directions', () => {
  test('a subnet that contains a local address says the direction', () => {
    assert.deepEqual(spec('192.0.2.0/24=198.51.100.0/24'), [
      'outbound secure 192.0.2.0/24 -> 198.51.100.0/24 proto 0 ports 0/0',
    ]);
    assert.deepEqual(spec('198.51.100.0/24=192.0.2.0/24'), [
      'inbound secure 198.51.100.0/24 -> 192.0.2.0/24 proto 0 ports 0/0',
    ]);
  });

  test('both sides contain one: both directions', () => {
    assert.deepEqual(spec('[*=*]'), [
      'outbound block any -> any proto 0 ports 0/0',
      'inbound block any -> any proto 0 ports 0/0',
    ]);
  });

  test('forwarded traffic can be blocked and permitted, not secured in transport mode', () => {
    assert.deepEqual(spec('[203.0.113.0/24=198.51.100.0/24]'), [
      'outbound block 203.0.113.0/24 -> 198.51.100.0/24 proto 0 ports 0/0',
      'inbound block 203.0.113.0/24 -> 198.51.100.0/24 proto 0 ports 0/0',
    ]);
    const { filters, notes } = expandPolicies(
      [{ policy: dynamicPolicy('-f 203.0.113.0/24=198.51.100.0/24') }],
      one,
    );
    assert.deepEqual(filters, []);
    assert.match(notes[0]?.text ?? '', /nothing is enforced/);
  });

  test('a tunnel is outbound towards a far endpoint, inbound towards our own', () => {
    const policy = policyOf(
      '-w REG -p VPN -r out -t 203.0.113.1 -f 10.1.0.0/16=10.2.0.0/16 -a PRESHARE:k',
      '-w REG -p VPN -r in -t 192.0.2.10 -f 10.2.0.0/16=10.1.0.0/16 -a PRESHARE:k',
    );
    const { filters } = expandPolicies([{ policy }], one);
    assert.deepEqual(
      filters.map(({ filter }) => [filter.direction, printSelector(filter.selector), filter.tunnelEndpoint]),
      [
        ['outbound', '10.1.0.0/16 -> 10.2.0.0/16 proto 0 ports 0/0', '203.0.113.1'],
        ['inbound', '10.2.0.0/16 -> 10.1.0.0/16 proto 0 ports 0/0', '192.0.2.10'],
      ],
    );
  });
});

test("me is every local address of the rule's adapters; a family not there is not made up", () => {
  const context: ExpandContext = {
    localAddresses: [
      { address: ipAddress('192.0.2.10') },
      { address: ipAddress('198.51.100.10'), connectionType: 'dialup' },
    ],
  };
  assert.equal(spec('0+203.0.113.1', context).length, 4);
  const lan = lines([dynamicPolicy('-f 0=203.0.113.1 -lan')], context);
  assert.deepEqual(lan, ['outbound secure 192.0.2.10 -> 203.0.113.1 proto 0 ports 0/0']);
  const dialup = lines([dynamicPolicy('-f 0=203.0.113.1 -dialup')], context);
  assert.deepEqual(dialup, ['outbound secure 198.51.100.10 -> 203.0.113.1 proto 0 ports 0/0']);
  assert.deepEqual(spec('0=*', host()), []);
  assert.deepEqual(spec('[0=*]', host('192.0.2.10', '2001:db8::10')), [
    'outbound block 2001:db8::10 -> any proto 0 ports 0/0',
    'outbound block 192.0.2.10 -> any proto 0 ports 0/0',
  ]);
  assert.deepEqual(
    spec('0=*', host('192.0.2.10', '2001:db8::10', 'fe80::10')),
    [
      'outbound secure 2001:db8::10 -> any proto 0 ports 0/0',
      'outbound secure 192.0.2.10 -> any proto 0 ports 0/0',
    ],
    'nothing is negotiated from a link-local address',
  );
  assert.equal(spec('[0=*]', host('fe80::10')).length, 1, 'but it is blocked');
});

describe('order', () => {
  test('most specific first, whatever the order of commands', t => {
    const commands = [
      '[0+*]',
      '(0:80+*::TCP)',
      '[203.0.113.0/24+0]',
      '0+203.0.113.7',
      '(0+203.0.113.7:22:TCP)',
      '(0+*::ICMP)',
      '[0+*:23:TCP]',
      '(0:1024+*:23:TCP)',
    ];
    const seed = 99;
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const context = buildContext();
    const policies = commands.map(command => dynamicPolicy(`-f ${command}`, context));
    const expected = lines(policies);
    assert.ok(
      expected.indexOf('inbound permit any -> 192.0.2.10 proto 6 ports 0/80') <
        expected.indexOf('inbound block any -> 192.0.2.10 proto 0 ports 0/0'),
    );
    assert.equal(expected.at(-1), 'outbound block 192.0.2.10 -> any proto 0 ports 0/0');
    for (let i = 0; i < 200; i++) {
      const shuffled = policies
        .map(policy => ({ policy, key: random.u32() }))
        .sort((a, b) => a.key - b.key)
        .map(({ policy }) => policy);
      assert.deepEqual(lines(shuffled), expected);
    }
  });

  test("mask lengths together, then the destination's, then protocol, ports", () => {
    const weights = (...specs: string[]) => {
      const context = buildContext();
      const sources = specs.map(text => ({ policy: dynamicPolicy(`-f [${text}]`, context) }));
      const { filters } = expandPolicies(sources, one);
      return filters
        .filter(({ filter }) => filter.direction === 'outbound')
        .map(({ source }) => specs[sources.indexOf(source)]);
    };
    const ordered = [
      '0=203.0.113.7',
      '0=203.0.113.0/24:80:TCP',
      '0=203.0.113.0/24',
      '192.0.2.0/24=203.0.113.0/31',
      '192.0.2.0/24=203.0.113.0/30',
      '0=*:80:TCP',
      '0:80=*::TCP',
      '0=*::TCP',
      '0=*',
      '*=*:80:TCP',
      '*=*',
    ];
    assert.deepEqual(weights(...[...ordered].reverse()), ordered);
  });

  test('on the same traffic block wins over permit, permit over negotiate, and the loser is explained', () => {
    const context = buildContext();
    const policies = ['0=203.0.113.7 -a PRESHARE:k', '(0=203.0.113.7)', '[0=203.0.113.7]'].map(text =>
      dynamicPolicy(`-f ${text}`, context),
    );
    const { filters, notes } = expandPolicies(
      policies.map(policy => ({ policy })),
      one,
    );
    assert.deepEqual(
      filters.map(({ filter }) => filter.action),
      ['block'],
    );
    assert.equal(notes.length, 2);
    assert.match(notes[0]?.text ?? '', /covers the same traffic and decides/);
  });
});

test('expanding again keeps ids; one more address leaves the other ids alone', () => {
  const sources = [{ policy: policyOf('-w REG -p P -r R -f 0+* 0+192.0.2.20') }];
  const before = expandPolicies(sources, one).filters.map(({ filter }) => filter);
  assert.equal(new Set(before.map(({ id }) => id)).size, before.length, 'ids differ');
  assert.deepEqual(
    expandPolicies(sources, one).filters.map(({ filter }) => filter),
    before,
  );
  const after = expandPolicies(sources, host('192.0.2.9', '192.0.2.10')).filters.map(({ filter }) => filter);
  assert.equal(after.length, 2 * before.length);
  for (const filter of before)
    assert.deepEqual(
      after.find(({ id }) => id === filter.id),
      filter,
    );
});

test('inactive rules and the default response rule have no filters', () => {
  const policy = policyOf('-w REG -p P -f DEFAULT', '-w REG -p P -r R -f 0+*');
  const inactive = {
    ...policy,
    rules: policy.rules.map(rule => ({ ...rule, active: rule.filterList === undefined })),
  };
  assert.deepEqual(lines([inactive]), []);
});

test('flags of the action reach the filters', () => {
  const { filters } = expandPolicies([{ policy: dynamicPolicy('-f 0+192.0.2.20 -n INPASS -soft') }], one);
  assert.ok(
    filters.length > 0 && filters.every(({ filter }) => filter.acceptUnsecured && filter.allowFallback),
  );
});

test('10,000 filters expand, and do not hang', { timeout: 600_000 }, () => {
  const specs = Array.from({ length: 5_000 }, (_, i) => `0+10.${i >> 8}.${i & 255}.0/24`).join(' ');
  const policy = dynamicPolicy(`-f ${specs}`);
  assert.equal(expandPolicies([{ policy }], one).filters.length, 10_000);
});

test('rules for some adapters stand beside those for others, and give way to those for all', () => {
  const both: ExpandContext = {
    localAddresses: [
      { address: ipAddress('192.0.2.10') },
      { address: ipAddress('198.51.100.10'), connectionType: 'dialup' },
    ],
  };
  const seen = (...policies: readonly Policy[]) => {
    const { filters, notes } = expandPolicies(
      policies.map(policy => ({ policy })),
      both,
    );
    return {
      filters: filters.map(
        ({ filter }) => `${filter.connectionType ?? 'all'} ${printSelector(filter.selector)}`,
      ),
      notes: notes.length,
    };
  };
  assert.deepEqual(seen(dynamicPolicy('-f 0=203.0.113.1 -dialup -n BLOCK')), {
    filters: ['dialup 198.51.100.10 -> 203.0.113.1 proto 0 ports 0/0'],
    notes: 0,
  });
  const any = '-f 10.0.0.0/8=203.0.113.0/24';
  const [lan, dialup, all] = ['-lan -n BLOCK', '-dialup -n PASS', '-n BLOCK'].map(more =>
    dynamicPolicy(`${any} ${more}`),
  );
  assert.ok(lan && dialup && all);
  assert.equal(seen(lan, dialup).filters.length, 4, 'each in both directions: forwarded traffic');
  assert.equal(seen(lan, all).filters.length, 4, 'what the first leaves over');
  assert.deepEqual([seen(all, lan).filters.length, seen(all, lan).notes], [2, 2]);
});
