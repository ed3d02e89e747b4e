/** `ipsecpol -file`: all of it or nothing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type ControlHandlers, ControlServer } from '../../src/agent/control/server.js';
import { controlSocketPath } from '../../src/agent/paths.js';
import { describeFilter } from '../../src/policy/describe.js';
import { policyFromDocument } from '../../src/policy/document.js';
import { ipseckitHome, localStoreFolder } from '../../src/policy/stores/home.js';
import { LocalStore } from '../../src/policy/stores/local.js';
import { IpseckitError } from '../../src/report/errors.js';

let home = '';
let script = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ipseckit-file-'));
  script = join(home, 'rules.txt');
});
afterEach(() => rmSync(home, { recursive: true }));

interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(argv: readonly string[], stdin = ''): Promise<Outcome> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { env: { ...process.env, IPSECKIT_HOME: home } });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', chunk => (stdout += chunk));
  child.stderr.on('data', chunk => (stderr += chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(stdin);
  return new Promise(resolve => child.once('close', exitCode => resolve({ exitCode, stdout, stderr })));
}

const program = [process.execPath, 'bin/ipsecpol.js'];

function runFile(text: string | Uint8Array): Promise<Outcome> {
  writeFileSync(script, text);
  return run([...program, '-file', script]);
}

async function succeeds(text: string, stderr = ''): Promise<void> {
  const outcome = await runFile(text);
  assert.deepEqual(outcome, { exitCode: 0, stdout: 'The command completed successfully.\n', stderr });
}

async function fails(text: string, exitCode: number, message: RegExp): Promise<void> {
  const before = content();
  const outcome = await runFile(text);
  assert.equal(outcome.exitCode, exitCode, outcome.stderr);
  assert.equal(outcome.stdout, '');
  assert.match(outcome.stderr.replaceAll(script, 'FILE'), message);
  assert.deepEqual(content(), before, 'the store is as it was');
}

const store = () => new LocalStore(localStoreFolder(ipseckitHome({ IPSECKIT_HOME: home })));

/** Every file of the store, byte for byte. */
function content(): Record<string, string> {
  const { folder } = store();
  if (!existsSync(folder)) return {};
  return Object.fromEntries(
    readdirSync(folder).map(name => [name, readFileSync(join(folder, name), 'latin1')]),
  );
}

async function filtersOf(name: string) {
  const policy = await store().read(name);
  return policy?.rules.map(rule => [rule.name, rule.filterList?.filters.map(describeFilter).join(' ')]);
}

const notRunning =
  'note: the policy agent is not running; the policy takes effect with "ipseckit agent start"\n';

describe('stored policies', () => {
  test('several policies, in order: create, change, assign, delete', async () => {
    await succeeds('-w REG -p Old -r R -f 0+* -n PASS -x', notRunning);
    await succeeds(
      `# the new world
      ipsecpol -w REG -p New:30 -r One -f 0+192.0.2.1 -n BLOCK
      ipsecpol -w REG -p New -r Two -f 0+192.0.2.2 -n BLOCK
      ipsecpol -w REG -p new -r one -f 0+192.0.2.3
      ipsecpol -w REG -p New -x
      ipsecpol -w REG -p Old -y -o
      ipsecpol -w REG -p Never -y -o
      `,
      `note: policy 'Never' is not there, nothing to do\n${notRunning}`,
    );
    assert.deepEqual(await filtersOf('New'), [
      ['One', '0+192.0.2.3'],
      ['Two', '0+192.0.2.2'],
    ]);
    assert.equal(await store().read('Old'), undefined);
    assert.equal((await store().assigned())?.name, 'New');
    assert.equal((await store().assigned())?.pollIntervalMinutes, 30);
    await succeeds('-w REG -p New -y\n-w REG -p New -o\n-w REG -p New -r X -f 0+* -n PASS');
    assert.deepEqual(await filtersOf('New'), [['X', '0+*']]);
    assert.equal(await store().assigned(), undefined);
  });

  test('a script is as good as its lines one by one', async () => {
    const lines = [
      '-w REG -p P -r A -f 0+192.0.2.1:80:TCP -n ESP[3DES,SHA]3600S/50000KPFS2 -a PRESHARE:k -1s 3DES-SHA-2 -1k 5Q/600S',
      '-w REG -p P -r a -soft -lan',
      '-w REG -p P -f DEFAULT -a PRESHARE:k',
      '-w REG -p P -r B -t 203.0.113.1 -f 192.0.2.0/24=198.51.100.0/24 -a PRESHARE:k',
      '-w REG -p P -r C -t 192.0.2.1 -f 198.51.100.0/24=192.0.2.0/24 -a PRESHARE:k',
      '-w REG -p P -1p',
    ];
    await succeeds(lines.join('\n'));
    const whole = await store().read('P');
    assert.ok(whole);
    await store().delete('P');
    for (const line of lines) assert.equal((await run([...program, ...line.split(' ')])).exitCode, 0, line);
    const oneByOne = await store().read('P');
    assert.ok(oneByOne);
    const withoutIds = (value: unknown) =>
      JSON.stringify(value, (name, field) => (name === 'id' ? undefined : field));
    assert.equal(withoutIds(whole), withoutIds(oneByOne));
  });

  test('stdin, UTF-16 as Windows editors save it, and JSON', async () => {
    const stdin = await run([...program, '-file', '-'], '-w REG -p P -r Größe -f 0+* -n PASS\n');
    assert.equal(stdin.exitCode, 0, stdin.stderr);
    const text = '\ufeffrem Größe\r\nipsecpol -w REG -p P -r "Größe" -f 0+192.0.2.9\r\n';
    assert.equal((await runFile(Buffer.from(text, 'utf16le'))).exitCode, 0);
    assert.deepEqual(await filtersOf('P'), [['Größe', '0+192.0.2.9']]);
    const json = await run([
      process.execPath,
      'bin/ipseckit.js',
      'ipsecpol',
      '--json',
      '--',
      '-file',
      script,
    ]);
    const { commands, policies } = JSON.parse(json.stdout);
    assert.equal(commands, 1);
    assert.deepEqual(
      policies.map(({ name, rules }: { name: string; rules: number }) => [name, rules]),
      [['P', 1]],
    );
  });
});

