/** The printed lines do what the command did: run them, and the policy is the same. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FilterText } from '../../src/policy/build.js';
import { newPolicy } from '../../src/policy/build.js';
import { type BuiltinName, builtinNames, builtinPolicies } from '../../src/policy/builtin.js';
import {
  addFilters,
  addRule,
  changePolicy,
  editRule,
  type RuleChanges,
  removeRule,
} from '../../src/policy/edit.js';
import { equivalentCommands, meaningOf } from '../../src/policy/equivalent.js';
import { policyCommands } from '../../src/policy/ipsecpol/lines.js';
import { printIpsecpol, shellLine } from '../../src/policy/ipsecpol/print.js';
import { parseScript } from '../../src/policy/ipsecpol/script.js';
import type { Guid, Policy } from '../../src/policy/model.js';
import { PolicyTransaction } from '../../src/policy/transaction.js';
import { parseAddressWord, parseFilterWord } from '../../src/policy/words.js';
import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { SeededRandom } from '../support/random.js';
import { randomCommand, randomSecurityMethod } from './ipsecpol/random-command.js';
import { buildContext, policyOf } from './support.js';

/** Resolves any name, always to the same address. */
const context = {
  ...buildContext(),
  addressesOf: (name: string): readonly IpAddress[] => [ipAddress(`198.51.100.${name.length}`)],
};

/** Runs lines as text, as somebody who pastes them would. */
function run(before: Policy | undefined, lines: readonly string[], assigned?: Guid) {
  const transaction = new PolicyTransaction({
    policies: before === undefined ? [] : [before],
    problems: [],
    ...(assigned === undefined ? {} : { assigned }),
  });
  for (const { command } of parseScript(lines.join('\n'), 'lines')) transaction.apply(command, context);
  return transaction.result;
}

function linesFor(
  before: Policy | undefined,
  after: Policy,
  assignedBefore: boolean,
  assignedAfter: boolean,
) {
  const { commands, notes } = equivalentCommands(before, after, { assignedBefore, assignedAfter });
  return {
    notes,
    lines: commands.map(command => `ipsecpol ${shellLine(printIpsecpol(command, { secrets: 'shown' }))}`),
  };
}

function checkSame(
  before: Policy | undefined,
  after: Policy,
  assignedBefore = false,
  assignedAfter = false,
): string[] {
  const { lines, notes } = linesFor(before, after, assignedBefore, assignedAfter);
  assert.deepEqual(notes, [], lines.join('\n'));
  const { touched, store } = run(before, lines, assignedBefore ? before?.id : undefined);
  const [only] = touched.filter(({ policy }) => policy.name === after.name);
  if (lines.length === 0) {
    assert.ok(before);
    assert.equal(meaningOf(before), meaningOf(after));
    return lines;
  }
  assert.ok(only, lines.join('\n'));
  assert.equal(meaningOf(only.policy), meaningOf(after), lines.join('\n'));
  assert.equal(only.assigned, assignedAfter, `${lines.join('\n')} ${JSON.stringify(store?.assigned)}`);
  return lines;
}

function randomFilter(random: SeededRandom, tunnel: boolean): FilterText {
  for (;;) {
    const [spec] = randomCommand(random).filters;
    if (spec?.kind !== 'traffic') continue;
    const { kind: _, action: __, source, destination, ...rest } = spec;
    // A name with a mask becomes the subnet it is in now, which prints as such.
    const plain = [source, destination].every(
      each => each.kind !== 'name' || each.prefixLength === undefined,
    );
    if (plain) return { ...rest, source, destination, mirrored: !tunnel && rest.mirrored };
  }
}

function randomChanges(random: SeededRandom, tunnel: boolean, isNew: boolean): RuleChanges {
  const command = randomCommand(random);
  const sometimes = <T>(make: () => T): T | undefined => (isNew || random.chance(0.5) ? make() : undefined);
  const action = sometimes(
    (): NonNullable<RuleChanges['action']> =>
      !tunnel && random.chance(0.3)
        ? { kind: random.pick(['permit', 'block'] as const) }
        : {
            kind: 'negotiate',
            methods: Array.from({ length: random.between(1, 4) }, () => randomSecurityMethod(random)),
            acceptUnsecured: random.chance(0.3),
            allowFallback: random.chance(0.3),
          },
  );
  const filters = sometimes(() =>
    Array.from({ length: random.between(1, 4) }, () => randomFilter(random, tunnel)),
  );
  const authentication = command.authentication.filter(({ kind }) => kind !== 'presharedFile');
  return {
    ...(filters === undefined ? {} : { filters }),
    ...(action === undefined ? {} : { action }),
    ...(authentication.length === 0 ? {} : { authentication }),
    ...(tunnel ? { tunnel: { kind: 'host', address: ipAddress('203.0.113.1') } } : {}),
    ...(random.chance(0.3) ? { connectionType: random.pick(['all', 'lan', 'dialup'] as const) } : {}),
  };
}

