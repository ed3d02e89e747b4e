import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { describeExemptions, readSettings } from '../../src/agent/settings.js';

describe('settings.json', () => {
  const state = mkdtempSync(join(tmpdir(), 'ipseckit-settings-'));
  const home = { state, runtime: state };
  after(() => rmSync(state, { recursive: true, force: true }));
  const write = (text: string) => writeFileSync(join(state, 'settings.json'), text);

  test('may be missing, or say only some things', () => {
    assert.deepEqual(readSettings(home), {});
    write('{"noDefaultExempt": 3}');
    assert.deepEqual(readSettings(home), { noDefaultExempt: 3 });
    write('{"strongCrlCheck": 2, "noDefaultExempt": 1, "saIdleSeconds": 0}');
    assert.deepEqual(readSettings(home), { strongCrlCheck: 2, noDefaultExempt: 1, saIdleSeconds: 0 });
  });

  const wrong: readonly (readonly [text: string, complaint: RegExp])[] = [
    ['{"noDefaultExempt": 4}', /settings\.json: noDefaultExempt: expected 0, 1, 2, 3$/],
    ['{"noDefaultExempt": "3"}', /noDefaultExempt: expected 0, 1, 2, 3$/],
    ['{"saIdleSeconds": -1}', /saIdleSeconds: expected/],
    ['{"driver": "kernel"}', /driver: expected auto, xfrm, userspace$/],
    ['{"noDefaultExemption": 1}', /noDefaultExemption: unknown field$/],
    ['[]', /expected an object$/],
    ['{"noDefaultExempt"', /settings\.json: .*JSON/],
    ['', /settings\.json: .*JSON/],
  ];
  for (const [text, complaint] of wrong)
    test(`${JSON.stringify(text)} is refused`, () => {
      write(text);
      assert.throws(() => readSettings(home), { code: 'STORE', message: complaint });
    });
});

test('what is exempt is said', () => {
  assert.match(describeExemptions(0), /^NoDefaultExempt 0: IKE .*broadcast and multicast, RSVP .*, Kerberos/);
  assert.equal(describeExemptions(3), 'NoDefaultExempt 3: IKE (UDP 500 and 4500) pass all filters');
});
