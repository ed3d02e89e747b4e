import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { applyToPolicy, keyFilesIn, namesIn, PolicyEdit } from '../../src/policy/build.js';
import { describeFilter } from '../../src/policy/describe.js';
import { printIpsecpolMethod, printMainModeMethod } from '../../src/policy/ipsecpol/security-method.js';
import type { Policy, Rule } from '../../src/policy/model.js';
import { buildContext, dynamicPolicy, failure, parse, policyOf } from './support.js';

const rule = (policy: Policy, name?: string): Rule => {
  const found = policy.rules.find(each => each.name === name);
  assert.ok(found, `rule ${name}`);
  return found;
};
const filtersOf = (of: Rule) => of.filterList?.filters.map(describeFilter);
const methodsOf = ({ action }: Rule) =>
  action.kind === 'negotiate' ? action.methods.map(printIpsecpolMethod) : action.kind;

describe('static commands', () => {
  test('a new policy gets the documented defaults', () => {
    const policy = policyOf('-w REG -p Lab -r Peer -f 0+192.0.2.20');
    assert.equal(policy.name, 'Lab');
    assert.equal(policy.pollIntervalMinutes, 180);
    const { methods, ...settings } = policy.keyExchange;
    assert.deepEqual(settings, { masterKeyPfs: false, lifetimeSeconds: 28_800, quickModeLimit: 0 });
    assert.deepEqual(methods.map(printMainModeMethod), [
      '3DES-SHA-2',
      '3DES-MD5-2',
      'DES-SHA-1',
      'DES-MD5-1',
    ]);
    const peer = rule(policy, 'Peer');
    assert.deepEqual(methodsOf(peer), ['ESP[3DES,SHA]', 'ESP[3DES,MD5]', 'ESP[DES,SHA]', 'ESP[DES,MD5]']);
    assert.deepEqual(peer.authentication, [{ kind: 'kerberos' }]);
    assert.equal(peer.connectionType, 'all');
    assert.equal(peer.tunnelEndpoint, undefined);
    assert.deepEqual(filtersOf(peer), ['0+192.0.2.20']);
    assert.ok(peer.action.kind === 'negotiate' && !peer.action.allowFallback && !peer.action.acceptUnsecured);
  });

  test('the two-rule block policy of the documentation', () => {
    const policy = policyOf(
      '-w REG -p "Block UDP 1434 Filter" -r "Block Inbound UDP 1434 Rule" -f *=0:1434:UDP -n BLOCK -x',
      '-w REG -p "block udp 1434 filter" -r "Block Outbound UDP 1434 Rule" -f 0=*:1434:UDP -n BLOCK',
    );
    assert.equal(policy.name, 'Block UDP 1434 Filter');
    assert.deepEqual(
      policy.rules.map(each => [each.name, each.action.kind, filtersOf(each)]),
      [
        ['Block Inbound UDP 1434 Rule', 'block', ['*=0:1434:UDP']],
        ['Block Outbound UDP 1434 Rule', 'block', ['0=*:1434:UDP']],
      ],
    );
    assert.notEqual(policy.rules[0]?.action.id, policy.rules[1]?.action.id);
  });

  test('the same rule name changes only the parts given, in any case', () => {
    const before = policyOf(
      '-w REG -p P -r R -f 0+192.0.2.20 0+192.0.2.21 -n ESP[3DES,SHA]100000KPFS2 -a PRESHARE:k -soft',
    );
    const toggled = applyStatic(before, '-w REG -p P -r r -n BLOCK');
    assert.equal(toggled.rules.length, 1);
    assert.deepEqual(rule(toggled, 'R').action, { id: rule(before, 'R').action.id, kind: 'block' });
    assert.deepEqual(rule(toggled, 'R').filterList, rule(before, 'R').filterList);
    assert.equal(rule(toggled, 'R').authentication[0]?.kind, 'preshared');
    const filters = applyStatic(before, '-w REG -p P -r R -f 0+192.0.2.21 0+192.0.2.22');
    assert.deepEqual(filtersOf(rule(filters, 'R')), ['0+192.0.2.21', '0+192.0.2.22']);
    assert.deepEqual(rule(filters, 'R').action, rule(before, 'R').action);
    const idOf = (policy: Policy, spec: string) =>
      rule(policy, 'R').filterList?.filters.find(filter => describeFilter(filter) === spec)?.id;
    assert.equal(
      idOf(filters, '0+192.0.2.21'),
      idOf(before, '0+192.0.2.21'),
      'an unchanged filter keeps its id',
    );
    assert.notEqual(idOf(filters, '0+192.0.2.22'), idOf(before, '0+192.0.2.20'));
    const soft = applyStatic(policyOf('-w REG -p P -r R -f 0+*'), '-w REG -p P -r R -soft -lan');
    assert.ok(rule(soft, 'R').action.kind === 'negotiate');
    assert.equal(rule(soft, 'R').connectionType, 'lan');
    const { action } = rule(soft, 'R');
    assert.ok(action.kind === 'negotiate' && action.allowFallback);
  });

  test('rules without a name accumulate', () => {
    assert.equal(policyOf('-w REG -p P -f 0+192.0.2.1', '-w REG -p P -f 0+192.0.2.2').rules.length, 2);
  });

  test('BLOCK and PASS override methods, INPASS goes with them, brackets override all', () => {
    assert.equal(methodsOf(rule(policyOf('-w REG -p P -r R -f 0+* -n ESP[3DES,SHA] BLOCK'), 'R')), 'block');
    assert.equal(methodsOf(rule(policyOf('-w REG -p P -r R -f 0+* -n PASS'), 'R')), 'permit');
    assert.equal(methodsOf(rule(policyOf('-w REG -p P -r R -f (0+*) -n BLOCK'), 'R')), 'permit');
    const { action } = rule(policyOf('-w REG -p P -r R -f 0+* -n INPASS AH[SHA]'), 'R');
    assert.ok(action.kind === 'negotiate' && action.acceptUnsecured);
    assert.deepEqual(action.methods, [{ ah: { hash: 'sha1' } }]);
  });

  test('main mode settings change the policy and stay otherwise', () => {
    const policy = policyOf(
      '-w REG -p P:5 -r R -f 0+* -1s AES128-SHA256-14 -1k 10Q/3600S',
      '-w REG -p P -r S -f 0+192.0.2.1',
    );
    assert.equal(policy.pollIntervalMinutes, 5);
    assert.deepEqual(policy.keyExchange, {
      masterKeyPfs: false,
      lifetimeSeconds: 3600,
      quickModeLimit: 10,
      methods: [{ encryption: 'aes128', hash: 'sha256', group: 14 }],
    });
    const soft = applyStatic(policy, '-w REG -p P -1e 60');
    assert.deepEqual(soft.keyExchange, { ...policy.keyExchange, softSaSeconds: 60 });
    assert.equal(applyStatic(soft, '-w REG -p P -1k 5Q').keyExchange.softSaSeconds, 60);
    const withPfs = applyStatic(policy, '-w REG -p P -1p');
    assert.ok(withPfs.keyExchange.masterKeyPfs);
    assert.equal(withPfs.keyExchange.quickModeLimit, 1, 'main mode PFS allows one quick mode');
  });

  test('DEFAULT makes, then changes, the default response rule', () => {
    const policy = policyOf('-w REG -p P -f DEFAULT -a PRESHARE:k', '-w REG -p P -f DEFAULT -n AH[SHA]');
    assert.equal(policy.rules.length, 1);
    const [only] = policy.rules;
    assert.ok(only && only.filterList === undefined && only.active);
    assert.deepEqual(methodsOf(only), ['AH[SHA]']);
    assert.equal(only.authentication[0]?.kind, 'preshared');
    const [fresh] = policyOf('-w REG -p P -f DEFAULT').rules;
    assert.ok(fresh);
    assert.deepEqual(methodsOf(fresh).slice(-2), ['AH[SHA]', 'AH[MD5]']);
  });

  test('names: every address in a stored policy; a name with a mask is a subnet', () => {
    const [first] = policyOf(
      '-w REG -p P -f 0+many hostA/255.255.255.0=hostB -t hostB'.replace('0+many', '0=many'),
    ).rules;
    assert.deepEqual(
      first?.filterList?.filters.map(({ source, destination }) => [source, destination]),
      [
        [{ kind: 'me' }, { kind: 'dns', name: 'many', addresses: ['198.51.100.7', '198.51.100.8'] }],
        [
          { kind: 'subnet', address: '198.51.100.0', prefixLength: 24 },
          { kind: 'dns', name: 'hostB', addresses: ['198.51.100.2'] },
        ],
      ],
    );
    assert.deepEqual(first?.tunnelEndpoint, { kind: 'dns', name: 'hostB', addresses: ['198.51.100.2'] });
    const command = parse('-f hostA=hostB 0=hostA -t hostB -a PRESHARE-FILE:/k PRESHARE-FILE:/k');
    assert.deepEqual(namesIn(command), ['hostA', 'hostB']);
    assert.deepEqual(keyFilesIn(command), ['/k']);
  });

  test('keys come from their file', () => {
    const [first] = policyOf('-w REG -p P -f 0+* -a PRESHARE-FILE:/root/key').rules;
    const [method] = first?.authentication ?? [];
    assert.ok(method?.kind === 'preshared');
    assert.equal(method.key.reveal(), 'key in /root/key');
  });

  test('a new rule needs filters; assigning needs a policy', () => {
    const error = failure(() => policyOf('-w REG -p P -r R -n BLOCK'), 'CONFLICT');
    assert.match(error.message, /rule 'R' is new in policy 'P' and needs -f/);
    const missing = failure(() => policyOf('-w REG -p P -x'), 'STORE');
    assert.match(missing.message, /policy 'P' not found/);
  });
});

