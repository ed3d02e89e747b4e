import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validatePolicy } from '../../src/policy/validate.js';
import { policyOf } from './support.js';

test('good policies have no findings', () => {
  for (const lines of [
    ['-w REG -p P -r R -f 0+192.0.2.20 -a PRESHARE:k'],
    [
      '-w REG -p P -r out -t 203.0.113.1 -f 10.1.0.0/16=10.2.0.0/16 -a PRESHARE:k',
      '-w REG -p P -r in -t 192.0.2.10 -f 10.2.0.0/16=10.1.0.0/16 -a PRESHARE:k',
    ],
    ['-w REG -p P -r a -f 0+* -n BLOCK', '-w REG -p P -r b -f 0:80+*::TCP -n PASS'],
  ])
    assert.deepEqual(validatePolicy(policyOf(...lines)), []);
});

test('errors come first', () => {
  const policy = policyOf('-w REG -p P -r R -f 0+*');
  const broken = {
    ...policy,
    rules: policy.rules.map(rule => ({
      ...rule,
      action: rule.action.kind === 'negotiate' ? { ...rule.action, methods: [] } : rule.action,
    })),
  };
  assert.deepEqual(
    validatePolicy(broken).map(({ severity }) => severity),
    ['error', 'warning'],
  );
});
