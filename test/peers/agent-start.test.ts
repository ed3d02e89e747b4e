/** `agent start` returns when the policy is in force, and with the agent's own words when it cannot start. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { errorClasses } from '../../src/report/errors.js';
import { needs } from '../lab/needs.js';
import { createHost, type Host } from '../support/namespaces.js';

describe('agent start', { skip: needs('nft') }, () => {
  let host: Host;
  let home: string;

  before(async () => {
    host = await createHost('start-a');
    host.run('ip', 'link', 'set', 'lo', 'up');
    host.run('ip', 'address', 'add', '192.0.2.1/32', 'dev', 'lo');
    home = mkdtempSync(join(tmpdir(), 'ipseckit-start-'));
    const line = ['-w', 'REG', '-p', 'P', '-r', 'R', '-f', '0+192.0.2.9', '-n', 'BLOCK', '-x'];
    assert.equal((await ipseckit('ipsecpol', '--', ...line)).status, 0);
  });

  after(async () => {
    await host?.destroy();
    if (home !== undefined) rmSync(home, { recursive: true, force: true });
  });

  const ipseckit = (...args: readonly string[]) =>
    host.execute(process.execPath, ['bin/ipseckit.js', ...args], {
      env: { ...process.env, IPSECKIT_HOME: home },
      timeoutMs: 90_000,
    });

  test('a port that is taken: who has it, and the exit code of that', async () => {
    const squat = `require('dgram').createSocket('udp4').bind(4500, () => console.log('here'))`;
    const squatter = host.spawn(process.execPath, ['-e', squat], { stdio: ['ignore', 'pipe', 'inherit'] });
    assert.ok(squatter.stdout);
    await once(squatter.stdout, 'data');
    try {
      const { status, stdout, stderr } = await ipseckit('agent', 'start', '--driver', 'userspace');
      assert.equal(status, errorClasses.ENVIRONMENT.exitCode, stdout + stderr);
      assert.match(stderr, new RegExp(`UDP port 4500 is in use by .* \\(pid ${squatter.pid}\\)\\nnext: `));
    } finally {
      squatter.kill();
      await once(squatter, 'exit');
    }
  });

  test('when it says so, the policy is in force', async () => {
    const { status, stderr } = await ipseckit('agent', 'start', '--driver', 'userspace');
    assert.equal(status, 0, stderr);
    try {
      assert.match(host.run('nft', 'list', 'table', 'inet', 'ipseckit'), /ip daddr 192\.0\.2\.9/);
    } finally {
      assert.equal((await ipseckit('agent', 'stop')).status, 0);
    }
  });
});
