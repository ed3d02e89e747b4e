import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FilterText } from '../../src/policy/build.js';
import { builtinPolicies } from '../../src/policy/builtin.js';
import { describeFilter } from '../../src/policy/describe.js';
import {
  addFilters,
  addRule,
  changePolicy,
  editRule,
  findRule,
  type RuleChanges,
  removeFilters,
  removeRule,
} from '../../src/policy/edit.js';
import { describeMethod, printIpsecpolMethod } from '../../src/policy/ipsecpol/security-method.js';
import type { Policy } from '../../src/policy/model.js';
import { parseFilterWord } from '../../src/policy/words.js';
import { buildContext, failure, policyOf } from './support.js';

const filters = (...specs: string[]): FilterText[] => specs.map(spec => parseFilterWord(spec, 'filter'));
const context = buildContext();
for (let i = 0; i < 100; i++) context.newGuid();
const lab = policyOf(
  '-w REG -p Lab -r Peer -f 0+192.0.2.1 0+192.0.2.2 -n ESP[3DES,SHA]3600SPFS2 AH[SHA] -a PRESHARE:k -soft',
  '-w REG -p Lab -r Web -f 0:80+*::TCP -n PASS',
  '-w REG -p Lab -f DEFAULT -a PRESHARE:k',
);
const add = (changes: RuleChanges, policy = lab) => addRule(policy, changes, context);
const edit = (rule: string, changes: RuleChanges, policy = lab) => editRule(policy, rule, changes, context);
const filtersOf = (policy: Policy, rule: string) =>
  findRule(policy, rule).filterList?.filters.map(describeFilter);
const methodsOf = (policy: Policy, rule: string) => {
  const { action } = findRule(policy, rule);
  return action.kind === 'negotiate' ? action.methods.map(printIpsecpolMethod) : [action.kind];
};

describe('policies', () => {
  test('what is given changes, the rest stays', () => {
    const changed = changePolicy(lab, { description: 'text', lifetimeSeconds: 600, quickModeLimit: 7 });
    assert.equal(changed.description, 'text');
    assert.deepEqual(changed.keyExchange, { ...lab.keyExchange, lifetimeSeconds: 600, quickModeLimit: 7 });
    assert.equal(changed.rules, lab.rules);
    assert.ok(!('description' in changePolicy(changed, { description: '' })), 'empty takes it away');
  });

  test('main mode PFS means one quick mode, and taking it away any number', () => {
    const withPfs = changePolicy(lab, { masterKeyPfs: true });
    assert.equal(withPfs.keyExchange.quickModeLimit, 1);
    assert.equal(changePolicy(withPfs, { masterKeyPfs: false }).keyExchange.quickModeLimit, 0);
    failure(() => changePolicy(withPfs, { quickModeLimit: 3 }), 'CONFLICT');
  });
});

