import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DriverFilter, SoftSa } from '../../../src/driver/api.js';
import { exemptPolicies, type XfrmHost } from '../../../src/driver/xfrm/exemptions.js';
import { filterRequestId, isOurRequestId, isOurUser, pairRequestId } from '../../../src/driver/xfrm/marks.js';
import { PairRecord, StackedPolicies } from '../../../src/driver/xfrm/pair-book.js';
import { pairPolicies, softPolicies } from '../../../src/driver/xfrm/policies.js';
import { policyChanges, policyKey } from '../../../src/driver/xfrm/policy-table.js';
import { XfrmRules } from '../../../src/driver/xfrm/rules.js';
import { coveringPrefix, rangePrefixes } from '../../../src/driver/xfrm/selectors.js';
import { type IpAddress, ipAddress } from '../../../src/wire/ip/address.js';
import { subnetRange } from '../../../src/wire/ip/selector.js';
import type { XfrmPolicy } from '../../../src/wire/netlink/xfrm-policy.js';
import { insides, one, one6, other, other6, selector } from '../../support/driver-suite.js';
import { secureFilter, staticEnds } from '../../support/static-pair.js';

const host: XfrmHost = {
  interfaces: [
    { name: 'lo', index: 1 },
    { name: 'eth0', index: 2 },
    { name: 'ppp0', index: 7 },
  ],
  broadcastAddresses: [ipAddress('10.66.0.255')],
  noDefaultExempt: 0,
  ipv6: true,
};

/** The policies of filters alone. */
function policiesOf(filters: readonly DriverFilter[], changed: Partial<XfrmHost> = {}): XfrmPolicy[] {
  const rules = new XfrmRules();
  rules.set(filters);
  const exempt = new Set(exemptPolicies({ ...host, ...changed }).map(policyKey));
  return rules.policies({ ...host, ...changed }).filter(policy => !exempt.has(policyKey(policy)));
}

const out = secureFilter('out', 'outbound', selector(one, other));
const back = secureFilter('back', 'inbound', selector(other, one));