describe('a mistake in any line, and nothing is changed', () => {
  beforeEach(() => succeeds('-w REG -p Kept -r R -f 0+192.0.2.1 -n BLOCK'));
  const good = [
    '-w REG -p Kept -r R -n PASS',
    '-w REG -p Other -r R -f 0+* -n BLOCK',
    '-w REG -p Kept -y -o',
  ];
  /** A bad line behind three good ones, exit code, message. */
  const mistakes: readonly (readonly [string, number, RegExp])[] = [
    ['-w REG -p Kept -r S -f 0+*:80:FOO', 1, /^error: FILE:4:31: bad filter spec/],
    ['-w REG -f 0+*', 2, /^error: FILE:4:1: -w needs -p/],
    ['-w REG -p Other -r S -f 0+nosuch.invalid', 3, /^error: FILE:4:27: cannot resolve 'nosuch\.invalid'/],
    ['-w REG -p Nope -x', 6, /^error: FILE:4:1: policy 'Nope' not found/],
    [
      '-w REG -p Other -r New -n BLOCK',
      2,
      /^error: FILE:4:1: rule 'New' is new in policy 'Other' and needs -f/,
    ],
    ['-w REG -p Other -r S -f 0+* -n ESP[NONE,NONE]', 7, /^error: FILE:4:36: bad negotiation policy/],
    ['-w DS -p P -x', 7, /^error: FILE:4:1: a directory is only read/],
    ['\\\\elsewhere.example -w REG -p P -x', 7, /^error: FILE:4:3: .*is another computer/],
    [
      '-w REG -p O -r S -f 0+* -a PRESHARE-FILE:/nowhere',
      1,
      /^error: FILE:4:42: the preshared key file \/nowhere/,
    ],
    ['-w REG -p O -r "S', 1, /^error: FILE:4:16: the quote/],
    ['-f [0+*]', 4, /^error: the policy agent is not running/],
    ['-u', 4, /^error: the policy agent is not running/],
    ['-f [0+*] -confirm', 11, /^error: -confirm asks on the terminal/],
    ['-?', 1, /^error: FILE:4:1: this line does nothing/],
  ];
  for (const [line, exitCode, message] of mistakes)
    test(line, () => fails([...good, line].join('\n'), exitCode, message));

  test('in any place', async () => {
    for (let at = 0; at <= good.length; at++) {
      const lines = [...good];
      lines.splice(at, 0, '-w REG -p P -f x');
      await fails(lines.join('\n'), 1, new RegExp(`^error: FILE:${at + 1}:17: `));
    }
  });

  test('a file that is not there, or no text', async () => {
    const missing = await run([...program, '-file', join(home, 'missing')]);
    assert.equal(missing.exitCode, 1);
    assert.match(missing.stderr, /^error: the file .*missing cannot be read \(ENOENT\)\nnext: /);
    await fails('\u0000\u0001', 1, /is no text/);
    const beside = await run([...program, '-file', script, '-u']);
    assert.equal(beside.exitCode, 2);
    assert.match(beside.stderr, /^error: -file excludes all other flags/);
  });

  test('a full disk', async () => {
    const before = content();
    const rules = Array.from({ length: 200 }, (_, i) => `-w REG -p Kept -r N${i} -f 0+192.0.2.${i} -n BLOCK`);
    writeFileSync(script, ['-w REG -p Small -r R -f 0+* -n PASS', ...rules].join('\n'));
    // A limit on the size of a file stands for the disk: 16 blocks of 512 or 1024 bytes.
    const full = await run([
      'sh',
      '-c',
      'trap "" XFSZ; ulimit -f 16; exec "$@"',
      'sh',
      ...program,
      '-file',
      script,
    ]);
    assert.equal(full.exitCode, 6, full.stderr);
    assert.match(full.stderr, /^error: cannot write .*EFBIG\)\nnext: nothing was changed/);
    assert.deepEqual(content(), before);
  });

  test('a damaged policy file is no reason to create the policy again', async () => {
    const [file = ''] = readdirSync(store().folder).filter(name => name.startsWith('ipsecPolicy'));
    writeFileSync(join(store().folder, file), '{ "format": ');
    await fails('-w REG -p Kept -r R -f 0+*', 6, /^error: FILE:1:1: .*ipsecPolicy.*damaged/);
  });
});