describe('dynamic commands', () => {
  test('one rule for each action, without names', () => {
    const policy = dynamicPolicy(
      '-f (0:80+*::TCP) (0:443+*::TCP) [0+*] 0+192.0.2.20 -a PRESHARE:k -1s 3DES-SHA-2',
    );
    assert.deepEqual(
      policy.rules.map(each => [each.name, each.action.kind, filtersOf(each)]),
      [
        [undefined, 'permit', ['0:80+*::TCP', '0:443+*::TCP']],
        [undefined, 'block', ['0+*']],
        [undefined, 'negotiate', ['0+192.0.2.20']],
      ],
    );
    assert.deepEqual(policy.keyExchange.methods.map(printMainModeMethod), ['3DES-SHA-2']);
  });

  test('-n BLOCK without brackets blocks', () => {
    assert.deepEqual(dynamicPolicy('-n BLOCK -f 203.0.113.5+0:28960:UDP').rules.map(methodsOf), ['block']);
  });

  test('a name stands for its first address', () => {
    const [first] = dynamicPolicy('-f 0+many').rules;
    assert.deepEqual(first?.filterList?.filters[0]?.destination, {
      kind: 'dns',
      name: 'many',
      addresses: ['198.51.100.7'],
    });
  });

  test('DEFAULT', () => {
    const [first] = dynamicPolicy('-f DEFAULT -a PRESHARE:k').rules;
    assert.ok(first && first.filterList === undefined);
  });
});