describe('filters as policies', () => {
  test('permit, block and secure, in matching order', () => {
    const permit: DriverFilter = { ...out, id: 'p' as DriverFilter['id'], action: 'permit' };
    const block: DriverFilter = { ...out, id: 'b' as DriverFilter['id'], action: 'block' };
    const policies = policiesOf([permit, block, out]);
    assert.deepEqual(
      policies.map(({ direction, action, templates }) => [direction, action, templates.length]),
      [
        ['out', 'allow', 0],
        ['out', 'block', 0],
        ['out', 'allow', 1],
      ],
    );
    const priorities = policies.map(({ priority }) => priority);
    assert.deepEqual(
      priorities,
      [...priorities].sort((a, b) => a - b),
    );
    assert.equal(new Set(policies.map(policyKey)).size, 3, 'the kernel tells them apart');
    assert.ok(policies.every(policy => isOurUser(policy.selector.user)));
  });

  test('an inbound filter holds for what arrives and what passes through', () => {
    assert.deepEqual(
      policiesOf([back]).map(({ direction, templates }) => [direction, templates[0]?.mode]),
      [
        ['in', 'transport'],
        ['fwd', 'transport'],
      ],
    );
    const accepting = policiesOf([{ ...back, acceptUnsecured: true }]);
    assert.deepEqual(
      accepting.map(({ templates }) => templates.length),
      [0, 0],
    );
  });

  test('a tunnel has the ends that the two filters name', () => {
    const filters = [
      { ...secureFilter('t', 'outbound', insides), tunnelEndpoint: other },
      {
        ...secureFilter('u', 'inbound', {
          ...insides,
          source: insides.destination,
          destination: insides.source,
        }),
        tunnelEndpoint: one,
      },
    ];
    const [template] = policiesOf(filters)[0]?.templates ?? [];
    assert.deepEqual([template?.mode, template?.source, template?.destination], ['tunnel', one, other]);
  });

  test('a filter with ports has a guard against fragments, a permit has none', () => {
    const tcp = { ...selector(one, other), protocol: 6, destinationPort: 80 };
    const [guard, own] = policiesOf([{ ...out, selector: tcp }]);
    assert.deepEqual(
      [guard?.action, guard?.selector.destinationPort, guard?.selector.sourcePort],
      ['block', 0, 0],
    );
    assert.equal(own?.selector.destinationPort, 80);
    assert.equal(policiesOf([{ ...out, action: 'permit', selector: tcp }]).length, 1);
  });

  test('nothing is negotiated for groups', () => {
    const everybody = { ...selector(one, other), destination: subnetRange(ipAddress('0.0.0.0'), 0) };
    const policies = policiesOf([{ ...out, selector: everybody }], { noDefaultExempt: 3 });
    const groups = policies.filter(({ templates }) => templates.length === 0);
    assert.deepEqual(
      groups.map(policy => `${policy.selector.destination.address}/${policy.selector.destination.length}`),
      ['224.0.0.0/4', '255.255.255.255/32', '10.66.0.255/32'],
    );
    assert.ok(groups.every(policy => policy.priority < (policies.at(-1)?.priority ?? 0)));
  });

  test('nothing is negotiated for link-local addresses, and a filter on them alone lets nothing pass', () => {
    const all6 = subnetRange(ipAddress('::'), 0);
    const any6 = { ...selector(one6, other6), source: all6, destination: all6 };
    const print = (policies: readonly XfrmPolicy[]) =>
      policies.map(({ action, templates, selector: { source, destination } }) =>
        [action, templates.length, source, destination]
          .map(part => (typeof part === 'object' ? `${part.address}/${part.length}` : part))
          .join(' '),
      );
    assert.deepEqual(print(policiesOf([{ ...out, selector: any6 }])), [
      'allow 0 ::/0 ff00::/8',
      'allow 0 ::/0 fe80::/10',
      'allow 0 fe80::/10 ::/0',
      'allow 1 ::/0 ::/0',
    ]);
    const oneLink = { ...any6, destination: subnetRange(ipAddress('fe80::'), 64) };
    assert.deepEqual(print(policiesOf([{ ...out, selector: oneLink }])), ['block 0 ::/0 fe80::/64']);
  });

  test('what passes through on its way into a tunnel may be clear, and comes before what pairs bring', () => {
    const everything = subnetRange(ipAddress('0.0.0.0'), 0);
    const into = { ...secureFilter('t', 'outbound', insides), tunnelEndpoint: other };
    const wide = { ...back, selector: { ...insides, source: everything, destination: everything } };
    const rules = new XfrmRules();
    rules.set([into, { ...wide, tunnelEndpoint: one }]);
    const [passage, ...others] = rules.policiesOf(back.id, host);
    assert.deepEqual(
      [passage?.direction, passage?.selector.source.address, passage?.templates.map(one => one.optional)],
      ['fwd', insides.source.first, [true, true]],
    );
    assert.ok(others.every(({ priority }) => priority > (passage?.priority ?? 0)));
    rules.set([{ ...into, selector: selector(one, other, { protocol: 6 }) }, back]);
    assert.equal(rules.policiesOf(back.id, host).length, 2, 'they have no packet in common');
  });

  test('what a permit before the tunnel lets out in clear must have come protected, by a pair or not at all', () => {
    const everything = subnetRange(ipAddress('0.0.0.0'), 0);
    const all = { ...insides, source: everything, destination: everything };
    const into = { ...secureFilter('t', 'outbound', all), tunnelEndpoint: other };
    const wide = { ...secureFilter('w', 'inbound', all), tunnelEndpoint: one };
    const home = { ...all, destination: insides.source };
    const permit: DriverFilter = { ...secureFilter('p', 'outbound', home), action: 'permit' };
    const rules = new XfrmRules();
    const through = (filters: readonly DriverFilter[]) => {
      rules.set(filters);
      const { pair } = staticEnds(
        { name: 't', one, other, mode: 'tunnel', selector: insides, ah: { hash: 'sha1' } },
        1,
      ).one;
      const record = new PairRecord({ ...pair, filterId: into.id }, pairRequestId(1), 0);
      const placed = rules.placeOf(record.pair, 'inbound');
      return [
        ...rules.policiesOf(wide.id, host),
        ...pairPolicies(record, 'inbound', placed, rules.permittedThrough(placed)),
      ]
        .filter(
          ({ direction, selector: { destination } }) => direction === 'fwd' && destination.length === 24,
        )
        .sort((a, b) => a.priority - b.priority)
        .map(({ selector: { source }, templates: [template] }) => [source.length, template?.optional]);
    };
    assert.deepEqual(through([into, permit, wide]), [[24, false]], 'the tunnel has it all: only the pair');
    // The pair there, what else comes there, and the pair with all it carries.
    const refused = [
      [24, false],
      [0, false],
      [24, false],
    ];
    assert.deepEqual(through([permit, into, wide]), refused);
    const dialup: DriverFilter = { ...permit, connectionType: 'dialup' };
    assert.deepEqual(through([dialup, into, wide]), [[24, false]]);
    rules.set([permit, into, { ...wide, acceptUnsecured: true }]);
    assert.deepEqual(rules.permittedThrough(rules.find(wide.id)), []);
  });

  test('what a tunnel takes in it also quotes in ICMP errors; in transport mode each packet is its own', () => {
    const quoting = (mode: 'tunnel' | 'transport', direction: DriverFilter['direction']) => {
      const { pair } = staticEnds(
        { name: 't', one, other, mode, selector: insides, ah: { hash: 'sha1' } },
        1,
      ).one;
      return pairPolicies(new PairRecord(pair, pairRequestId(1), 0), direction, undefined).map(
        ({ icmpErrors }) => icmpErrors,
      );
    };
    assert.deepEqual(quoting('tunnel', 'outbound'), [true]);
    assert.deepEqual(quoting('tunnel', 'inbound'), [undefined, undefined]);
    assert.deepEqual(quoting('transport', 'outbound'), [undefined]);
  });

  test('a filter of some adapters is one policy an adapter, and none without them', () => {
    const dialup = policiesOf([{ ...out, connectionType: 'dialup' }]);
    assert.deepEqual(
      dialup.map(policy => policy.selector.interfaceIndex),
      [7],
    );
    assert.deepEqual(policiesOf([{ ...out, connectionType: 'dialup' }], { interfaces: [] }), []);
  });

  test('filters keep their numbers while they are in force', () => {
    const rules = new XfrmRules();
    rules.set([out, back]);
    const before = rules.find(back.id)?.number;
    rules.set([back]);
    assert.equal(rules.find(back.id)?.number, before);
    assert.equal(rules.byNumber(before ?? 0), back);
  });
});

