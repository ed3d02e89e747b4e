/** Extended sequence numbers where a policy leaves ipseckit: said in the other's words, or said to be left out. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diffPolicies, printDifference } from '../../src/policy/diff.js';
import { equivalentCommands, meaningOf } from '../../src/policy/equivalent.js';
import { exportLibreswan } from '../../src/policy/export/libreswan.js';
import { exportRacoon } from '../../src/policy/export/racoon.js';
import { exportSwanctl } from '../../src/policy/export/swanctl.js';
import type { Policy } from '../../src/policy/model.js';
import type { PolicyNote } from '../../src/policy/note.js';
import { printPolicy } from '../../src/policy/print-policy.js';
import { localAddresses } from './export/sample.js';
import { policyOf } from './support.js';

const plain = policyOf(
  '-w REG -p P -r R -f 0+192.0.2.20 -n ESP[3DES,SHA]PFS14 -a PRESHARE:k -1s AES128-SHA-14',
);
const extended: Policy = {
  ...plain,
  rules: plain.rules.map(rule =>
    rule.action.kind === 'negotiate'
      ? {
          ...rule,
          action: {
            ...rule.action,
            methods: rule.action.methods.map(method => ({ ...method, extendedSequence: true })),
          },
        }
      : rule,
  ),
};

const options = { localAddresses, keys: 'shown' } as const;
const said = (notes: readonly PolicyNote[]) =>
  notes.map(({ kind, text }) => `${kind}: ${text}`).filter(text => text.includes('extended'));

describe('extended sequence numbers in a policy', () => {
  test('are part of what it means, of what differs and of what is shown', () => {
    assert.notEqual(meaningOf(extended), meaningOf(plain));
    assert.deepEqual(diffPolicies(plain, extended).map(printDifference), [
      "~ rule 'R': security methods: ESP[3DES,SHA]PFS14 -> ESP[3DES,SHA]PFS14 (ESN)",
    ]);
    assert.ok(printPolicy(extended, false).includes('    Methods          ESP[3DES,SHA]PFS14 (ESN)'));
  });

  test('strongSwan gets esn', () => {
    const { files, notes } = exportSwanctl(extended, options);
    assert.match(files[0]?.text ?? '', /esp_proposals = 3des-sha1-modp2048-esn\n/);
    assert.deepEqual(said(notes), []);
    assert.doesNotMatch(exportSwanctl(plain, options).files[0]?.text ?? '', /esn/);
  });

  test('libreswan and racoon are said to have none', () => {
    for (const [daemon, exported] of [
      ['libreswan', exportLibreswan],
      ['racoon', exportRacoon],
    ] as const) {
      const { files, notes } = exported(extended, options);
      assert.deepEqual(said(notes), [`dropped: extended sequence numbers: ${daemon} has none in IKEv1`]);
      assert.equal(files[0]?.text, exported(plain, options).files[0]?.text);
    }
  });

  test('ipsecpol has no word for them, and the lines come with that', () => {
    const assigned = { assignedBefore: false, assignedAfter: false };
    for (const before of [undefined, plain]) {
      const { commands, notes } = equivalentCommands(before, extended, assigned);
      assert.ok(commands.length > 0);
      assert.deepEqual(said(notes), ['dropped: extended sequence numbers: ipsecpol has no word for them']);
    }
    assert.deepEqual(said(equivalentCommands(extended, plain, assigned).notes), []);
  });
});
