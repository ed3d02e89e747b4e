import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Secret } from '../../../src/crypto/secret.js';
import { mainModeSa } from '../../../src/ike/main-mode-proposal.js';
import { quickModeSa } from '../../../src/ike/quick-mode-proposal.js';
import { expandPolicies } from '../../../src/policy/expand.js';
import { Explainer, filtersOfPolicy } from '../../../src/policy/explain.js';
import { findingKinds, type PolicyFinding } from '../../../src/policy/findings.js';
import { lintInput } from '../../../src/policy/lint/check.js';
import { mainModeMessageBytes, quickModeMessageBytes } from '../../../src/policy/lint/first-message.js';
import { lintPolicy } from '../../../src/policy/lint/lint.js';
import { samePeersCheck } from '../../../src/policy/lint/same-peers.js';
import type { Policy } from '../../../src/policy/model.js';
import { type Packet, printPacket } from '../../../src/policy/packet.js';
import { type IpAddress, ipAddress } from '../../../src/wire/ip/address.js';
import { rangeContains, type Selector } from '../../../src/wire/ip/selector.js';
import { encodePayloadBody } from '../../../src/wire/isakmp/message.js';
import { SeededRandom } from '../../support/random.js';
import { ownAddressesOf, randomPolicy } from '../../support/random-policy.js';
import { policyOf } from '../support.js';
import { lintCases, local } from './cases.js';

const context = { localAddresses: [{ address: local }] };

describe('every check finds what it is for, and only that', () => {
  for (const [code, { bad, message, good, context: more, counterExample }] of Object.entries(lintCases))
    test(code, () => {
      const all = lintPolicy(bad, { ...context, ...more });
      const found = all.filter(each => each.code === code);
      const [first] = found;
      assert.ok(first, `found only ${JSON.stringify(all)}`);
      assert.ok(
        found.some(each => message.test(each.message)),
        found.map(each => each.message).join('\n'),
      );
      assert.equal(first.severity, findingKinds[first.code].severity);
      assert.ok(first.message.endsWith(first.why) && first.next.length > 0);
      if (counterExample !== undefined)
        assert.ok(
          found.some(each => each.counterExample && printPacket(each.counterExample) === counterExample),
          found.map(each => each.counterExample && printPacket(each.counterExample)).join('\n'),
        );
      const innocent = lintPolicy(good, { ...context, ...more });
      assert.deepEqual(
        innocent.filter(each => each.code === code),
        [],
      );
    });
});

test('findings never show a key', () => {
  const policy = policyOf('-w REG -p P -r R -f 0+* -a PRESHARE:" SeCr3t"');
  const findings = lintPolicy(policy, context);
  assert.ok(findings.some(({ code }) => code === 'short-key'));
  assert.doesNotMatch(JSON.stringify(findings), /SeCr3t/);
});

test('what is said of two filters as written is not said again of this computer', () => {
  const codes = lintPolicy(
    policyOf('-w REG -p P -r a -f 0+10.0.0.1 -n PASS', '-w REG -p P -r b -f 0+10.0.0.1 -n BLOCK'),
    context,
  ).map(({ code }) => code);
  assert.ok(codes.includes('contradiction'));
  assert.ok(!codes.includes('shadowed') && !codes.includes('unreachable'), codes.join());
});

test('a shell on this computer itself, or none, is locked out of nothing', () => {
  const closed = policyOf('-w REG -p P -r Closed -f 0+* -n BLOCK');
  const loopback = ipAddress('127.0.0.1');
  for (const shell of [undefined, { client: loopback, clientPort: 1, server: loopback, serverPort: 22 }])
    assert.ok(
      !lintPolicy(closed, { ...context, ...(shell === undefined ? {} : { shell }) }).some(({ code }) =>
        code.startsWith('lockout'),
      ),
    );
});

test('the manual page lists every finding', () => {
  const page = readFileSync('man/ipseckit-policy.1', 'utf8');
  for (const [code, { severity, meaning }] of Object.entries(findingKinds))
    assert.ok(page.includes(`.It Cm ${code}\n${severity}: ${meaning}\n`), `${code}: ${severity}: ${meaning}`);
});

describe('counter-examples really match', () => {
  for (const options of [{ rules: 8 }, { rules: 8, ipv6: true }, { rules: 30, filtersPerRule: 10 }])
    test(JSON.stringify(options), t => {
      const seed = Number(process.env.SEED ?? 20_261_126);
      t.diagnostic(`seed ${seed}`);
      const random = new SeededRandom(seed);
      const addresses = ownAddressesOf(options);
      let examples = 0;
      for (let round = 0; round < (options.rules > 10 ? 10 : 100); round++) {
        const policy = randomPolicy(random, options);
        const findings = lintPolicy(policy, {
          localAddresses: addresses.map(address => ({ address })),
        });
        for (const finding of findings) examples += provesIt(policy, addresses, finding) ? 1 : 0;
      }
      assert.ok(examples > 20, `${examples} counter-examples`);
    });
});

