/** `policy create|edit`, `rule` and `filter add|remove` by flags, as processes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { meaningOf } from '../../src/policy/equivalent.js';
import { ipseckitHome, localStoreFolder } from '../../src/policy/stores/home.js';
import { LocalStore } from '../../src/policy/stores/local.js';

const folder = mkdtempSync(join(tmpdir(), 'ipseckit-policy-edit-'));
after(() => rmSync(folder, { recursive: true }));
const keyFile = join(folder, 'the key');
writeFileSync(keyFile, 'geheim\n', { mode: 0o600 });
const [home, pasted] = [join(folder, 'home'), join(folder, 'pasted')];

interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: readonly string[], homeFolder = home): Promise<Outcome> {
  const child = spawn(program, args, {
    env: { ...process.env, IPSECKIT_HOME: homeFolder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', chunk => (stdout += chunk));
  child.stderr.on('data', chunk => (stderr += chunk));
  return new Promise(settle => child.once('close', exitCode => settle({ exitCode, stdout, stderr })));
}

const ipseckit = (...args: string[]) => run(process.execPath, ['bin/ipseckit.js', ...args]);
const store = (homeFolder = home) =>
  new LocalStore(localStoreFolder(ipseckitHome({ IPSECKIT_HOME: homeFolder })));

/** Runs the printed lines in a shell, in a home that has seen the same lines before. */
async function paste(stdout: string): Promise<void> {
  const program = `"${process.execPath}" "${resolve('bin/ipsecpol.js')}"`;
  for (const line of stdout.split('\n').filter(each => each.startsWith('  ipsecpol '))) {
    const outcome = await run('sh', ['-c', line.replace('  ipsecpol', program)], pasted);
    assert.equal(outcome.exitCode, 0, `${line}: ${outcome.stderr}`);
  }
}

