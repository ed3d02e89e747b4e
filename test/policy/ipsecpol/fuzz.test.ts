import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpsecpol } from '../../../src/policy/ipsecpol/parse.js';
import { printIpsecpol } from '../../../src/policy/ipsecpol/print.js';
import { IpseckitError } from '../../../src/report/errors.js';
import { SeededRandom } from '../../support/random.js';
import { randomCommand } from './random-command.js';

const secret = 'S3cr3tK3y';
const alphabet = [...'0123456789.*:/+=()[]-,\\"\'?abPKSQ \t\0\u{1f600}é\ud800'];
const fragments = [
  '-f',
  '-n',
  '-a',
  '-w',
  '-p',
  '-r',
  '-x',
  '-o',
  '-1s',
  '-1k',
  'REG',
  'ESP[',
  'AH[',
  'PFS',
  '3DES',
  '255.255.0.0',
  '::TCP',
  'DEFAULT',
  `PRESHARE:${secret}`,
  secret,
];

/** A command line with a few random mistakes in it. */
function mutated(random: SeededRandom, bases: readonly string[][]): string[] {
  const argv = [...random.pick(bases)];
  for (let mistakes = random.between(1, 4); mistakes > 0; mistakes--) {
    const at = random.int(argv.length + 1);
    const word = argv[at] ?? '';
    const cut = random.int(word.length + 1);
    switch (random.int(6)) {
      case 0:
        argv.splice(at, 0, random.pick(fragments));
        break;
      case 1:
        argv.splice(at, 1);
        break;
      case 2:
        argv.splice(at, 1, word.slice(0, cut));
        break;
      case 3:
        argv.splice(at, 1, word.slice(0, cut) + random.pick(fragments) + word.slice(cut));
        break;
      case 4:
        argv.splice(at, 1, word.slice(0, cut) + random.pick(alphabet) + word.slice(cut + random.int(2)));
        break;
      default:
        argv.splice(at, 1, Array.from({ length: random.int(30) }, () => random.pick(alphabet)).join(''));
    }
  }
  return argv;
}

test('hostile command lines: a command or an IpseckitError, and no key in it', t => {
  const seed = Number(process.env.IPSECKIT_SEED ?? 4_711);
  const inputs = Number(process.env.IPSECKIT_FUZZ ?? 300_000);
  t.diagnostic(`seed ${seed}, ${inputs} inputs`);
  const random = new SeededRandom(seed);
  const bases = Array.from({ length: 500 }, () => printIpsecpol(randomCommand(random), { secrets: 'shown' }));
  let accepted = 0;
  for (let i = 0; i < inputs; i++) {
    const argv = mutated(random, bases);
    try {
      const request = parseIpsecpol(argv);
      accepted++;
      if (request.kind === 'help') continue;
      const printed = printIpsecpol(request, { secrets: 'shown' });
      assert.deepEqual(printIpsecpol(parseIpsecpol(printed), { secrets: 'shown' }), printed);
    } catch (error) {
      if (!(error instanceof IpseckitError)) assert.fail(`${error} for ${JSON.stringify(argv)}`);
      assert.ok(error.message.length < 400, error.message);
      const behindAuth = argv.findIndex(word => word.toLowerCase() === '-a');
      const keysIn = argv.flatMap((word, at) => (word.includes(secret) ? [at] : []));
      if (behindAuth >= 0 && keysIn.length === 1 && keysIn[0] === behindAuth + 1)
        assert.ok(!error.message.includes(secret), `${error.message} for ${JSON.stringify(argv)}`);
    }
  }
  assert.ok(accepted > inputs / 100, `${accepted} were accepted: the fuzz reaches the whole grammar`);
  assert.ok(accepted < inputs, 'some were refused');
});

// Anything quadratic takes minutes.
test('very long input is refused, and does not hang', { timeout: 600_000 }, () => {
  for (const word of [
    '1.'.repeat(100_000),
    '('.repeat(200_000),
    'a-'.repeat(100_000),
    `ESP[${','.repeat(200_000)}]`,
    `${'*.'.repeat(50_000)}=0`,
  ])
    for (const flag of ['-f', '-n', '-a', '-t', '-1s', '-1k', '-w', '-p'])
      assert.throws(() => parseIpsecpol([flag, word, '-f', '0+*:']), IpseckitError);
});