describe('rules', () => {
  test('a new rule has the defaults of ipsecpol', () => {
    const policy = add({ name: 'New', filters: filters('0+192.0.2.9') });
    const byLine = policyOf('-w REG -p Lab -r New -f 0+192.0.2.9').rules[0];
    const { id: _, filterList: __, action, ...rest } = findRule(policy, 'new');
    assert.deepEqual(methodsOf(policy, 'New'), [
      'ESP[3DES,SHA]',
      'ESP[3DES,MD5]',
      'ESP[DES,SHA]',
      'ESP[DES,MD5]',
    ]);
    assert.ok(byLine && action.kind === 'negotiate' && !action.acceptUnsecured && !action.allowFallback);
    assert.deepEqual(rest, {
      name: byLine.name,
      active: true,
      authentication: byLine.authentication,
      connectionType: 'all',
    });
    assert.equal(policy.rules.at(-1)?.name, 'New', 'it is the last one');
  });

  test('each part by itself', () => {
    const before = findRule(lab, 'Peer');
    const permitted = findRule(edit('peer', { action: { kind: 'permit' } }), 'Peer');
    assert.deepEqual(permitted, { ...before, action: { id: before.action.id, kind: 'permit' } });
    const renamed = findRule(edit('1', { name: 'Other' }), 'Other');
    assert.deepEqual(renamed, { ...before, name: 'Other' });
    assert.deepEqual(findRule(edit('Peer', { active: false }), 'Peer'), { ...before, active: false });
    assert.equal(findRule(edit('Peer', { connectionType: 'lan' }), 'Peer').connectionType, 'lan');
    const tunnel = edit('Peer', { tunnel: { kind: 'name', name: 'hostB' } });
    assert.deepEqual(findRule(tunnel, 'Peer').tunnelEndpoint, {
      kind: 'dns',
      name: 'hostB',
      addresses: ['198.51.100.2'],
    });
    assert.ok(!('tunnelEndpoint' in findRule(edit('Peer', { tunnel: 'none' }, tunnel), 'Peer')));
    assert.equal(
      findRule(edit('default', { authentication: [{ kind: 'kerberos' }] }), 'default').authentication[0]
        ?.kind,
      'kerberos',
    );
  });

  test('limits and PFS change each method; what is not said stays', () => {
    const negotiate = (changes: object) => edit('Peer', { action: { kind: 'negotiate', ...changes } });
    assert.deepEqual(methodsOf(negotiate({ lifetimeSeconds: 900 }), 'Peer'), [
      'ESP[3DES,SHA]900SPFS2',
      'AH[SHA]900S',
    ]);
    assert.deepEqual(methodsOf(negotiate({ pfs: 'none' }), 'Peer'), ['ESP[3DES,SHA]3600S', 'AH[SHA]']);
    assert.deepEqual(methodsOf(negotiate({ pfs: {} }), 'Peer'), ['ESP[3DES,SHA]3600SPFS', 'AH[SHA]PFS']);
    const extended = negotiate({ extendedSequence: true });
    const methodsIn = (policy: typeof extended) => {
      const { action: found } = findRule(policy, 'Peer');
      return found.kind === 'negotiate' ? found.methods.map(describeMethod) : [];
    };
    assert.deepEqual(methodsIn(extended), ['ESP[3DES,SHA]3600SPFS2 (ESN)', 'AH[SHA] (ESN)']);
    const again = (changes: object) => edit('Peer', { action: { kind: 'negotiate', ...changes } }, extended);
    assert.deepEqual(methodsIn(again({ pfs: 'none' })), ['ESP[3DES,SHA]3600S (ESN)', 'AH[SHA] (ESN)']);
    assert.deepEqual(methodsIn(again({ extendedSequence: false })), ['ESP[3DES,SHA]3600SPFS2', 'AH[SHA]']);
    const { action } = findRule(negotiate({ acceptUnsecured: true }), 'Peer');
    assert.ok(action.kind === 'negotiate' && action.acceptUnsecured && action.allowFallback);
    assert.equal(
      methodsOf(edit('Web', { action: { kind: 'negotiate' } }), 'Web').length,
      4,
      'from permit: the defaults',
    );
  });

  test('names, numbers and default', () => {
    assert.equal(findRule(lab, 'WEB').name, 'Web');
    assert.equal(findRule(lab, '2').name, 'Web');
    assert.equal(findRule(lab, 'Default').filterList, undefined);
    const numbered = add({ name: '1', filters: filters('0+*') });
    assert.equal(findRule(numbered, '1'), numbered.rules.at(-1), 'a name comes before a number');
    for (const reference of ['Nope', '0', '4', ''])
      assert.match(failure(() => findRule(lab, reference), 'STORE').message, /policy 'Lab' has no rule/);
  });

  test('refusals', () => {
    failure(() => add({ name: 'PEER', filters: filters('0+*') }), 'CONFLICT');
    failure(() => add({}), 'CONFLICT');
    failure(() => edit('Peer', { name: 'web' }), 'CONFLICT');
    failure(() => edit('default', { filters: filters('0+*') }), 'CONFLICT');
    failure(() => removeRule(lab, 'Nope'), 'STORE');
    assert.deepEqual(removeRule(lab, 'Web').rules, [lab.rules[0], lab.rules[2]]);
  });
});

describe('filters', () => {
  test('added and removed; those that stay keep their ids', () => {
    const more = addFilters(lab, 'Peer', filters('0+hostA', '0=192.0.2.1'), context);
    assert.deepEqual(filtersOf(more, 'Peer'), ['0+192.0.2.1', '0+192.0.2.2', '0+hostA', '0=192.0.2.1']);
    const less = removeFilters(more, 'Peer', filters('0+192.0.2.1', '0+hostA'), context);
    assert.deepEqual(filtersOf(less, 'Peer'), ['0+192.0.2.2', '0=192.0.2.1']);
    assert.equal(findRule(less, 'Peer').filterList?.filters[0], findRule(lab, 'Peer').filterList?.filters[1]);
    assert.equal(findRule(less, 'Peer').filterList?.id, findRule(lab, 'Peer').filterList?.id);
  });

  test('refusals', () => {
    const one = filters('0+192.0.2.1');
    failure(() => addFilters(lab, 'Peer', one, context), 'CONFLICT');
    failure(() => addFilters(lab, 'Peer', filters('0+192.0.2.7', '0+192.0.2.7'), context), 'CONFLICT');
    failure(() => removeFilters(lab, 'Web', one, context), 'STORE');
    failure(() => removeFilters(lab, 'Peer', filters('0+192.0.2.1', '0+192.0.2.2'), context), 'CONFLICT');
    failure(() => addFilters(lab, 'default', one, context), 'CONFLICT');
  });

  test('a list or an action that rules share stays with the others', () => {
    const { server } = builtinPolicies(context.newGuid);
    const [first] = server.rules;
    assert.ok(first?.filterList);
    const sharing = {
      ...server,
      rules: [...server.rules, { ...first, id: context.newGuid(), name: 'Twin' }],
    };
    const more = addFilters(sharing, 'Twin', filters('0+192.0.2.1'), context);
    assert.deepEqual(more.rules[0], first);
    assert.notEqual(findRule(more, 'Twin').filterList?.id, first.filterList.id);
    const blocked = editRule(
      sharing,
      'Twin',
      { action: { kind: 'negotiate', allowFallback: false } },
      context,
    );
    assert.deepEqual(blocked.rules[0], first);
    assert.notEqual(findRule(blocked, 'Twin').action.id, first.action.id);
    const alone = editRule(server, '1', { action: { kind: 'negotiate', allowFallback: false } }, context);
    assert.equal(findRule(alone, '1').action.id, first.action.id);
    assert.equal(findRule(alone, '1').action.name, first.action.name);
  });
});
