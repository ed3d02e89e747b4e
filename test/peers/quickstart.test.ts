import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, test } from 'node:test';
import { needs } from '../lab/needs.js';

const program = 'dist/test/lab/quickstart.js';
const leftovers = () => readdirSync(tmpdir()).filter(name => name.startsWith('ipseckit-quickstart-'));
const processes = () =>
  spawnSync('pgrep', ['-f', 'ipseckit-quickstart|wire-watch'], { encoding: 'utf8' }).stdout;

describe('the quickstart', { skip: needs('nft') }, () => {
  test('shows protected traffic and netdiag, and leaves nothing behind', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [program], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /ipsecpol -w REG -p Quickstart/);
    assert.match(stdout, /arrived intact/);
    assert.match(stdout, /on the wire: [1-9]\d* ESP packets, [1-9]\d* IKE messages, 0 packets in clear/);
    assert.match(stdout, /Local IPSec Policy Active: 'Quickstart'/);
    assert.match(stdout, /There are 1 quick mode SAs/);
    assert.deepEqual(leftovers(), []);
    assert.equal(processes(), '');
  });

  test('Ctrl-C in the middle leaves nothing behind', async () => {
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'ignore'] });
    let seen = '';
    child.stdout.setEncoding('utf8').on('data', text => {
      seen += text;
    });
    while (!seen.includes('agent run')) await once(child.stdout, 'data');
    child.kill('SIGINT');
    await once(child, 'exit');
    assert.equal(child.exitCode, 130);
    assert.deepEqual(leftovers(), []);
    assert.equal(processes(), '');
  });
});
