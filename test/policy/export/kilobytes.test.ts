/** Lifetimes in kilobytes: written where the daemon has them, said where it has not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exportLibreswan } from '../../../src/policy/export/libreswan.js';
import { exportRacoon } from '../../../src/policy/export/racoon.js';
import { exportSwanctl } from '../../../src/policy/export/swanctl.js';
import { dynamicPolicy } from '../support.js';
import { localAddresses } from './sample.js';

const options = { localAddresses, keys: 'masked' } as const;
const line = (method: string) =>
  dynamicPolicy(`-f 0+192.0.2.20 -n ${method} -a PRESHARE:secret -1s AES128-SHA-14`);
const limited = line('ESP[3DES,SHA]50000K/3600S');
const plain = line('ESP[3DES,SHA]');

describe('a lifetime in kilobytes', () => {
  test('goes to strongSwan', () => {
    const { files } = exportSwanctl(limited, options);
    assert.match(files[0]?.text ?? '', /life_bytes = 51200000\n/);
  });

  for (const [daemon, exported] of [
    ['libreswan', exportLibreswan],
    ['racoon', exportRacoon],
  ] as const)
    test(`${daemon} has none, and that is said`, () => {
      const said = (policy: typeof limited) =>
        exported(policy, options).notes.filter(({ text }) => text.includes('kilobytes'));
      const [note, ...others] = said(limited);
      assert.deepEqual(
        [note?.kind, note?.text],
        ['dropped', `lifetimes in kilobytes: ${daemon} ends SAs by time alone`],
      );
      assert.deepEqual([others, said(plain)], [[], []]);
    });
});
