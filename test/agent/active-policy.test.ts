import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ActiveFilter, ActivePolicy, type PolicySource } from '../../src/agent/active-policy.js';
import { changedFilters } from '../../src/agent/policy-change.js';
import { Secret } from '../../src/crypto/secret.js';
import type { DriverFilter, FilterId } from '../../src/driver/api.js';
import type { MainModePolicy } from '../../src/ike/api.js';
import type { Guid, Policy, Rule } from '../../src/policy/model.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { hostRange, mirrorSelector, type Selector, subnetRange } from '../../src/wire/ip/selector.js';

const me = ipAddress('192.0.2.1');
const peer = ipAddress('192.0.2.2');
const other = ipAddress('203.0.113.9');
const between = (
  source: Selector['source'],
  destination: Selector['destination'],
  protocol = 0,
  destinationPort = 0,
): Selector => ({
  source,
  destination,
  protocol,
  sourcePort: 0,
  destinationPort,
});
const netA = subnetRange(ipAddress('10.1.0.0'), 16);
const netB = subnetRange(ipAddress('10.2.0.0'), 16);
const any = subnetRange(ipAddress('0.0.0.0'), 0);

const rule = (kind: 'negotiate' | 'block', key = 'k'): Rule => ({
  id: '{R}' as Guid,
  active: true,
  filterList: { id: '{L}' as Guid, filters: [] },
  action:
    kind === 'block'
      ? { id: '{A}' as Guid, kind }
      : {
          id: '{A}' as Guid,
          kind,
          methods: [{ esp: { encryption: '3des', hash: 'sha1' } }],
          acceptUnsecured: false,
          allowFallback: false,
        },
  authentication: [{ kind: 'preshared', key: new Secret(key) }],
  connectionType: 'all',
});

const policy = (rules: readonly Rule[] = []): Policy => ({
  id: '{P}' as Guid,
  name: 'P',
  pollIntervalMinutes: 180,
  keyExchange: {
    masterKeyPfs: false,
    lifetimeSeconds: 28_800,
    quickModeLimit: 0,
    methods: [{ encryption: '3des', hash: 'sha1', group: 2 }],
  },
  rules,
});
const source: PolicySource = { origin: 'assigned', policy: policy() };

const active = (
  id: string,
  selector: Selector,
  more: Partial<DriverFilter> = {},
  ofRule = rule('negotiate'),
): ActiveFilter => ({
  filter: {
    id: id as FilterId,
    policyId: '{A}',
    direction: 'outbound',
    selector,
    action: ofRule.action.kind === 'block' ? 'block' : 'secure',
    acceptUnsecured: false,
    allowFallback: false,
    ...more,
  },
  rule: ofRule,
  origin: {
    id: '{F}' as Guid,
    source: { kind: 'me' },
    destination: { kind: 'any' },
    protocol: selector.protocol,
    sourcePort: selector.sourcePort,
    destinationPort: selector.destinationPort,
    mirrored: false,
  },
  source,
  weight: 0,
});

test('a policy that hides the names of its CAs hides all of them', () => {
  const authentication = [
    { kind: 'certificate', authority: 'CN=Root' },
    { kind: 'preshared', key: new Secret('x') },
  ] as const;
  const { policy } = source;
  const hiding = {
    ...source,
    policy: { ...policy, keyExchange: { ...policy.keyExchange, excludeCaNames: true } },
  };
  const template = active('f', between(hostRange(me), any, 6, 80));
  const inForce = new ActivePolicy(
    [hiding],
    [{ ...template, source: hiding, rule: { ...template.rule, authentication } }],
  );
  assert.deepEqual(inForce.mainModes(me, peer)[0]?.authentication, [
    { kind: 'certificate', authority: 'CN=Root', excludeCaName: true },
    authentication[1],
  ]);
});

describe('ActivePolicy.acquire', () => {
  test('a transport filter is narrowed to the two hosts, ports kept', () => {
    const inForce = new ActivePolicy([source], [active('f', between(hostRange(me), any, 6, 80))]);
    assert.deepEqual(inForce.acquire('f' as FilterId, me, peer), {
      local: me,
      peer,
      quickMode: {
        filterId: 'f',
        methods: [{ esp: { encryption: '3des', hash: 'sha1' } }],
        mode: 'transport',
        selector: between(hostRange(me), hostRange(peer), 6, 80),
      },
    });
  });

  test('a tunnel filter is negotiated as it stands, from the end its partner names', () => {
    const inForce = new ActivePolicy(
      [source],
      [
        active('out', between(netA, netB), { tunnelEndpoint: peer }),
        active('in', between(netB, netA), { direction: 'inbound', tunnelEndpoint: me }),
      ],
    );
    const wanted = inForce.acquire('out' as FilterId, ipAddress('10.1.0.1'), ipAddress('10.2.0.1'));
    assert.deepEqual([wanted?.local, wanted?.peer], [me, peer]);
    assert.deepEqual(wanted?.quickMode.selector, between(netA, netB));
  });

  test('an unknown filter asks for nothing', () => {
    assert.equal(new ActivePolicy([], []).acquire('none' as FilterId, me, peer), undefined);
  });
});

