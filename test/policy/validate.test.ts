import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type FindingCode, findingSeverities } from '../../src/policy/findings.js';
import type { NegotiateAction, Policy, Rule } from '../../src/policy/model.js';
import { validatePolicy } from '../../src/policy/validate.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { policyOf } from './support.js';

const good = policyOf('-w REG -p P -r R -f 0+192.0.2.20 -a PRESHARE:k');
const tunnel = policyOf(
  '-w REG -p P -r out -t 203.0.113.1 -f 10.1.0.0/16=10.2.0.0/16 -a PRESHARE:k',
  '-w REG -p P -r in -t 192.0.2.10 -f 10.2.0.0/16=10.1.0.0/16 -a PRESHARE:k',
);

/** The policy with its first rule changed. */
function withRule(policy: Policy, change: (rule: Rule) => Rule): Policy {
  return { ...policy, rules: policy.rules.map((rule, i) => (i === 0 ? change(rule) : rule)) };
}

function withAction(policy: Policy, change: Partial<NegotiateAction>): Policy {
  return withRule(policy, rule =>
    rule.action.kind === 'negotiate' ? { ...rule, action: { ...rule.action, ...change } } : rule,
  );
}

type FirstFilter = NonNullable<Rule['filterList']>['filters'][number];

function withFilter(policy: Policy, change: Partial<FirstFilter>): Policy {
  return withRule(policy, rule =>
    rule.filterList === undefined
      ? rule
      : {
          ...rule,
          filterList: {
            ...rule.filterList,
            filters: rule.filterList.filters.map(filter => ({ ...filter, ...change })),
          },
        },
  );
}

test('good policies have no findings', () => {
  assert.deepEqual(validatePolicy(good), []);
  assert.deepEqual(validatePolicy(tunnel), []);
  assert.deepEqual(
    validatePolicy(policyOf('-w REG -p P -r a -f 0+* -n BLOCK', '-w REG -p P -r b -f 0:80+*::TCP -n PASS')),
    [],
  );
});

