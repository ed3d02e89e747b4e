import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpsecpolRequest } from '../../../src/policy/ipsecpol/command.js';
import { parseIpsecpol } from '../../../src/policy/ipsecpol/parse.js';
import { printIpsecpol } from '../../../src/policy/ipsecpol/print.js';
import { SeededRandom } from '../../support/random.js';
import { randomCommand } from './random-command.js';

/** `deepEqual` cannot look into a `Secret`: keys are compared in clear. */
function comparable(request: IpsecpolRequest): unknown {
  if (request.kind === 'help' || request.kind === 'file') return request;
  const authentication = request.authentication.map(method =>
    method.kind === 'preshared' ? { ...method, key: method.key.reveal() } : method,
  );
  return { ...request, authentication };
}

test('whatever is printed parses to the same command', t => {
  const seed = Number(process.env.IPSECKIT_SEED ?? 20_000);
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const forms = new Set<string>();
  for (let i = 0; i < 20_000; i++) {
    const command = randomCommand(random);
    const argv = printIpsecpol(command, { secrets: 'shown' });
    const again = parseIpsecpol(argv);
    assert.deepEqual(comparable(again), comparable(command), argv.join(' '));
    assert.deepEqual(printIpsecpol(again, { secrets: 'shown' }), argv);
    for (const word of argv) if (word.startsWith('-')) forms.add(word);
  }
  // The generator reaches every flag but -?, -y's partner -o (which stands alone) and nothing else.
  for (const flag of [
    '-f',
    '-n',
    '-t',
    '-a',
    '-u',
    '-soft',
    '-dialup',
    '-lan',
    '-1s',
    '-1k',
    '-1p',
    '-confirm',
    '-w',
    '-p',
    '-r',
    '-x',
    '-y',
  ])
    assert.ok(forms.has(flag), `${flag} was generated`);
});
