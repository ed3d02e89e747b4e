import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diffPolicies, printDifference } from '../../src/policy/diff.js';
import type { Guid, Policy } from '../../src/policy/model.js';
import { SeededRandom } from '../support/random.js';
import { randomPolicy } from '../support/random-policy.js';
import { policyOf } from './support.js';

const lines = (before: Policy, after: Policy) => diffPolicies(before, after).map(printDifference);
const base = policyOf(
  '-w REG -p P -r Web -f 0:80+*::TCP -n PASS',
  '-w REG -p P -r Peer -f 0+192.0.2.20 -n ESP[3DES,SHA] -a PRESHARE:one',
);

/** The same policy as somebody else would have written it: other ids. */
function withOtherIds(policy: Policy): Policy {
  const other = (id: Guid) => id.replace('{', '{F') as Guid;
  return {
    ...policy,
    id: other(policy.id),
    rules: policy.rules.map(rule => ({
      ...rule,
      id: other(rule.id),
      action: { ...rule.action, id: other(rule.action.id) },
      ...(rule.filterList === undefined
        ? {}
        : {
            filterList: {
              ...rule.filterList,
              id: other(rule.filterList.id),
              filters: rule.filterList.filters.map(filter => ({ ...filter, id: other(filter.id) })),
            },
          }),
    })),
  };
}

describe('differences in the words of the model', () => {
  test('of a policy and itself there are none, whatever its ids', t => {
    const seed = Number(process.env.SEED ?? 20_261_127);
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    for (let i = 0; i < 50; i++) {
      const policy = randomPolicy(random, { ipv6: true, tunnels: true });
      assert.deepEqual(lines(policy, policy), []);
      assert.deepEqual(lines(policy, withOtherIds(policy)), []);
    }
  });

  test('settings of the policy', () => {
    const after = policyOf(
      '-w REG -p P:60 -r Web -f 0:80+*::TCP -n PASS -1s AES256-SHA256-14 -1k 10Q/3600S',
      '-w REG -p P -r Peer -f 0+192.0.2.20 -n ESP[3DES,SHA] -a PRESHARE:one',
    );
    assert.deepEqual(lines(base, after), [
      '~ the policy: poll interval: 180 minutes -> 60 minutes',
      '~ the policy: main mode methods: 3DES-SHA-2 3DES-MD5-2 DES-SHA-1 DES-MD5-1 -> AES256-SHA256-14',
      '~ the policy: main mode lifetime: 28800 s -> 3600 s',
      '~ the policy: quick modes a main mode: unlimited -> 10',
    ]);
  });

  test('filters, actions, methods, authentication and endpoints of a rule; keys are not shown', () => {
    const after = policyOf(
      '-w REG -p P -r Web -f 0:443+*::TCP 0:80+*::TCP -n BLOCK',
      '-w REG -p P -r Peer -f 0=192.0.2.20 -t 192.0.2.20 -n ESP[AES128,SHA] -soft -lan -a PRESHARE:two',
    );
    assert.deepEqual(lines(base, after), [
      "~ rule 'Web': action: permit -> block",
      "+ rule 'Web': filter: 0:443+*::TCP",
      "~ rule 'Peer': security methods: ESP[3DES,SHA] -> ESP[AES128,SHA]",
      "~ rule 'Peer': fall back to clear text: not allowed -> allowed",
      "+ rule 'Peer': tunnel endpoint: 192.0.2.20",
      "~ rule 'Peer': adapters: all -> lan",
      "~ rule 'Peer': preshared key: (not shown) -> (another one)",
      "+ rule 'Peer': filter: 0=192.0.2.20",
      "- rule 'Peer': filter: 0+192.0.2.20",
    ]);
  });

  test('rules that come and go; a rule with another name is the same by its id', () => {
    const [web, peer] = base.rules;
    assert.ok(web && peer);
    assert.deepEqual(lines(base, { ...base, rules: [peer] }), ["- rule 'Web'"]);
    const [first, ...rest] = lines({ ...base, rules: [peer] }, base);
    assert.equal(first, "+ rule 'Web'");
    assert.ok(rest.includes("+ rule 'Web': action: permit"));
    assert.deepEqual(lines(base, { ...base, rules: [{ ...web, name: 'Http' }, peer] }), [
      "~ rule 'Http': name: Web -> Http",
    ]);
    assert.deepEqual(lines(base, { ...base, rules: [{ ...web, active: false }, peer] }), [
      "~ rule 'Web': state: active -> not active",
    ]);
  });

  test('there and back is the same with + and - exchanged', () => {
    const random = new SeededRandom(7);
    const turned: Record<string, string> = { '+': '-', '-': '+', '~': '~' };
    const about = (line: string) => line.slice(1).replace(/: .*/s, '');
    for (let i = 0; i < 50; i++) {
      const [one, other] = [randomPolicy(random), randomPolicy(random)];
      const there = diffPolicies(one, other).length === 0;
      assert.equal(there, diffPolicies(other, one).length === 0);
      const gone = lines(one, other).filter(line => /^- rule '[^']*'$/.test(line));
      const come = lines(other, one).filter(line => /^\+ rule '[^']*'$/.test(line));
      assert.deepEqual(
        gone.map(line => `${turned[line[0] ?? '']}${about(line)}`).sort(),
        come.map(line => `${line[0]}${about(line)}`).sort(),
      );
    }
  });
});