describe('with an agent', () => {
  const calls: { method: string; params: unknown }[] = [];
  let refusal: IpseckitError | undefined;
  let server: ControlServer;
  beforeEach(async () => {
    calls.length = 0;
    refusal = undefined;
    const handler = (method: string, result: unknown) => (params: unknown) => {
      calls.push({ method, params });
      if (refusal !== undefined) throw refusal;
      return result;
    };
    const unused = () => assert.fail('not a call -file makes');
    const handlers: ControlHandlers = {
      status: unused,
      filters: unused,
      associations: unused,
      statistics: unused,
      drops: unused,
      watchKeys: unused,
      tunnelUp: unused,
      tunnelList: unused,
      tunnelDown: unused,
      stop: unused,
      plan: unused,
      reload: handler('reload', {}),
      addDynamic: unused,
      changeDynamic: handler('changeDynamic', { removed: 1, rules: 2 }),
      clearDynamic: unused,
    };
    server = new ControlServer(controlSocketPath(ipseckitHome({ IPSECKIT_HOME: home })), handlers);
    await server.listen();
  });
  afterEach(() => server.close());

  function sentRules(): { clear: unknown; rules: string[][] } {
    const call = calls.find(({ method }) => method === 'changeDynamic');
    const { clear, policies }: { clear?: unknown; policies?: unknown } = Object(call?.params);
    assert.ok(Array.isArray(policies));
    return {
      clear,
      rules: policies.map(each =>
        policyFromDocument(each).rules.map(
          ({ action, filterList }) => `${action.kind} ${filterList?.filters.map(describeFilter)}`,
        ),
      ),
    };
  }

  test('dynamic rules go to it in one call, before anything is stored', async () => {
    await succeeds('-f [0+192.0.2.1]\n-f (0+192.0.2.2)\n-w REG -p P -r R -f 0+* -n PASS -x');
    assert.deepEqual(
      calls.map(({ method }) => method),
      ['changeDynamic', 'reload'],
    );
    assert.deepEqual(sentRules(), { clear: false, rules: [['block 0+192.0.2.1', 'permit 0+192.0.2.2']] });
    assert.equal((await store().assigned())?.name, 'P');
  });

  test('-u in its place in the order; other main mode settings are a policy of their own', async () => {
    await succeeds(
      '-f [0+192.0.2.1]\n-u\n-f [0+192.0.2.2]\n-1s 3DES-SHA-2 -f [0+192.0.2.3]\n-w REG -p P -r R -f 0+* -n PASS',
    );
    assert.deepEqual(sentRules(), { clear: true, rules: [['block 0+192.0.2.2'], ['block 0+192.0.2.3']] });
  });

  test('when it refuses, nothing is stored', async () => {
    refusal = new IpseckitError('ENVIRONMENT', 'no room', { next: 'make some' });
    await fails('-w REG -p P -r R -f 0+* -n PASS\n-f [0+*]', 11, /^error: no room/);
  });
});

test('two scripts at once: none is lost', async () => {
  const scripts = ['A', 'B', 'C'].map(letter => {
    const path = join(home, letter);
    const lines = Array.from(
      { length: 50 },
      (_, i) => `-w REG -p P -r ${letter}${i} -f 0+192.0.2.${i} -n BLOCK`,
    );
    writeFileSync(path, lines.join('\n'));
    return path;
  });
  const outcomes = await Promise.all(scripts.map(path => run([...program, '-file', path])));
  for (const { exitCode, stderr } of outcomes) assert.equal(exitCode, 0, stderr);
  assert.equal((await store().read('P'))?.rules.length, 150);
});