describe('flags alone, and the printed lines pasted into a shell come to the same', () => {
  /** Commands in order, each with the lines it prints. */
  const steps: readonly (readonly [readonly string[], readonly string[]])[] = [
    [
      [
        'policy',
        'create',
        "Joe's lab",
        '--ike',
        '3des-sha1-modp1024',
        '--ike-lifetime',
        '3600',
        '--sessions',
        '5',
        '--poll-interval',
        '60',
      ],
      [`ipsecpol -w REG -p 'Joe'\\''s lab:60' -1s 3DES-SHA-2 -1k 5Q/3600S`],
    ],
    [
      [
        'rule',
        'add',
        "joe's lab",
        '--name',
        'Peer',
        '--source',
        'me',
        '--destination',
        '192.0.2.20',
        '--ca',
        'C=US, O=X',
        '--psk-file',
        keyFile,
        '--ah',
        'sha1',
        '--esp',
        'aes128-sha256,3des-sha1-modp1024',
        '--lifetime',
        '600',
        '--kilobytes',
        '50000',
        '--pfs',
        'main-mode',
        '--fallback',
        '--lan',
      ],
      [
        `ipsecpol -w REG -p 'Joe'\\''s lab' -r Peer -f 0+192.0.2.20 -n 'AH[SHA]600S/50000KPFS' 'ESP[AES128,SHA256]600S/50000KPFS' 'ESP[3DES,SHA]600S/50000KPFS' -a 'CERT:"C=US, O=X"' 'PRESHARE-FILE:"${keyFile}"' -soft -lan`,
      ],
    ],
    [
      [
        'rule',
        'add',
        "joe's lab",
        '--name',
        'No SQL',
        '--source',
        'any',
        '--destination',
        'me',
        '--protocol',
        'udp',
        '--destination-port',
        '1434',
        '--one-way',
        '--block',
      ],
      [`ipsecpol -w REG -p 'Joe'\\''s lab' -r 'No SQL' -f '*=0:1434:UDP' -n BLOCK`],
    ],
    [
      [
        'rule',
        'add',
        "joe's lab",
        '--name',
        'Out',
        '--source',
        '192.0.2.0/24',
        '--destination',
        '198.51.100.0/24',
        '--tunnel',
        '203.0.113.1',
        '--method',
        'ESP[3DES,SHA]900S',
        '--psk-file',
        keyFile,
      ],
      [
        `ipsecpol -w REG -p 'Joe'\\''s lab' -r Out -f 192.0.2.0/255.255.255.0=198.51.100.0/255.255.255.0 -n 'ESP[3DES,SHA]900S' -t 203.0.113.1 -a 'PRESHARE-FILE:"${keyFile}"'`,
      ],
    ],
    [
      [
        'rule',
        'add',
        "joe's lab",
        '--name',
        'In',
        '--filter',
        '198.51.100.0/24=192.0.2.0/24',
        '--tunnel',
        '192.0.2.1',
        '--method',
        'ESP[3DES,SHA]900S',
        '--psk-file',
        keyFile,
      ],
      [
        `ipsecpol -w REG -p 'Joe'\\''s lab' -r In -f 198.51.100.0/255.255.255.0=192.0.2.0/255.255.255.0 -n 'ESP[3DES,SHA]900S' -t 192.0.2.1 -a 'PRESHARE-FILE:"${keyFile}"'`,
      ],
    ],
    [
      ['rule', 'edit', "joe's lab", '2', '--destination-port', '1433', '--no-one-way'],
      [`ipsecpol -w REG -p 'Joe'\\''s lab' -r 'No SQL' -f '*+0:1433:UDP' -n BLOCK`],
    ],
    [
      ['filter', 'add', "joe's lab", 'no sql', '*=0:1435:UDP', '0=*:1434:UDP'],
      [
        `ipsecpol -w REG -p 'Joe'\\''s lab' -r 'No SQL' -f '*+0:1433:UDP' '*=0:1435:UDP' '0=*:1434:UDP' -n BLOCK`,
      ],
    ],
    [
      ['filter', 'remove', "joe's lab", 'no sql', '*+0:1433:UDP'],
      [`ipsecpol -w REG -p 'Joe'\\''s lab' -r 'No SQL' -f '*=0:1435:UDP' '0=*:1434:UDP' -n BLOCK`],
    ],
    [
      ['rule', 'add', "joe's lab", '--default-response', '--psk-file', keyFile, '--esp', '3des-sha1'],
      [`ipsecpol -w REG -p 'Joe'\\''s lab' -f DEFAULT -n 'ESP[3DES,SHA]' -a 'PRESHARE-FILE:"${keyFile}"'`],
    ],
    [
      ['policy', 'edit', "joe's lab", '--master-pfs', '--assign'],
      [`ipsecpol -w REG -p 'Joe'\\''s lab:60' -1s 3DES-SHA-2 -1k 3600S -1p -x`],
    ],
  ];
  for (const [args, lines] of steps)
    test(args.slice(0, 5).join(' '), async () => {
      const { exitCode, stdout, stderr } = await ipseckit(...args);
      assert.equal(exitCode, 0, stderr);
      assert.deepEqual(
        stdout.split('\n').filter(line => line.startsWith('  ')),
        lines.map(line => `  ${line}`),
      );
      assert.ok(!`${stdout}${stderr}`.includes('geheim'));
      await paste(stdout);
      const [ours, theirs] = await Promise.all([store().read("Joe's lab"), store(pasted).read("Joe's lab")]);
      assert.ok(ours && theirs);
      assert.equal(meaningOf(ours), meaningOf(theirs));
      assert.equal((await store().assigned())?.name, (await store(pasted).assigned())?.name);
    });

  test('what ipsecpol cannot change, it builds anew', async () => {
    const { exitCode, stdout, stderr } = await ipseckit('rule', 'remove', "joe's lab", 'out');
    assert.equal(exitCode, 0, stderr);
    const lines = stdout.split('\n').filter(line => line.startsWith('  '));
    assert.match(lines[0] ?? '', /-y -o$/);
    assert.equal(lines.length, 5);
    assert.match(lines[4] ?? '', /-x$/, 'it was assigned and is again');
  });

  test('as data', async () => {
    const { stdout } = await ipseckit('policy', 'edit', "joe's lab", '--poll-interval', '60', '--json');
    const { policy, rules, changed, assigned, inForce, lines } = JSON.parse(stdout);
    assert.deepEqual(
      { policy, rules, changed, assigned, inForce, lines },
      { policy: "Joe's lab", rules: 4, changed: false, assigned: true, inForce: false, lines: [] },
    );
  });

  test('extended sequence numbers, of which it is said that ipsecpol has no word for them', async () => {
    const extended = async () => {
      const action = (await store().read("Joe's lab"))?.rules.find(({ name }) => name === 'Peer')?.action;
      return action?.kind === 'negotiate' && action.methods.every(method => method.extendedSequence);
    };
    const on = await ipseckit('rule', 'edit', "joe's lab", 'peer', '--esn');
    assert.match(on.stdout + on.stderr, /extended sequence numbers: ipsecpol has no word for them/);
    assert.deepEqual([on.exitCode, await extended()], [0, true]);
    const off = await ipseckit('rule', 'edit', "joe's lab", 'peer', '--no-esn');
    assert.deepEqual([off.exitCode, await extended()], [0, false]);
  });
});