describe('exemptions', () => {
  const count = (noDefaultExempt: XfrmHost['noDefaultExempt'], match: (policy: XfrmPolicy) => boolean) =>
    exemptPolicies({ ...host, noDefaultExempt }).filter(match).length;
  const kerberos = ({ selector: { sourcePort, destinationPort } }: XfrmPolicy) =>
    sourcePort === 88 || destinationPort === 88;
  const groups = ({ selector: { destination } }: XfrmPolicy) => destination.length > 0;

  test('are lifted as NoDefaultExempt says', () => {
    assert.deepEqual(
      ([0, 1, 2, 3] as const).map(level => [count(level, kerberos) > 0, count(level, groups) > 0]),
      [
        [true, true],
        [false, true],
        [true, false],
        [false, false],
      ],
    );
  });

  test('come before every filter', () => {
    const last = Math.max(...exemptPolicies(host).map(({ priority }) => priority));
    assert.ok(policiesOf([out]).every(({ priority }) => priority > last));
  });
});

describe('pairs as policies', () => {
  const connection = {
    name: 'x',
    one,
    other,
    mode: 'transport',
    esp: { encryption: '3des', hash: 'sha1' },
  } as const;
  const ends = staticEnds({ ...connection, ah: { hash: 'md5' } }, 1);
  const rules = new XfrmRules();
  rules.set(ends.one.filters);
  const record = new PairRecord(ends.one.pair, pairRequestId(5), 0);

  test('stand before their filter, with their own states', () => {
    const [policy] = pairPolicies(record, 'outbound', rules.placeOf(ends.one.pair, 'outbound'));
    const filter = rules.policiesOf(ends.one.filters[0]?.id ?? out.id, host)[0];
    assert.ok((policy?.priority ?? 0) < (filter?.priority ?? 0));
    assert.deepEqual(
      policy?.templates.map(({ protocol, requestId }) => [protocol, requestId]),
      [
        [50, record.requestId],
        [51, record.requestId],
      ],
    );
    assert.ok(isOurRequestId(record.requestId));
    assert.notEqual(record.requestId, filterRequestId(5));
  });

  test('inbound, any pair of the same traffic may bring packets', () => {
    const policies = pairPolicies(record, 'inbound', rules.placeOf(ends.one.pair, 'inbound'));
    assert.deepEqual(
      policies.map(({ direction }) => direction),
      ['in', 'fwd'],
    );
    assert.deepEqual(
      policies[0]?.templates.map(({ requestId }) => requestId),
      [0, 0],
    );
  });

  test('the newest decides; when it goes, the one before', () => {
    const stacked = new StackedPolicies();
    const newer = new PairRecord(ends.one.pair, pairRequestId(6), 0);
    const policiesFor = (pair: PairRecord) =>
      pairPolicies(pair, 'outbound', rules.placeOf(ends.one.pair, 'outbound'));
    stacked.add(record, policiesFor(record));
    stacked.add(newer, policiesFor(newer));
    assert.deepEqual(stacked.all(), policiesFor(newer));
    assert.deepEqual(stacked.remove(newer, policiesFor(newer)), { put: policiesFor(record), remove: [] });
    assert.deepEqual(stacked.remove(record, policiesFor(record)), { put: [], remove: policiesFor(record) });
    assert.deepEqual(stacked.remove(record, policiesFor(record)), { put: [], remove: [] });
  });
});

