import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exemptionOf } from '../../src/policy/exemptions.js';
import { Explainer, type Explanation, filtersOfPolicy } from '../../src/policy/explain.js';
import type { AddressSpec, Filter, FilterAction, Policy, Rule } from '../../src/policy/model.js';
import { type Packet, parsePacket } from '../../src/policy/packet.js';
import { addressFamily, type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { rangeContains, subnetRange } from '../../src/wire/ip/selector.js';
import { SeededRandom } from '../support/random.js';
import {
  ownAddressesOf,
  type RandomPolicyOptions,
  randomPacket,
  randomPolicy,
} from '../support/random-policy.js';
import { policyOf } from './support.js';

const me = ipAddress('192.0.2.10');

function explain(policy: Policy, packet: string, more: { noDefaultExempt?: 0 | 3 } = {}): Explanation {
  const { inForce, idle } = filtersOfPolicy(policy, { localAddresses: [{ address: me }] });
  return new Explainer(inForce, { localAddresses: [me], ...more }, idle).explain(parsePacket(packet, [me]));
}

const webServer = policyOf(
  '-w REG -p Web -r Closed -f 0+* -n BLOCK',
  '-w REG -p Web -r Http -f 0:80+*::TCP -n PASS',
  '-w REG -p Web -r Admin -f 0+198.51.100.7 -n ESP[3DES,SHA] -a PRESHARE:secret',
);

describe('explaining one packet', () => {
  test('names policy, rule and filter that decide', () => {
    const { outcome, decidedBy } = explain(webServer, 'tcp 203.0.113.5:1025 > 192.0.2.10:80');
    assert.deepEqual(outcome, { kind: 'permit' });
    assert.ok(decidedBy);
    assert.equal(decidedBy.policy, 'Web');
    assert.equal(decidedBy.rule, 'Http');
    assert.equal(decidedBy.written, '0:80+*::TCP');
    assert.equal(decidedBy.filter, 'any -> 192.0.2.10 proto 6 ports 0/80');
    assert.equal(decidedBy.direction, 'inbound');
  });

  test('says what each nearer candidate lacked, nearest first', () => {
    const { outcome, nearer } = explain(webServer, 'tcp 203.0.113.5:1025 > 192.0.2.10:443');
    assert.deepEqual(outcome, { kind: 'block' });
    assert.deepEqual(
      nearer.map(({ rule, lacked }) => [rule, lacked]),
      [
        ['Admin', ['source 203.0.113.5 is not in 198.51.100.7']],
        ['Http', ['destination port 443 is not 80']],
      ],
    );
  });

  test('a filter of the other address family is said to be that', () => {
    const local = [me, ipAddress('2001:db8::10')];
    const policy = policyOf('-w REG -p P -r R -f 0+* -n BLOCK');
    const { inForce, idle } = filtersOfPolicy(policy, {
      localAddresses: local.map(address => ({ address })),
    });
    const packet = parsePacket('tcp 203.0.113.5:1025 > 192.0.2.10:443', local);
    const { nearer } = new Explainer(inForce, { localAddresses: local }, idle).explain(packet);
    assert.deepEqual(
      nearer
        .map(({ filter, lacked }) => [filter, lacked])
        .filter(([filter]) => String(filter).includes('any -> 2001')),
      [['any -> 2001:db8::10 proto 0 ports 0/0', ['it is for IPv6 packets']]],
    );
  });

  test('says how a packet is secured, and what becomes of one in clear', () => {
    const out = explain(webServer, 'udp 192.0.2.10:9 > 198.51.100.7:9').outcome;
    assert.deepEqual(out, {
      kind: 'secure',
      methods: ['esp 3des-sha1'],
      authentication: ['preshared'],
      mode: 'transport',
      clear: 'negotiates',
      allowFallback: false,
    });
    const inbound = explain(webServer, 'udp 198.51.100.7:9 > 192.0.2.10:9').outcome;
    assert.ok(inbound.kind === 'secure' && inbound.clear === 'dropped');
    const open = policyOf('-w REG -p P -r R -f 0+* -n INPASS ESP[3DES,SHA] -a P:k');
    const accepted = explain(open, 'udp 198.51.100.7:9 > 192.0.2.10:9').outcome;
    assert.ok(accepted.kind === 'secure' && accepted.clear === 'accepted');
  });

  test('a tunnel names its endpoint', () => {
    const tunnel = policyOf('-w REG -p P -r out -t 203.0.113.1 -f 10.1.0.0/16=10.2.0.0/16 -a P:k');
    const { outcome } = explain(tunnel, 'tcp 10.1.0.5:1 > 10.2.0.6:2 out');
    assert.ok(outcome.kind === 'secure');
    assert.equal(outcome.mode, 'tunnel');
    assert.equal(outcome.tunnelEndpoint, '203.0.113.1');
  });

  test('points out a filter that is not mirrored', () => {
    const oneWay = policyOf('-w REG -p P -r R -f *=0:80:TCP -n BLOCK');
    const { outcome, nearer } = explain(oneWay, 'tcp 192.0.2.10:80 > 203.0.113.5:1025');
    assert.deepEqual(outcome, { kind: 'unfiltered' });
    assert.deepEqual(nearer[0]?.lacked, ['it is for the way back only: the filter is not mirrored']);
  });

  test('points out rules that are not active, or for other adapters', () => {
    const [closed, ...others] = webServer.rules;
    assert.ok(closed);
    const idle = { ...webServer, rules: [{ ...closed, active: false }, ...others] };
    const blocked = explain(idle, 'udp 203.0.113.5:1 > 192.0.2.10:2');
    assert.deepEqual(blocked.outcome, { kind: 'unfiltered' });
    assert.deepEqual(blocked.nearer[0]?.lacked, ['the rule is not active']);
    const dialup = policyOf('-w REG -p P -r R -f 0+* -n BLOCK -dialup');
    assert.deepEqual(explain(dialup, 'udp 203.0.113.5:1 > 192.0.2.10:2').nearer[0]?.lacked, [
      'the rule is for dial-up adapters only',
    ]);
  });

  test("exempt traffic is no filter's, and which that is depends on NoDefaultExempt", () => {
    const kerberos = 'tcp 203.0.113.5:88 > 192.0.2.10:445';
    assert.deepEqual(explain(webServer, kerberos).outcome, {
      kind: 'exempt',
      what: 'Kerberos (TCP and UDP port 88 at either end)',
    });
    assert.equal(explain(webServer, kerberos, { noDefaultExempt: 3 }).outcome.kind, 'block');
    assert.equal(explain(webServer, 'udp 203.0.113.5:500 > 192.0.2.10:500').outcome.kind, 'exempt');
    assert.equal(explain(webServer, 'udp 203.0.113.5:500 > 192.0.2.10:501').outcome.kind, 'block');
    assert.equal(explain(webServer, 'esp 203.0.113.5 > 192.0.2.10').outcome.kind, 'exempt');
    assert.equal(explain(webServer, 'udp 192.0.2.10:9 > 224.0.0.5:9').outcome.kind, 'exempt');
    assert.equal(
      explain(webServer, 'udp 192.0.2.10:9 > 224.0.0.5:9', { noDefaultExempt: 3 }).outcome.kind,
      'block',
    );
  });

  test('nothing is negotiated for multicast', () => {
    const secure = policyOf('-w REG -p P -r R -f 0+* -n ESP[3DES,SHA] -a P:k');
    const { outcome, nearer } = explain(secure, 'udp 192.0.2.10:9 > 224.0.0.5:9', { noDefaultExempt: 3 });
    assert.deepEqual(outcome, { kind: 'unfiltered' });
    assert.deepEqual(nearer[0]?.lacked, ['nothing is negotiated for broadcast and multicast']);
  });
});

/** A second opinion, straight from the rules as written: no expansion, no index, no shared weight. */
interface Claim {
  readonly rule: Rule;
  readonly order: readonly number[];
}

function claims(policy: Policy, packet: Packet, local: readonly IpAddress[]): Claim[] {
  const found: Claim[] = [];
  for (const rule of policy.rules) {
    const mine = rule.connectionType === 'dialup' ? [] : local;
    // None of the addresses is a dial-up adapter's.
    if (!rule.active || rule.connectionType === 'dialup') continue;
    // A family that the rule's adapters do not have is not made up.
    const families = new Set<number>([4, ...mine.map(addressFamily)]);
    if (!families.has(addressFamily(packet.source))) continue;
    for (const filter of rule.filterList?.filters ?? []) {
      const ways = filter.mirrored && rule.tunnelEndpoint === undefined ? [filter, turned(filter)] : [filter];
      for (const way of ways)
        for (const [source, destination] of matchingPrefixes(way, packet, mine)) {
          const directions = directionsOf(rule, mine, local, source, destination);
          if (!directions.includes(packet.direction)) continue;
          const { protocol, sourcePort, destinationPort } = way;
          if (protocol !== 0 && protocol !== packet.protocol) continue;
          if (sourcePort !== 0 && sourcePort !== packet.sourcePort) continue;
          if (destinationPort !== 0 && destinationPort !== packet.destinationPort) continue;
          found.push({
            rule,
            order: [
              source.prefixLength + destination.prefixLength,
              destination.prefixLength,
              protocol === 0 ? 0 : 1,
              destinationPort === 0 ? 0 : 1,
              sourcePort === 0 ? 0 : 1,
              rule.tunnelEndpoint === undefined ? 0 : 1,
              ['negotiate', 'permit', 'block'].indexOf(rule.action.kind),
            ],
          });
        }
    }
  }
  return found;
}

const turned = (filter: Filter): Filter => ({
  ...filter,
  source: filter.destination,
  destination: filter.source,
  sourcePort: filter.destinationPort,
  destinationPort: filter.sourcePort,
});

interface Prefix {
  readonly address: IpAddress;
  readonly prefixLength: number;
}

function matchingPrefixes(filter: Filter, packet: Packet, mine: readonly IpAddress[]): [Prefix, Prefix][] {
  const pairs: [Prefix, Prefix][] = [];
  for (const source of prefixesOf(filter.source, packet.source, mine))
    for (const destination of prefixesOf(filter.destination, packet.destination, mine))
      if (holds(source, packet.source) && holds(destination, packet.destination))
        pairs.push([source, destination]);
  return pairs;
}

function prefixesOf(spec: AddressSpec, like: IpAddress, mine: readonly IpAddress[]): Prefix[] {
  const host = (address: IpAddress) => ({ address, prefixLength: addressFamily(address) === 4 ? 32 : 128 });
  switch (spec.kind) {
    case 'me':
      return mine.map(host);
    case 'any':
      return [{ address: ipAddress(addressFamily(like) === 4 ? '0.0.0.0' : '::'), prefixLength: 0 }];
    case 'subnet':
      return [{ address: spec.address, prefixLength: spec.prefixLength }];
    case 'host':
      return [host(spec.address)];
    case 'dns':
      return spec.addresses.map(host);
    case 'special':
      return [];
  }
}

function holds({ address, prefixLength }: Prefix, of: IpAddress): boolean {
  return (
    addressFamily(address) === addressFamily(of) && rangeContains(subnetRange(address, prefixLength), of)
  );
}

function directionsOf(
  rule: Rule,
  mine: readonly IpAddress[],
  local: readonly IpAddress[],
  source: Prefix,
  destination: Prefix,
): string[] {
  const end = rule.tunnelEndpoint;
  if (end?.kind === 'host') return local.includes(end.address) ? ['inbound'] : ['outbound'];
  const isHost = ({ address, prefixLength }: Prefix) =>
    prefixLength === (addressFamily(address) === 4 ? 32 : 128);
  const own = (prefix: Prefix) => isHost(prefix) && mine.includes(prefix.address);
  const covers = (prefix: Prefix) => mine.some(address => holds(prefix, address));
  const test = own(source) || own(destination) ? own : covers;
  const directions = [...(test(source) ? ['outbound'] : []), ...(test(destination) ? ['inbound'] : [])];
  return directions.length === 0 && rule.action.kind !== 'negotiate' ? ['outbound', 'inbound'] : directions;
}

/** The most specific claim; of equal ones the first. */
function winner(all: readonly Claim[]): Claim | undefined {
  return all.reduce<Claim | undefined>((best, claim) => {
    if (best === undefined) return claim;
    const at = claim.order.findIndex((value, i) => value !== best.order[i]);
    return at >= 0 && (claim.order[at] ?? 0) > (best.order[at] ?? 0) ? claim : best;
  }, undefined);
}

const outcomeOf = (action: FilterAction) => (action.kind === 'negotiate' ? 'secure' : action.kind);

for (const [what, options] of [
  ['IPv4', {}],
  ['tunnels', { tunnels: true }],
  ['IPv6', { ipv6: true, tunnels: true }],
  ['many filters', { rules: 40, filtersPerRule: 20, ipv6: true }],
] satisfies [string, RandomPolicyOptions][])
  test(`explain agrees with a brute-force matcher: ${what}`, t => {
    const seed = Number(process.env.SEED ?? 20_261_124);
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const local = ownAddressesOf(options);
    let decided = 0;
    for (let round = 0; round < (options.rules === undefined ? 100 : 5); round++) {
      const policy = randomPolicy(random, options);
      const { inForce, idle } = filtersOfPolicy(policy, {
        localAddresses: local.map(address => ({ address })),
      });
      const explainer = new Explainer(inForce, { localAddresses: local }, idle);
      for (let i = 0; i < 40; i++) {
        const packet = randomPacket(random, options);
        const expected = winner(claims(policy, packet, local));
        const { outcome, decidedBy, nearer } = explainer.explain(packet);
        const wanted = exemptionOf(packet, { localAddresses: local })
          ? { kind: 'exempt', rule: undefined }
          : {
              kind: expected === undefined ? 'unfiltered' : outcomeOf(expected.rule.action),
              rule: expected?.rule.name,
            };
        if (outcome.kind !== wanted.kind || decidedBy?.rule !== wanted.rule)
          assert.fail(JSON.stringify({ wanted, outcome, decidedBy, packet, policy }, null, 1));
        assert.ok(nearer.every(({ lacked }) => lacked.length > 0));
        if (decidedBy) decided++;
      }
    }
    assert.ok(decided > 50, `${decided} packets met a filter`);
  });