describe('each check finds what it is for', () => {
  const cases: Record<FindingCode, readonly [Policy, RegExp]> = {
    'no-name': [{ ...good, name: ' ' }, /^the policy has no name$/],
    'no-main-mode-methods': [
      { ...good, keyExchange: { ...good.keyExchange, methods: [] } },
      /no main mode methods/,
    ],
    'main-mode-cipher': [
      {
        ...good,
        keyExchange: { ...good.keyExchange, methods: [{ encryption: 'aes128gcm', hash: 'sha1', group: 2 }] },
      },
      /main mode cannot use AES128-GCM/,
    ],
    'main-mode-lifetime': [
      policyOf('-w REG -p P -r R -f 0+* -a P:k -1k 60S'),
      /lifetime of 60 s is very short/,
    ],
    'master-key-pfs': [
      { ...good, keyExchange: { ...good.keyExchange, masterKeyPfs: true } },
      /main mode PFS allows one quick mode, not any number/,
    ],
    'duplicate-rule-id': [
      { ...good, rules: [...good.rules, ...good.rules] },
      /^rule 'R': another rule has the id \{/,
    ],
    'duplicate-rule-name': [
      {
        ...good,
        rules: [
          ...good.rules,
          ...policyOf('-w REG -p P -f 0+192.0.2.9', '-w REG -p P -r r -f 0+192.0.2.21 -a P:k').rules.slice(1),
        ],
      },
      /^rule 'r': another rule has this name/,
    ],
    'several-default-rules': [
      {
        ...good,
        rules: [
          ...policyOf('-w REG -p P -f DEFAULT -a P:k').rules,
          ...policyOf('-w REG -p P -f DEFAULT -a P:k').rules,
        ],
      },
      /several default response rules/,
    ],
    'no-filters': [
      withRule(good, rule => ({ ...rule, filterList: { id: rule.id, filters: [] } })),
      /^rule 'R': its filter list is empty/,
    ],
    'no-methods': [withAction(good, { methods: [] }), /^rule 'R': it has no security methods/],
    'empty-method': [withAction(good, { methods: [{}] }), /neither ESP nor AH/],
    'no-protection': [
      withAction(good, { methods: [{ esp: { encryption: 'null' } }] }),
      /ESP\[NONE,NONE\] neither encrypts nor authenticates/,
    ],
    'combined-with-hash': [
      withAction(good, { methods: [{ esp: { encryption: 'aes128gcm', hash: 'sha1' } }] }),
      /brings its own integrity/,
    ],
    'duplicate-method': [
      policyOf('-w REG -p P -r R -f 0+* -a P:k -n AH[SHA] AH[SHA]'),
      /AH\[SHA\] stands twice/,
    ],
    'mixed-pfs': [
      policyOf('-w REG -p P -r R -f 0+* -a P:k -n ESP[3DES,SHA]PFS2 ESP[DES,SHA]'),
      /differ in PFS \(2, none\)/,
    ],
    'short-lifetime': [
      policyOf('-w REG -p P -r R -f 0+* -a P:k -n ESP[3DES,SHA]60S'),
      /ESP\[3DES,SHA\]60S rekeys very often/,
    ],
    'no-authentication': [
      withRule(good, rule => ({ ...rule, authentication: [] })),
      /no authentication method/,
    ],
    'not-negotiable': [
      policyOf('-w REG -p P -r R -f 0+* -a KERBEROS CERT:"CN=x"'),
      /^rule 'R': KERBEROS and CERT authentication is not negotiable yet/,
    ],
    'default-rule-action': [
      withRule(policyOf('-w REG -p P -f DEFAULT -a P:k'), rule => ({
        ...rule,
        action: { id: rule.id, kind: 'block' },
      })),
      /^the default response rule: /,
    ],
    'tunnel-action': [
      withRule(tunnel, rule => ({ ...rule, action: { id: rule.id, kind: 'permit' } })),
      /a tunnel rule cannot permit/,
    ],
    'tunnel-mirrored': [
      withFilter(tunnel, { mirrored: true }),
      /^rule 'out', filter '10\.1\.0\.0\/255\.255\.0\.0\+10\.2\.0\.0\/255\.255\.0\.0': a tunnel's filters have one direction/,
    ],
    'tunnel-selector': [
      withFilter(tunnel, { protocol: 6 }),
      /tunnels by protocol or port are not dependable/,
    ],
    'tunnel-clear': [withAction(tunnel, { allowFallback: true }), /also takes clear text/],
    'tunnel-partner': [{ ...tunnel, rules: tunnel.rules.slice(0, 1) }, /no tunnel rule covers the way back/],
    'tunnel-same-end': [
      withRule(tunnel, rule => ({
        ...rule,
        tunnelEndpoint: { kind: 'host', address: ipAddress('192.0.2.10') },
      })),
      /same tunnel endpoint, 192\.0\.2\.10/,
    ],
    'unresolved-name': [
      withFilter(good, { destination: { kind: 'dns', name: 'gone', addresses: [] } }),
      /^rule 'R', filter '0\+gone': no address is known for 'gone'/,
    ],
    'mixed-families': [
      withFilter(good, { source: { kind: 'host', address: ipAddress('2001:db8::1') } }),
      /one side is IPv4 and the other IPv6/,
    ],
    'bad-prefix': [
      withFilter(good, { source: { kind: 'subnet', address: ipAddress('10.1.2.3'), prefixLength: 8 } }),
      /10\.1\.2\.3\/8 is not a subnet/,
    ],
    'port-without-protocol': [
      withFilter(good, { protocol: 1, destinationPort: 80 }),
      /ports mean nothing with protocol ICMP/,
    ],
    contradiction: [
      policyOf('-w REG -p P -r a -f 0+* -n PASS', '-w REG -p P -r b -f *=0 -n BLOCK'),
      /^rule 'b', filter '\*=0': this is to block, but rule 'a' is to permit the same traffic/,
    ],
    'duplicate-filter': [
      policyOf('-w REG -p P -r a -f 0+* -n PASS', '-w REG -p P -r b -f *+0 -n PASS'),
      /^rule 'b', filter '\*\+0': rule 'a' covers the same traffic/,
    ],
  };
  for (const [code, [policy, message]] of Object.entries(cases))
    test(code, () => {
      const findings = validatePolicy(policy).filter(finding => finding.code === code);
      const [first] = findings;
      assert.ok(first, `found: ${JSON.stringify(validatePolicy(policy))}`);
      assert.match(first.message, message);
      assert.ok(first.next.length > 0);
      assert.equal(first.severity, findingSeverities[first.code]);
    });
});

test('errors come first', () => {
  const policy = withAction(policyOf('-w REG -p P -r R -f 0+*'), { methods: [] });
  assert.deepEqual(
    validatePolicy(policy).map(({ severity }) => severity),
    ['error', 'warning'],
  );
});
