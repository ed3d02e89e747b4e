/** Recordings of two strongSwans, neither of which is us: explained with the keys and without them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { noCredentials } from '../../../src/crypto/certificates/credentials.js';
import { readCredentialFile } from '../../../src/crypto/certificates/read-files.js';
import { Secret } from '../../../src/crypto/secret.js';
import { type ReplayKnowledge, replay } from '../../../src/diag/replay/replay.js';
import type { ReplayNegotiation } from '../../../src/diag/replay/report.js';
import { renderReplay } from '../../../src/diag/replay/text.js';
import { testCa } from '../../support/certificates.js';
import { recordedPassword, recordedPsk, recordedRoot, recording } from '../../support/recordings.js';

function explained(name: string, known: ReplayKnowledge & { readonly withKeys?: boolean } = {}) {
  const { file, keys } = recording(name);
  const report = replay(file, { ...(known.withKeys === false ? {} : { keys }), ...known });
  const [negotiation, ...others] = report.negotiations;
  assert.ok(negotiation);
  assert.deepEqual([others, report.notes], [[], []]);
  return { ...negotiation, text: renderReplay(report, true).join('\n') };
}

const decisionsOf = ({ messages }: Pick<ReplayNegotiation, 'messages'>, name: string) =>
  messages.filter(message => message.name === name).flatMap(({ decisions }) => decisions);

describe('aggressive mode with a preshared key', () => {
  for (const withKeys of [true, false])
    test(`${withKeys ? 'with' : 'without'} keys, all three messages; the hash is there for anyone to try`, () => {
      const found = explained('aggressive-psk', { withKeys, presharedKey: new Secret(recordedPsk) });
      assert.deepEqual([found.mode, found.outcome], ['aggressive', 'established']);
      assert.deepEqual(
        found.messages.slice(0, 3).map(({ name, from }) => [name, from]),
        [
          ['aggressive mode 1', 'initiator'],
          ['aggressive mode 2', 'responder'],
          ['aggressive mode 3', 'initiator'],
        ],
      );
      assert.deepEqual(found.identities, { initiator: '192.0.2.1', responder: '192.0.2.2' });
      assert.match(found.warnings.join(), /whoever has this capture can try keys against it/);
      assert.deepEqual(
        found.proofs.map(({ by, matches }) => [by, matches]),
        withKeys
          ? [
              ['initiator', true],
              ['responder', true],
            ]
          : [['responder', true]],
      );
    });

  test('keys that differ: the initiator refuses message 2', () => {
    const read = explained('aggressive-psk-differs', { presharedKey: new Secret(recordedPsk) });
    assert.equal(read.failure?.reason, 'preshared-keys-differ');
    assert.match(
      read.failure?.text ?? '',
      /^192\.0\.2\.1 answered AUTHENTICATION-FAILED to aggressive mode 2/,
    );
    assert.deepEqual(
      read.proofs.map(({ by, matches }) => [by, matches]),
      [['responder', true]],
    );
    const unread = explained('aggressive-psk-differs', { withKeys: false });
    assert.equal(unread.failure?.reason, 'preshared-keys-differ');
    assert.match(unread.failure?.text ?? '', /answered aggressive mode 2 with an encrypted notification/);
    const other = explained('aggressive-psk-differs', { presharedKey: new Secret('another key') });
    assert.deepEqual(
      other.proofs.map(({ matches }) => matches),
      [false],
    );
  });
});

test('main mode with preshared keys that differ', () => {
  for (const withKeys of [true, false]) {
    const { failure, text } = explained('main-psk-differs', { withKeys });
    assert.equal(failure?.reason, 'preshared-keys-differ');
    assert.match(failure?.text ?? '', /^192\.0\.2\.2 answered main mode 5 with /);
    assert.match(text, /sent again 2 times/);
  }
});

describe('XAUTH and mode-config', () => {
  test('a user who is accepted, and the address he gets', () => {
    const found = explained('xauth');
    assert.equal(found.outcome, 'established');
    assert.match(found.proposals?.chosen?.text ?? '', /authentication XAUTH pre-shared key \(initiator\)/);
    assert.deepEqual(
      [found.xauth?.gateway, found.xauth?.user, found.xauth?.outcome],
      ['responder', 'ann', 'accepted'],
    );
    assert.deepEqual(
      found.messages.slice(6, 12).map(({ name }) => name),
      ['XAUTH request', 'XAUTH reply', 'XAUTH set', 'XAUTH ack', 'mode-config request', 'mode-config reply'],
    );
    assert.deepEqual(decisionsOf(found, 'XAUTH request'), ['asks for user name, password']);
    assert.deepEqual(decisionsOf(found, 'XAUTH reply'), [
      'answers as the user "ann", with password (not shown)',
    ]);
    assert.deepEqual(decisionsOf(found, 'XAUTH set'), ['OK: accepts the user "ann"']);
    const given = 'address 10.3.0.7, DNS 10.2.0.53, networks 10.2.0.0/24';
    assert.equal(found.configuration?.text, `mode-config: the responder gives ${given}`);
    assert.deepEqual(decisionsOf(found, 'mode-config reply'), [`gives ${given}`]);
    for (const form of [recordedPassword, Buffer.from(recordedPassword).toString('hex')])
      assert.ok(!(JSON.stringify(found) + found.text).includes(form));
  });

  test('a wrong password', () => {
    const found = explained('xauth-refused');
    assert.deepEqual([found.outcome, found.failure?.reason], ['failed', 'xauth-failed']);
    assert.match(found.failure?.text ?? '', /^192\.0\.2\.2 refused the user "ann"/);
    assert.deepEqual(decisionsOf(found, 'XAUTH set'), ['FAIL: refuses the user "ann"']);
    assert.ok(!found.text.includes(Buffer.from('wrong').toString('hex')));
  });

  test('without keys it tells what follows from what can be seen', () => {
    const accepted = explained('xauth', { withKeys: false });
    assert.equal(accepted.xauth?.outcome, 'accepted');
    const refused = explained('xauth-refused', { withKeys: false });
    assert.equal(refused.xauth?.outcome, 'unfinished');
    assert.match(refused.xauth?.text ?? '', /nothing after them, as when the user is refused/);
  });
});

describe('certificates', () => {
  const trust = (...trusted: (typeof noCredentials)['trusted']) => ({
    judging: { credentials: { ...noCredentials, trusted } },
  });
  const { certificates } = readCredentialFile(readFileSync(recordedRoot));
  const right = trust(...certificates);
  const wrong = trust(testCa('C=DE, O=Other, CN=Other Root').certificate);

  for (const name of ['certificates', 'aggressive-certificates'])
    test(`${name}: under the right CA, a wrong one, and none`, () => {
      const found = explained(name, right);
      assert.equal(found.outcome, 'established');
      assert.deepEqual(
        found.certificates.map(({ by, chain, verdict }) => [by, chain[0]?.subject, verdict?.passed]),
        [
          ['initiator', 'C=DE, O=Example, CN=alice', true],
          ['responder', 'C=DE, O=Example, CN=bob', true],
        ],
      );
      for (const { notes } of found.certificates)
        assert.deepEqual(notes, ['the signature was made with the key of this certificate']);
      assert.match(found.text, /identity +passed +C=DE, O=Example, CN=bob +speaks for the identity claimed/);
      const [, bob] = explained(name, wrong).certificates;
      assert.equal(bob?.verdict?.passed, false);
      assert.deepEqual(
        bob?.verdict?.tests.filter(({ passed }) => !passed).map(({ test: which }) => which),
        ['trust'],
      );
      assert.ok(explained(name).certificates.every(({ verdict }) => verdict === undefined));
    });

  test('in aggressive mode those of the responder can be read without keys', () => {
    const found = explained('aggressive-certificates', { withKeys: false, ...right });
    assert.deepEqual(
      found.certificates.map(({ by, verdict }) => [by, verdict?.passed]),
      [['responder', true]],
    );
    assert.deepEqual(found.warnings, []);
  });

  test('a CA that the other side does not have', () => {
    const read = explained('certificates-unknown-ca', right);
    assert.match(read.failure?.text ?? '', /^192\.0\.2\.2 answered AUTHENTICATION-FAILED to main mode 5/);
    assert.equal(
      read.certificates[0]?.notes[0],
      'none of them is under a CA the other side asked for (C=DE, O=Other, CN=Other Root)',
    );
    const unread = explained('certificates-unknown-ca', { withKeys: false });
    assert.equal(unread.failure?.reason, 'authentication-failed');
    assert.match(unread.failure?.text ?? '', /most likely it does not accept the certificate/);
  });

  test('they are judged at the time of the capture, or another', () => {
    const late = { judging: { ...right.judging, atMs: Date.UTC(2040, 0, 1) } };
    const [alice] = explained('certificates', late).certificates;
    assert.equal(alice?.verdict?.tests[0]?.detail, 'expired on 2036-01-01');
  });
});
