import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exportLibreswan } from '../../../src/policy/export/libreswan.js';
import { checkConfiguration, checkProposals, needsLibreswan } from '../../lab/libreswan.js';
import { SeededRandom } from '../../support/random.js';
import { randomPolicy } from '../../support/random-policy.js';
import { localAddresses, sample6, samples } from './sample.js';

const options = { localAddresses, keys: 'shown' } as const;

/** The settings of each `conn`. */
function connections(text: string): Map<string, Map<string, string>> {
  const found = new Map<string, Map<string, string>>();
  let settings = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name] = /^conn (\S+)$/.exec(line) ?? [];
    const [, key, value] = /^\t([^=]+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined) {
      settings = new Map();
      found.set(name, settings);
    } else if (key !== undefined && value !== undefined) settings.set(key, value);
  }
  return found;
}

async function check(text: string): Promise<void> {
  const { status, stdout, stderr } = await checkConfiguration(text);
  assert.equal(status, 0, `${stdout}${stderr}\n${text}`);
  assert.doesNotMatch(`${stdout}${stderr}`, /warning|error|ignored|obsolete/i);
  // Without it pluto reads the algorithms as those of ESP; `--checkconfig` does not look.
  for (const [name, settings] of connections(text))
    if (settings.has('ah')) assert.equal(settings.get('phase2'), 'ah', name);
  const proposals = [...connections(text).values()].flatMap(settings =>
    ['ike', 'esp', 'ah'].flatMap(kind => {
      const value = settings.get(kind);
      return value === undefined ? [] : [{ text: `${kind}=${value}`, pfs: settings.get('pfs') === 'yes' }];
    }),
  );
  for (const pfs of [false, true]) {
    const words = [...new Set(proposals.filter(each => each.pfs === pfs).map(each => each.text))];
    if (words.length === 0) continue;
    const judged = await checkProposals(words, pfs);
    assert.equal(judged.status, 0, `${judged.stdout}${judged.stderr}`);
    assert.doesNotMatch(`${judged.stdout}${judged.stderr}`, /ERROR/);
  }
}

describe('libreswan takes what is exported', { skip: needsLibreswan() }, () => {
  for (const policy of samples)
    test(policy.name, async () => {
      const { files } = exportLibreswan(policy, options);
      await check(files[0]?.text ?? '');
    });

  test('words for addresses say their family where it is not IPv4', () => {
    const { files } = exportLibreswan(sample6, options);
    const families = [...connections(files[0]?.text ?? '')].map(([name, settings]) => [
      name,
      settings.get('hostaddrfamily'),
    ]);
    assert.deepEqual(
      families.filter(([, family]) => family !== undefined),
      [
        ['One-peer', 'ipv6'],
        ['Network', 'ipv6'],
      ],
    );
  });

  test('random policies', async t => {
    const seed = 40;
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    for (let i = 0; i < 60; i++) {
      const policy = randomPolicy(random, { ipv6: random.chance(0.3), tunnels: true });
      await check(exportLibreswan(policy, options).files[0]?.text ?? '');
    }
  });

  test('the judge refuses what is wrong', async () => {
    assert.notEqual((await checkConfiguration('conn a\n\tnonsense=1\n')).status, 0);
    assert.notEqual((await checkProposals(['ike=des-sha1-modp768'], false)).status, 0);
  });
});