describe('refusals: exit code, message, next step, and nothing changed', () => {
  const other = join(folder, 'refusals');
  const here = (...args: string[]) => run(process.execPath, ['bin/ipseckit.js', ...args], other);
  before(async () => {
    await here('policy', 'create', 'P', '--poll-interval', '5');
    await here(
      'rule',
      'add',
      'P',
      '--name',
      'R',
      '--filter',
      '0+192.0.2.1',
      '--filter',
      '0+192.0.2.2',
      '--permit',
    );
  });
  const rule = ['rule', 'add', 'P', '--name', 'S', '--source', 'me', '--destination', '192.0.2.9'];
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    // Without a terminal, what is missing is named.
    [['policy', 'create'], 1, /^error: the NAME of the policy is missing/],
    [['policy', 'edit', 'P'], 1, /^error: what to change is missing.*\nnext: give a flag/],
    [['rule', 'add', 'P'], 1, /^error: --source is missing/],
    [['rule', 'add', 'P', '--block'], 1, /^error: --source is missing/],
    [['rule', 'add', 'P', '--source', 'me'], 1, /^error: --destination is missing/],
    [['rule', 'edit', 'P', 'R'], 1, /^error: what to change is missing/],
    [['filter', 'add', 'P', 'R'], 1, /^error: a FILTER is missing/],
    // What cannot be read.
    [[...rule, '--protocol', 'tpc'], 1, /^error: --protocol 'tpc': this is no protocol/],
    [[...rule, '--protocol', 'tcp', '--source-port', '65536'], 1, /^error: --source-port '65536'/],
    [[...rule, '--esp', 'rot13'], 1, /rot13/],
    [[...rule, '--esp', 'aes128-esn'], 1, /"aes128-esn": extended sequence numbers need integrity/],
    [[...rule, '--method', 'ESP[3DES]'], 1, /^error: --method 'ESP\[3DES\]': expected a cipher and a hash/],
    [[...rule, '--pfs', 'modp1'], 1, /^error: --pfs 'modp1'.*\nnext: give none, main-mode, modp768/],
    [
      ['rule', 'add', 'P', '--source', '192.0.2.300', '--destination', 'me'],
      1,
      /^error: --source '192\.0\.2\.300': .*octet/,
    ],
    [['rule', 'add', 'P', '--source', 'fe80::x', '--destination', 'me'], 1, /^error: --source 'fe80::x'/],
    [['filter', 'add', 'P', 'R', '[0+*]'], 1, /^error: filter '\[0\+\*\]': .*brackets/],
    [['policy', 'create', ' '], 1, /^error: name ' '/],
    [['policy', 'create', 'Q', '--builtin', 'king'], 1, /king/],
    // What excludes or contradicts.
    [[...rule, '--block', '--esp', '3des-sha1'], 2, /^error: --block and a security method exclude/],
    [[...rule, '--permit', '--pfs', 'none'], 2, /^error: --permit and --pfs exclude/],
    [[...rule, '--block', '--esn'], 2, /^error: --block and --esn exclude/],
    [[...rule, '--filter', '0+*'], 2, /^error: --filter and --source exclude/],
    [[...rule, '--destination-port', '80'], 2, /^error: a port needs a protocol/],
    [
      ['rule', 'edit', 'P', 'R', '--destination', 'any'],
      2,
      /^error: --destination changes the one filter of a rule, and this rule has 2/,
    ],
    [['rule', 'edit', 'P', 'R', '--name', 'r', '--destination', 'any'], 2, /has 2/],
    [['rule', 'add', 'P', '--name', 'r', '--filter', '0+*'], 2, /^error: policy 'P' has a rule 'R' already/],
    [['policy', 'create', 'p', '--poll-interval', '5'], 2, /^error: there is a policy 'P' already/],
    [['policy', 'edit', 'P', '--master-pfs', '--sessions', '3'], 2, /^error: main mode PFS allows one/],
    // What is not there.
    [['rule', 'remove', 'P', 'S'], 6, /^error: policy 'P' has no rule 'S'/],
    [['rule', 'add', 'Q', '--filter', '0+*'], 6, /^error: policy 'Q' not found/],
    [['policy', 'edit', 'Q', '--sessions', '3'], 6, /^error: policy 'Q' not found/],
    [['filter', 'remove', 'P', 'R', '0+192.0.2.3'], 6, /^error: rule 'R' has no filter '0\+192\.0\.2\.3'/],
    [[...rule, '--psk-file', '/nowhere'], 1, /^error: the preshared key file \/nowhere/],
    [
      ['rule', 'add', 'P', '--source', 'me', '--destination', 'no-such-host.invalid'],
      3,
      /^error: cannot resolve/,
    ],
    // What cannot work.
    [['rule', 'add', 'P', '--filter', '0+192.0.2.9', '--tunnel', '203.0.113.1'], 12, /one direction/],
    [['rule', 'edit', 'P', 'R', '--tunnel', '203.0.113.1'], 12, /tunnel/],
  ];
  for (const [args, exitCode, message] of cases)
    test(args.join(' '), async () => {
      const untouched = await store(other).snapshot();
      const outcome = await here(...args);
      assert.equal(outcome.exitCode, exitCode, outcome.stderr);
      assert.match(outcome.stderr, message);
      assert.match(outcome.stderr, /\nnext: .+\n$/);
      assert.deepEqual(await store(other).snapshot(), untouched);
    });
});

test('several people at once: every change is there in the end', async () => {
  assert.equal((await ipseckit('policy', 'create', 'Busy', '--poll-interval', '5')).exitCode, 0);
  const names = Array.from({ length: 6 }, (_, i) => `Rule ${i}`);
  const outcomes = await Promise.all(
    names.map((name, i) =>
      ipseckit('rule', 'add', 'Busy', '--name', name, '--filter', `0+192.0.2.${i}`, '--block'),
    ),
  );
  for (const { exitCode, stderr } of outcomes) assert.equal(exitCode, 0, stderr);
  const rules = (await store().read('Busy'))?.rules.map(({ name }) => name);
  assert.deepEqual(rules?.sort(), names);
});
