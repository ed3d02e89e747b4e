import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BuiltinName, builtinNames, builtinPolicies } from '../../src/policy/builtin.js';
import { describeFilter } from '../../src/policy/describe.js';
import { derivedGuid } from '../../src/policy/guid.js';
import { printIpsecpolMethod, printMainModeMethod } from '../../src/policy/ipsecpol/security-method.js';
import { parseStoreFile, printStoreFile } from '../../src/policy/stores/formats.js';
import { validatePolicy } from '../../src/policy/validate.js';

const counted = () => {
  let count = 0;
  return () => derivedGuid('builtin', String(++count));
};

const names: readonly BuiltinName[] = ['client', 'server', 'secure-server'];

test('the built-in policies are those of Windows 2000', () => {
  const policies = builtinPolicies(counted());
  const text = names.map(name => {
    const { rules, keyExchange, pollIntervalMinutes, ...policy } = policies[name];
    assert.equal(policy.name, builtinNames[name]);
    assert.deepEqual(keyExchange.methods.map(printMainModeMethod), [
      '3DES-SHA-2',
      '3DES-MD5-2',
      'DES-SHA-1',
      'DES-MD5-1',
    ]);
    assert.deepEqual(
      [
        keyExchange.lifetimeSeconds,
        keyExchange.quickModeLimit,
        keyExchange.masterKeyPfs,
        pollIntervalMinutes,
      ],
      [28_800, 0, false, 180],
    );
    return rules.map(({ filterList, action, authentication, connectionType, active, tunnelEndpoint }) => {
      assert.deepEqual(authentication, [{ kind: 'kerberos' }]);
      assert.deepEqual([connectionType, active, tunnelEndpoint], ['all', true, undefined]);
      const filters = filterList?.filters.map(describeFilter).join() ?? '<Dynamic>';
      if (action.kind !== 'negotiate') return `${filters}: ${action.name}`;
      const { acceptUnsecured, allowFallback, methods } = action;
      const flags = [acceptUnsecured && 'accept unsecured', allowFallback && 'fall back'].filter(Boolean);
      return [`${filters}: ${action.name}`, ...flags, ...methods.map(printIpsecpolMethod)].join(' ');
    });
  });
  const esp = (limits: string) =>
    ['3DES,SHA', '3DES,MD5', 'DES,SHA', 'DES,MD5'].map(suite => `ESP[${suite}]${limits}`).join(' ');
  const fallback = `<Dynamic>: Default Response ${esp('')} AH[SHA] AH[MD5]`;
  assert.deepEqual(text, [
    [fallback],
    [
      `0+*: Request Security (Optional) accept unsecured fall back ${esp('900S/100000K')} AH[SHA]300S/100000K AH[MD5]300S/100000K`,
      '0+*::ICMP: Permit',
      fallback,
    ],
    [`0+*: Require Security accept unsecured ${esp('900S/100000K')}`, '0+*::ICMP: Permit', fallback],
  ]);
});

test('they can be put in force, and a Windows store holds them whole', () => {
  const policies = Object.values(builtinPolicies(counted()));
  for (const policy of policies)
    assert.deepEqual(
      validatePolicy(policy).filter(({ severity }) => severity === 'error'),
      [],
      policy.name,
    );
  const store = { policies, library: { filterLists: [], actions: [] } };
  const { bytes, notes } = printStoreFile(store, 'reg', { keys: 'shown', nowSeconds: 1 });
  const back = parseStoreFile(bytes, 'reg').collection.policies;
  assert.deepEqual(notes, []);
  assert.deepEqual(
    new Map(back.map(({ changedAtSeconds: _, ...policy }) => [policy.id, policy])),
    new Map(policies.map(policy => [policy.id, policy])),
  );
  assert.equal(policies[1]?.rules[1]?.action.id, policies[2]?.rules[1]?.action.id, 'Permit is shared');
});
