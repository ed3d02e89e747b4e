import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exportRacoon } from '../../../src/policy/export/racoon.js';
import type { Policy } from '../../../src/policy/model.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { SeededRandom } from '../../support/random.js';
import { randomPolicy } from '../../support/random-policy.js';
import { checkPskFile, checkRacoonConf, checkSetkey } from './racoon-grammar.js';
import { localAddresses, sample, samples } from './sample.js';

function check(policy: Policy): string[] {
  const addresses = [...localAddresses, ipAddress('2001:db8::1')];
  const { files } = exportRacoon(policy, { localAddresses: addresses, keys: 'shown' });
  const texts = files.map(({ text }) => text);
  const [conf = '', psk = '', spd = ''] = texts;
  checkRacoonConf(conf);
  checkPskFile(psk);
  checkSetkey(spd);
  return texts;
}

describe('what is exported for racoon keeps to its grammar', () => {
  for (const policy of samples) test(policy.name, () => assert.equal(check(policy).length, 3));

  test('random policies', t => {
    const seed = 42;
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    for (let i = 0; i < 500; i++) check(randomPolicy(random, { ipv6: random.chance(0.3), tunnels: true }));
  });
});

test('the kernel policies have both ways, and the most specific comes first', () => {
  const spd =
    check(sample)[2]
      ?.split('\n')
      .filter(line => line.startsWith('spdadd')) ?? [];
  const at = (part: string) => spd.findIndex(line => line.includes(part));
  assert.ok(at('192.0.2.1/32[80] 192.0.2.20/32') < at('192.0.2.1/32[any] 192.0.2.20/32'));
  assert.ok(at('192.0.2.1/32[any] 192.0.2.20/32') < at('192.0.2.1/32[any] 0.0.0.0/0[any] 1 '));
  assert.ok(
    spd.includes(
      'spdadd 10.1.0.0/16[any] 10.2.0.0/16[any] any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.7/require;',
    ),
  );
  assert.ok(
    spd.includes(
      'spdadd 10.2.0.0/16[any] 10.1.0.0/16[any] any -P in ipsec esp/tunnel/198.51.100.7-192.0.2.1/require;',
    ),
  );
  assert.ok(spd.includes('spdadd 0.0.0.0/0[any] 192.0.2.1/32[1434] 17 -P in discard;'));
  assert.ok(!spd.some(line => line.includes('[1434]') && line.includes('-P out')), 'one way only');
});

test('that Linux cuts its HMAC-SHA-256 is said of the rules that have it', () => {
  const { notes } = exportRacoon(sample, { localAddresses, keys: 'masked' });
  const said = notes.filter(({ text }) => text.includes('cut to 96 bits'));
  assert.deepEqual(
    said.map(({ kind, where }) => [kind, /rule ([^']+)/.exec(where)?.[1]]),
    [
      ['advice', 'Suites'],
      ['advice', 'Certificate'],
    ],
  );
});