function applyStatic(policy: Policy, line: string): Policy {
  const command = parse(line);
  assert.ok(command.kind === 'static');
  return applyToPolicy(policy, command, { ...buildContext(), newGuid: newGuids() });
}

/** GUIDs no `buildContext` made. */
function newGuids() {
  const { newGuid } = buildContext();
  for (let i = 0; i < 1000; i++) newGuid();
  return newGuid;
}

test('editing step by step is applying one command after another', () => {
  const lines = [
    '-w REG -p P -r a -f 0+* -n BLOCK',
    '-w REG -p P -f 0+192.0.2.9 -n PASS',
    '-w REG -p P -r A -n PASS',
    '-w REG -p P -f DEFAULT -a P:k',
    '-w REG -p P -r b -f 0+192.0.2.20 -a P:k -1p',
    '-w REG -p P:60 -f DEFAULT -n ESP[AES256,SHA256]',
  ];
  const edit = new PolicyEdit(undefined);
  const context = buildContext();
  for (const line of lines) {
    const command = parse(line);
    assert.ok(command.kind === 'static');
    edit.apply(command, context);
  }
  assert.deepEqual(edit.policy, policyOf(...lines));
  const before = edit.policy;
  const bad = parse('-w REG -p P -r new -a P:k');
  assert.ok(bad.kind === 'static');
  assert.throws(() => edit.apply(bad, context), /needs -f/);
  assert.deepEqual(edit.policy, before, 'a command that fails changes nothing');
});