describe('ActivePolicy as IKE sees it', () => {
  const transport = between(hostRange(me), hostRange(peer));

  test('a peer no rule covers has no main mode policy', () => {
    const inForce = new ActivePolicy([source], [active('f', transport)]);
    assert.equal(inForce.mainModes(me, other)[0], undefined);
    assert.equal(inForce.mainModes(me, peer)[0]?.lifetimeSeconds, 28_800);
  });

  test('of several rules with a peer each gives its own main mode, like ones once, in matching order', () => {
    const web = between(hostRange(me), hostRange(peer), 6, 80);
    const filters = [
      active('web', web, {}, rule('negotiate', 'few')),
      active('all', transport),
      active('any', between(hostRange(me), any)),
    ];
    const inForce = new ActivePolicy([source], filters);
    const keys = (ways: readonly (MainModePolicy | undefined)[]) =>
      ways.map(way => way?.authentication.map(each => each.kind === 'preshared' && each.key.reveal()).join());
    assert.deepEqual(keys(inForce.mainModes(me, peer)), ['few', 'k']);
    assert.deepEqual(keys(inForce.mainModes(me, other)), ['k']);
    const own = filters.map(({ filter }) => inForce.mainModeOf(filter.id));
    assert.deepEqual(keys(own), ['few', 'k', 'k']);
    assert.equal(own[1]?.fingerprint, own[2]?.fingerprint);
    assert.equal(inForce.mainModeOf('gone' as FilterId), undefined);
    assert.equal(inForce.mainModeOf(undefined), undefined);
  });

  test('a rule for inbound traffic alone covers its peers too', () => {
    const inForce = new ActivePolicy(
      [source],
      [active('f', mirrorSelector(transport), { direction: 'inbound' })],
    );
    assert.ok(inForce.mainModes(me, peer)[0]);
  });

  test('the first covering filter decides, and a refusal says why', () => {
    const blocked = active('b', between(hostRange(me), hostRange(peer), 6), {}, rule('block'));
    const inForce = new ActivePolicy([source], [blocked, active('f', transport)]);
    const ask = (selector: Selector, mode: 'transport' | 'tunnel' = 'transport') =>
      inForce.quickMode({ local: me, peer, mode, selector });
    assert.deepEqual(ask(transport), {
      filterId: 'f',
      methods: [{ esp: { encryption: '3des', hash: 'sha1' } }],
      mode: 'transport',
      selector: transport,
    });
    assert.match(JSON.stringify(ask(between(hostRange(me), hostRange(peer), 6))), /a block filter covers it/);
    assert.match(JSON.stringify(ask(transport, 'tunnel')), /wants transport mode/);
    assert.match(
      JSON.stringify(ask(between(hostRange(me), hostRange(other)))),
      /no filter covers it; what is secured with this peer: transport mode for 192\.0\.2\.1 -> 192\.0\.2\.2/,
    );
  });

  test('a tunnel belongs to its own gateway', () => {
    const inForce = new ActivePolicy([source], [active('t', between(netA, netB), { tunnelEndpoint: peer })]);
    const ask = (from: typeof peer) =>
      inForce.quickMode({ local: me, peer: from, mode: 'tunnel', selector: between(netA, netB) });
    assert.ok('filterId' in ask(peer));
    assert.match(JSON.stringify(ask(other)), /belongs to the tunnel to 192\.0\.2\.2/);
  });

  test('a peer’s pair serves our outbound filter, even where the inbound one is more specific', () => {
    const own = between(hostRange(me), any);
    const inForce = new ActivePolicy(
      [source],
      [active('in', mirrorSelector(own), { direction: 'inbound' }), active('out', own)],
    );
    const answer = inForce.quickMode({ local: me, peer, mode: 'transport', selector: transport });
    assert.ok('methods' in answer);
    assert.equal(answer.filterId, 'out');
  });

  test('the default response rule answers for what no filter covers', () => {
    const { filterList: _, ...response } = rule('negotiate');
    const responding: PolicySource = { origin: 'assigned', policy: policy([response]) };
    const inForce = new ActivePolicy([responding], []);
    assert.ok(inForce.mainModes(me, other)[0]);
    const answer = inForce.quickMode({ local: me, peer, mode: 'transport', selector: transport });
    assert.ok('methods' in answer && answer.filterId === undefined);
  });
});

describe('changedFilters', () => {
  const selector = between(hostRange(me), hostRange(peer));

  test('a filter read the same is unchanged; another key, action or absence is a change', () => {
    const before = [
      active('same', selector),
      active('key', selector),
      active('action', selector),
      active('gone', selector),
    ];
    const after = [
      active('same', selector),
      active('key', selector, {}, rule('negotiate', 'another')),
      active('action', selector, {}, rule('block')),
    ];
    assert.deepEqual([...changedFilters(before, after)].sort(), ['action', 'gone', 'key']);
  });
});
