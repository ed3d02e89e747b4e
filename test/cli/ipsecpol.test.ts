import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type ControlHandlers, ControlServer } from '../../src/agent/control/server.js';
import { controlSocketPath } from '../../src/agent/paths.js';
import { describeFilter } from '../../src/policy/describe.js';
import { policyFromDocument } from '../../src/policy/document.js';
import { ipseckitHome, localStoreFolder } from '../../src/policy/stores/home.js';
import { LocalStore } from '../../src/policy/stores/local.js';
import { words } from '../policy/support.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ipseckit-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  program: string,
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [`bin/${program}.js`, ...argv], {
    env: { ...process.env, IPSECKIT_HOME: folder, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', chunk => (stdout += chunk));
  child.stderr.on('data', chunk => (stderr += chunk));
  return new Promise(resolve => child.once('close', exitCode => resolve({ exitCode, stdout, stderr })));
}

const ipsecpol = (line: string) => run('ipsecpol', words(line));
const store = () => new LocalStore(localStoreFolder(ipseckitHome({ IPSECKIT_HOME: folder })));
const success = 'The command completed successfully.\n';

async function succeeds(line: string, stderr = ''): Promise<void> {
  assert.deepEqual(await ipsecpol(line), { exitCode: 0, stdout: success, stderr }, line);
}

async function fails(line: string, exitCode: number, message: RegExp): Promise<void> {
  const outcome = await ipsecpol(line);
  assert.equal(outcome.exitCode, exitCode, `${line}: ${outcome.stderr}`);
  assert.equal(outcome.stdout, '');
  assert.match(outcome.stderr, message);
  assert.match(outcome.stderr, /^error: .+\nnext: .+\n$/, 'one message, one next step, no stack trace');
}

const notRunning =
  'note: the policy agent is not running; the policy takes effect with "ipseckit agent start"\n';

describe('stored policies', () => {
  test('the documented life of a policy: create, extend, unassign, delete', async () => {
    await succeeds(
      '-w REG -p "Block UDP 1434 Filter" -r "Block Inbound UDP 1434 Rule" -f *=0:1434:UDP -n BLOCK -x',
      notRunning,
    );
    await succeeds(
      '-w REG -p "Block UDP 1434 Filter" -r "Block Outbound UDP 1434 Rule" -f 0=*:1434:UDP -n BLOCK',
    );
    const assigned = await store().assigned();
    assert.deepEqual(
      assigned?.rules.map(rule => rule.filterList?.filters.map(describeFilter)),
      [['*=0:1434:UDP'], ['0=*:1434:UDP']],
    );
    await succeeds('-w REG -p Other -r R -f 0+* -n PASS -x', notRunning);
    assert.equal((await store().assigned())?.name, 'Other');
    await succeeds('-w REG -p "block udp 1434 filter" -x', notRunning);
    await succeeds('-w REG -p "Block UDP 1434 Filter" -y');
    assert.equal(await store().assigned(), undefined);
    await succeeds(
      '-w REG -p "Block UDP 1434 Filter" -r "Block Inbound UDP 1434 Rule" -r "Block Outbound UDP 1434 Rule" -o',
    );
    assert.equal(await store().read('Block UDP 1434 Filter'), undefined);
    await succeeds('-w REG -p MyPol -y -o', "note: policy 'MyPol' is not there, nothing to do\n");
  });

  test('warnings go to stderr; a tunnel misses its second rule only once it is assigned', async () => {
    await succeeds('-w REG -p VPN -r a -t 203.0.113.1 -f 192.0.2.10=198.51.100.0/24 -a PRESHARE:k');
    const { stderr } = await ipsecpol('-w REG -p VPN -x');
    assert.match(
      stderr,
      /^warning: rule 'a', filter .*: no tunnel rule covers the way back; add a rule with -f/,
    );
    assert.doesNotMatch(stderr, /error/);
  });

  test('keys from a file; the key is in the 0600 store and in no output', async () => {
    writeFileSync(join(folder, 'key'), 'fromFile\nsecond line\n', { mode: 0o600 });
    await succeeds(`-w REG -p P -r R -f 0+192.0.2.20 -a PRESHARE-FILE:${join(folder, 'key')}`);
    const [method] = (await store().read('P'))?.rules[0]?.authentication ?? [];
    assert.ok(method?.kind === 'preshared');
    assert.equal(method.key.reveal(), 'fromFile');
    for (const argv of [
      ['policy', 'show', 'P'],
      ['policy', 'show', 'P', '--json'],
      ['policy', 'list', '--json'],
    ]) {
      const { exitCode, stdout, stderr } = await run('ipseckit', argv);
      assert.equal(exitCode, 0, stderr);
      assert.ok(!`${stdout}${stderr}`.includes('fromFile'));
    }
  });
});

describe('failures: exit code, message, next step, and nothing changed', () => {
  test('each class', async () => {
    await fails('-f 0+*:80:FOO', 1, /^error: bad filter spec/);
    await fails('-p P -f 0+*', 2, /^error: -p needs -w/);
    await fails('-w REG -p P -r R -f 0+nosuch.invalid', 3, /^error: cannot resolve 'nosuch\.invalid'/);
    await fails('-f [0+*]', 4, /^error: the policy agent is not running/);
    await fails('-u', 4, /^error: the policy agent is not running/);
    await fails('-w REG -p Nope -x', 6, /^error: policy 'Nope' not found/);
    await fails('-w REG -p P -r R -f 0+* -n ESP[NONE,NONE]', 7, /^error: bad negotiation policy/);
    await fails('\\\\another.example.com -u', 7, /^error: \\\\another\.example\.com is another computer/);
    await fails('-w DS -p P -x', 7, /^error: a directory is only read/);
    await fails('-w REG -p P -r R -f 0+* -a PRESHARE-FILE:/nonexistent', 1, /^error: the preshared key file/);
    await fails('-confirm -f [0+*]', 11, /^error: -confirm asks on the terminal/);
    assert.deepEqual((await store().list()).policies, []);
  });

  test('a damaged store', async () => {
    await succeeds('-w REG -p P -r R -f 0+* -n PASS');
    const [file = ''] = readdirSync(join(folder, 'policies'));
    writeFileSync(join(folder, 'policies', file), '{ "format": ');
    await fails(
      '-w REG -p P -r R -n BLOCK',
      6,
      /^error: .*ipsecPolicy.*damaged: no JSON at line 1, column 13/,
    );
    await fails('-w REG -p New -r R -f 0+*', 6, /damaged/);
    const list = await run('ipseckit', ['policy', 'list']);
    assert.equal(list.exitCode, 6);
    assert.match(list.stderr, /^error: .*damaged/);
  });

  test('this computer by its names', async () => {
    for (const name of ['localhost', '127.0.0.1', hostname()])
      await succeeds(`\\\\${name} -w REG -p P -r R -f 0+* -n PASS`);
  });
});

test('usage: short without arguments, extended with -?', async () => {
  const short = await run('ipsecpol', []);
  assert.equal(short.exitCode, 0);
  assert.match(short.stdout, /^usage: ipsecpol \[\\\\computername\]/);
  const extended = await run('ipsecpol', ['-?']);
  assert.match(extended.stdout, /PRESHARE: shows in the process list/);
  assert.ok(extended.stdout.length > 2 * short.stdout.length);
  assert.ok(!existsSync(join(folder, 'policies')));
});

describe('with an agent', () => {
  const calls: { method: string; params: unknown }[] = [];
  let server: ControlServer;
  beforeEach(async () => {
    calls.length = 0;
    const answer = (method: string, result: unknown) => (params: unknown) => {
      calls.push({ method, params });
      return result;
    };
    const unused = () => assert.fail('not a call ipsecpol makes');
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
      reload: answer('reload', {}),
      addDynamic: unused,
      plan: unused,
      changeDynamic: answer('changeDynamic', { removed: 3, rules: 2 }),
      clearDynamic: answer('clearDynamic', { removed: 3 }),
    };
    server = new ControlServer(controlSocketPath(ipseckitHome({ IPSECKIT_HOME: folder })), handlers);
    await server.listen();
  });
  afterEach(() => server.close());

  test('dynamic rules go to it', async () => {
    await succeeds('-f (0:80+*::TCP) [0+*]');
    assert.deepEqual(
      calls.map(({ method }) => method),
      ['changeDynamic'],
    );
    const change = calls[0]?.params;
    assert.ok(typeof change === 'object' && change !== null && 'policies' in change);
    assert.ok(Array.isArray(change.policies));
    assert.deepEqual(
      policyFromDocument(change.policies[0]).rules.map(({ action }) => action.kind),
      ['permit', 'block'],
    );
    calls.length = 0;
    await succeeds('-u');
    assert.deepEqual(calls, [{ method: 'changeDynamic', params: { clear: true, policies: [] } }]);
  });

  test('dynamic rules stay when the rest of the command is refused', async () => {
    await fails('-u -w REG -p P -x', 6, /policy 'P' not found/);
    await fails('-u -w REG -p P -r R -f 0+* -t 192.0.2.1', 2, /.*/);
    assert.deepEqual(calls, []);
    await succeeds('-u -w REG -p P -r R -f 0+* -n PASS');
    assert.deepEqual(
      calls.map(({ method }) => method),
      ['clearDynamic', 'reload'],
    );
  });

  test('it is told of changed policies', async () => {
    await succeeds('-w REG -p P -r R -f 0+* -n PASS -x');
    assert.deepEqual(
      calls.map(({ method }) => method),
      ['reload'],
    );
    const { stdout, exitCode } = await run('ipseckit', ['policy', 'unassign', 'P', '--json']);
    assert.equal(exitCode, 0);
    assert.deepEqual(JSON.parse(stdout), { policy: 'P', changed: true, inForce: true });
  });

  test('ipseckit ipsecpol --json', async () => {
    const { stdout } = await run('ipseckit', ['ipsecpol', '--json', '--', '-u', '-f', '[0+*]']);
    assert.deepEqual(JSON.parse(stdout), {
      text: success.trim(),
      notes: [],
      dynamicRulesRemoved: 3,
      dynamicRulesAdded: 2,
    });
  });
});

test('to write a policy, ipsecpol loads no packages, no other commands and no engine', async () => {
  // What V8 covered is what was loaded.
  const coverage = join(folder, 'coverage');
  const line = '-w REG -p P -r R -f 0+* -n BLOCK';
  const { exitCode, stderr } = await run('ipsecpol', words(line), { NODE_V8_COVERAGE: coverage });
  assert.equal(exitCode, 0, stderr);
  const loaded = readdirSync(coverage).flatMap(file => {
    const { result }: { result: { url: string }[] } = JSON.parse(readFileSync(join(coverage, file), 'utf8'));
    return result.map(({ url }) => url).filter(url => url.startsWith('file:'));
  });
  assert.ok(loaded.some(url => url.endsWith('/policy/stores/local.js')));
  const needless =
    /\/node_modules\/|\/commands\/|\/src\/(ike|driver|monitor|diag|l2tp|crypto\/certificates)\//;
  assert.deepEqual(
    loaded.filter(url => needless.test(url)),
    [],
  );
});