describe('soft SAs as policies', () => {
  const soft: SoftSa = { filterId: out.id, local: one, peer: other };

  test('open filters that allow fallback, between the two hosts only', () => {
    const wide = { ...selector(one, other), destination: subnetRange(other, 24) };
    const rules = new XfrmRules();
    rules.set([
      { ...out, selector: wide, allowFallback: true },
      { ...back, allowFallback: true },
      { ...secureFilter('strict', 'inbound', selector(other, one)), allowFallback: false },
    ]);
    const policies = softPolicies(soft, rules.placed);
    assert.deepEqual(
      policies.map(({ direction }) => direction),
      ['out', 'in', 'fwd'],
    );
    assert.deepEqual(policies[0]?.selector.destination, { address: other, length: 32 });
    assert.ok(policies.every(({ action, templates }) => action === 'allow' && templates.length === 0));
  });
});

describe('a change of policies', () => {
  /** A policy about one host. */
  const about = (last: number, priority: number): XfrmPolicy => ({
    selector: {
      source: { address: one, length: 32 },
      destination: { address: `10.0.0.${last}` as IpAddress, length: 32 },
      protocol: 0,
      user: 1,
    },
    direction: 'out',
    action: 'block',
    priority,
    templates: [],
  });
  const table = (policies: readonly XfrmPolicy[]) =>
    new Map(policies.map(policy => [policyKey(policy), policy]));

  test('keeps the order of those that stay at every step', () => {
    const before = [about(1, 10), about(2, 20), about(3, 30), about(4, 40)];
    // The first goes, two come in between: some move forward, some back.
    const next = [about(2, 10), about(5, 20), about(6, 30), about(3, 40), about(4, 50)];
    const installed = table(before);
    const { changes, removals } = policyChanges(installed, table(next));
    for (const policy of changes) {
      installed.set(policyKey(policy), policy);
      const order = [2, 3, 4].map(last => installed.get(policyKey(about(last, 0)))?.priority ?? 0);
      assert.deepEqual(
        order,
        [...order].sort((a, b) => a - b),
        `after ${policyKey(policy)}`,
      );
    }
    assert.deepEqual(removals, [before[0]]);
  });

  test('sends nothing when nothing changed', () => {
    const same = table([about(1, 10)]);
    assert.deepEqual(policyChanges(same, new Map(same)), { changes: [], removals: [] });
  });
});

describe('ranges as prefixes', () => {
  const range = (first: string, last: string) => ({ first: ipAddress(first), last: ipAddress(last) });
  const print = (first: string, last: string) =>
    rangePrefixes(range(first, last)).map(({ address, length }) => `${address}/${length}`);

  test('a subnet is one, any other range several', () => {
    assert.deepEqual(print('10.0.0.0', '10.0.0.255'), ['10.0.0.0/24']);
    assert.deepEqual(print('10.0.0.3', '10.0.0.9'), ['10.0.0.3/32', '10.0.0.4/30', '10.0.0.8/31']);
    assert.deepEqual(print('2001:db8::', '2001:db8::2'), ['2001:db8::/127', '2001:db8::2/128']);
    assert.deepEqual(print('0.0.0.0', '255.255.255.255'), ['0.0.0.0/0']);
  });

  test('a state has the prefix that covers the range', () => {
    assert.deepEqual(coveringPrefix(range('10.0.0.3', '10.0.0.9')), {
      address: ipAddress('10.0.0.0'),
      length: 28,
    });
    assert.deepEqual(coveringPrefix(range('::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')).length, 0);
  });
});