/** Checks a counter-example against the specific filters one by one; false when there is none. */
function provesIt(policy: Policy, addresses: readonly IpAddress[], finding: PolicyFinding): boolean {
  const { counterExample: packet, where, code } = finding;
  if (packet === undefined || where.filterId === undefined) return false;
  const localAddresses = addresses.map(address => ({ address }));
  const about = JSON.stringify({ finding, policy });
  // A shadowed filter is not among those in force: what it stands for is seen without the others.
  const alone = {
    ...policy,
    rules: policy.rules
      .filter(rule => rule.id === where.ruleId)
      .map(rule => ({
        ...rule,
        ...(rule.filterList === undefined
          ? {}
          : {
              filterList: {
                ...rule.filterList,
                filters: rule.filterList.filters.filter(({ id }) => id === where.filterId),
              },
            }),
      })),
  };
  const own = expandPolicies([{ policy: alone }], { localAddresses }).filters;
  assert.ok(
    own.some(({ filter }) => filter.direction === packet.direction && isIn(filter.selector, packet)),
    `no such packet in the filter: ${about}`,
  );
  const inForce = expandPolicies([{ policy }], { localAddresses }).filters;
  const decider = inForce.find(
    ({ filter }) => filter.direction === packet.direction && isIn(filter.selector, packet),
  );
  if (code === 'shadowed' || code === 'unreachable' || code === 'overlapping')
    assert.notEqual(decider?.origin.id, where.filterId, about);
  if (code === 'exemption-hole' || code === 'multicast-in-clear') {
    const explainer = new Explainer(filtersOfPolicy(policy, { localAddresses }).inForce, {
      localAddresses: addresses,
    });
    assert.equal(explainer.decide(packet).outcome.kind, 'exempt', about);
  }
  return true;
}

function isIn(selector: Selector, packet: Packet): boolean {
  const { source, destination, protocol, sourcePort, destinationPort } = selector;
  return (
    rangeContains(source, packet.source) &&
    rangeContains(destination, packet.destination) &&
    (protocol === 0 || protocol === packet.protocol) &&
    (sourcePort === 0 || sourcePort === packet.sourcePort) &&
    (destinationPort === 0 || destinationPort === packet.destinationPort)
  );
}

describe('first message sizes are those that IKE sends', () => {
  const { keyExchange } = policyOf('-w REG -p P -r R -f 0+* -a P:k -1s AES256-SHA256-14 3DES-SHA-2');

  test('main mode', () => {
    const sa = mainModeSa(
      {
        methods: keyExchange.methods,
        authentication: [{ kind: 'preshared', key: new Secret('k') }],
        lifetimeSeconds: keyExchange.lifetimeSeconds,
        quickModeLimit: 0,
        natTraversal: 'auto',
      },
      false,
    );
    const vendors = 5 * (4 + 16);
    assert.equal(
      mainModeMessageBytes(keyExchange.methods, keyExchange.lifetimeSeconds, 1),
      28 + 4 + encodePayloadBody(sa).length + vendors,
    );
  });

  test('quick mode', () => {
    const { rules } = policyOf(
      '-w REG -p P -r R -f 0+* -a P:k -n AH[SHA]+ESP[AES256,SHA256]900S/100000KPFS14 ESP[3DES,SHA]PFS14',
    );
    const action = rules[0]?.action;
    assert.ok(action?.kind === 'negotiate');
    const sa = quickModeSa(
      { methods: action.methods, encapsulation: 1, mainModeGroup: 14 },
      { ah: 0x1000 as never, esp: 0x1001 as never },
      false,
    );
    const payload = (bytes: number) => 4 + bytes;
    const body =
      payload(32) + payload(encodePayloadBody(sa).length) + payload(32) + payload(256) + 2 * (8 + 8);
    assert.equal(quickModeMessageBytes(action.methods, keyExchange.methods), 28 + Math.ceil(body / 16) * 16);
  });
});

test('many rules that authenticate alike, beside some that do not authenticate, cost no comparisons', () => {
  const rules = [
    '-r Pass -f 0+10.9.9.9 -n PASS',
    ...Array.from({ length: 3 }, (_, i) => `-r R${i} -f 0+10.1.0.${i} -a PRESHARE:k`),
  ];
  const base = policyOf(...rules.map(rule => `-w REG -p P ${rule}`));
  const [, first] = base.rules;
  const filter = first?.filterList?.filters[0];
  assert.ok(first?.filterList && filter);
  const filters = Array.from({ length: 2_500 }, (_, i) => ({
    ...filter,
    destination: { kind: 'host' as const, address: ipAddress(`10.2.${i >> 8}.${i & 255}`) },
  }));
  const many = { ...first, filterList: { ...first.filterList, filters } };
  const policy = { ...base, rules: base.rules.map(rule => (rule === first ? many : rule)) };
  const input = lintInput(policy, context);
  assert.deepEqual(samePeersCheck.run(input), []);
});

test('two rules for one tunnel gateway that want different keys: a peer can have only those of the first', () => {
  const findings = lintPolicy(
    policyOf(
      '-w REG -p P -r one -t 203.0.113.1 -f 10.1.0.0/16=10.2.0.0/16 -a PRESHARE:first-key',
      '-w REG -p P -r two -t 203.0.113.1 -f 10.1.0.0/16=10.3.0.0/16 -a PRESHARE:second-key',
    ),
    context,
  ).filter(({ code }) => code === 'authentication-differs');
  assert.deepEqual(
    findings.map(({ message }) => message),
    [
      "rule 'two': rule 'one', which is looked at first for the same peers (203.0.113.1), wants other credentials of the same kind: who begins a main mode has to have those, and then gets nothing of this rule",
    ],
  );
});