test('whatever a rule is, the printed line builds the same one', t => {
  const seed = Number(process.env.IPSECKIT_SEED ?? 77);
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const lengths = new Set<string>();
  for (let i = 0; i < 3000; i++) {
    let policy = newPolicy(`P ${i}`, context.newGuid());
    const tunnel = random.chance(0.2);
    const settings = randomCommand(random);
    if (random.chance(0.5))
      policy = changePolicy(policy, {
        pollIntervalMinutes: random.int(1000),
        ...(settings.mainModeMethods.length > 0 ? { methods: settings.mainModeMethods } : {}),
        ...(settings.masterKeyPfs ? { masterKeyPfs: true } : { quickModeLimit: random.int(9) }),
      });
    const added = addRule(policy, { ...randomChanges(random, tunnel, true), name: `it's "${i}"` }, context);
    assert.equal(checkSame(policy, added).length, 1, 'adding is one line');
    assert.equal(
      checkSame(undefined, added, false, random.chance(0.5)).length,
      1,
      'a policy of one rule too',
    );
    const edited = editRule(added, '1', randomChanges(random, tunnel, false), context);
    lengths.add(String(checkSame(added, edited, true, true).length));
    checkSame(edited, removeRule(edited, '1'), random.chance(0.5), true);
    checkSame(edited, changePolicy(edited, { name: 'New name', lifetimeSeconds: 77 }), true, true);
  }
  assert.deepEqual([...lengths].sort(), ['0', '1', '2'], 'no line, one, and the policy anew all occur');
});

describe('what cannot be said is noted', () => {
  const notesOf = (after: Policy, before?: Policy) =>
    linesFor(before, after, false, false).notes.map(({ kind, where, text }) => `${kind}: ${where}: ${text}`);
  const lab = policyOf('-w REG -p Lab -r R -f 0+192.0.2.1 -n PASS');

  test('addresses that ipsecpol has no words for', () => {
    const host: FilterText = {
      source: { kind: 'me' },
      destination: { kind: 'host', address: ipAddress('192.0.2.7') },
      protocol: 0,
      sourcePort: 0,
      destinationPort: 0,
      mirrored: true,
    };
    const gateway: FilterText = { ...host, destination: { kind: 'special', group: 'gateway' } };
    const more = addFilters(lab, 'R', [host, gateway], context);
    assert.deepEqual(notesOf(more), [
      "dropped: policy 'Lab', rule 'R': filter '0+GATEWAY': ipsecpol has no word for servers this computer learns",
    ]);
    const alone = addRule(lab, { name: 'S', filters: [gateway] }, context);
    assert.match(notesOf(alone, lab).join('\n'), /rule 'S': the whole rule: none of its filters/);
    assert.deepEqual(linesFor(lab, alone, false, false).lines, [], 'no line comes near it');
    const six = addRule(
      lab,
      { name: 'S', filters: [{ ...host, destination: parseAddressWord('2001:db8::/32', 'address') }] },
      context,
    );
    assert.match(checkSame(lab, six).join(), /-f '0\+<2001:db8::>\/32'/);
  });

  test('names that stand in the way of the grammar', () => {
    const star = parseFilterWord('0+*', 'filter');
    assert.match(
      notesOf(addRule(lab, { name: '-x', filters: [star] }, context)).join(),
      /rule '-x': the whole rule: -r needs a rule name/,
    );
    const colon = changePolicy(lab, { name: 'a:b' });
    assert.match(notesOf(colon).join(), /dropped: .*the whole rule: .*poll interval/);
  });

  test('built-in policies: only names and descriptions are lost', () => {
    for (const name of Object.keys(builtinNames) as BuiltinName[]) {
      const policy = builtinPolicies(context.newGuid)[name];
      const commands = policyCommands(policy);
      const lines = commands.map(command => shellLine(printIpsecpol(command, { secrets: 'shown' })));
      const [only] = run(undefined, lines).touched;
      assert.ok(only);
      assert.equal(meaningOf(only.policy), meaningOf(policy));
      for (const note of notesOf(policy)) assert.match(note, /description$|names? of its filter/);
    }
  });

  test('an inactive rule', () => {
    assert.match(notesOf(editRule(lab, 'R', { active: false }, context)).join(), /changed: .*not active/);
  });
});
