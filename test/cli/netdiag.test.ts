import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'ipseckit-netdiag-'));
});
after(() => rmSync(folder, { recursive: true }));

function run(program: string, ...argv: string[]) {
  return spawnSync(process.execPath, [resolve(`bin/${program}.js`), ...argv], {
    cwd: folder,
    env: { ...process.env, IPSECKIT_HOME: folder },
    encoding: 'utf8',
  });
}

test('without an agent the IP Security test fails, and so does the command', () => {
  const { status, stdout, stderr } = run('netdiag', '/test:ipsec');
  assert.equal(status, 1, stderr);
  assert.match(stdout, /^\n\.{5}\n\n {4}Computer Name: /);
  assert.match(
    stdout,
    /IP Security test .*: Failed\n {8}\[FATAL\] The IPSec Policy Agent service is not started\.\n/,
  );
  assert.match(stdout, /\nThe command completed successfully\n$/);
});

test('/l writes what was printed', () => {
  const { stdout } = run('netdiag', '/test:ipsec', '/l', '/v');
  assert.equal(readFileSync(join(folder, 'NetDiag.log'), 'utf8'), stdout);
  assert.match(stdout, /^\n {4}Querying status of the Netcard drivers\.\.\. Passed\n/);
  assert.match(stdout, /\n\n {4}Tests complete\.\n/);
});

test('wrong usage exits with 2, help with 0', () => {
  const wrong = run('netdiag', '/nonsense');
  assert.equal(wrong.status, 2);
  assert.equal(wrong.stdout, '');
  assert.match(wrong.stderr, /^error: unknown switch '\/nonsense'\nnext: /);
  const help = run('netdiag', '/?');
  assert.equal(help.status, 0);
  assert.match(help.stdout, /^usage: netdiag/);
});

test('ipseckit netdiag --json prints the report as data and nothing else', () => {
  const { status, stdout } = run('ipseckit', 'netdiag', '--json', '/test:ipsec');
  assert.equal(status, 1);
  const report = JSON.parse(stdout);
  assert.deepEqual(report.ipsec.agent, { state: 'stopped' });
  assert.equal(report.tests.at(-1).status, 'Failed');
});

test('a reader that goes away and a full disk give no stack trace', () => {
  for (const program of [
    'netdiag /test:ipsec',
    'ipsecpol -?',
    'ipseckit netdiag /test:ipsec',
    'ipseckit policy list',
  ]) {
    const [name = '', ...args] = program.split(' ');
    const command = `"${process.execPath}" "${resolve(`bin/${name}.js`)}" ${args.map(arg => `'${arg}'`).join(' ')}`;
    const shell = (line: string) =>
      spawnSync('sh', ['-c', line], {
        cwd: folder,
        env: { ...process.env, IPSECKIT_HOME: folder },
        encoding: 'utf8',
      });
    assert.equal(shell(`${command} | true`).stderr, '', program);
    const full = shell(`${command} > /dev/full`);
    assert.doesNotMatch(full.stderr, /\n\s+at /, program);
    assert.match(full.stderr, /^error: .*no space left/, program);
  }
});
