/** What commands do to the terminal they run on: strangers' names, questions, a reader that goes away. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import type { DropTrace } from '../../src/agent/drop-trace.js';
import { readSecretFile } from '../../src/cli/secret-file.js';
import { noDrops } from '../../src/driver/no-drops.js';
import { policyToDocument } from '../../src/policy/document.js';
import { encodeUtf16 } from '../../src/policy/stores/text-encoding.js';
import { forTerminal } from '../../src/report/terminal.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { policyOf } from '../policy/support.js';

const home = mkdtempSync(join(tmpdir(), 'ipseckit-terminal-'));
after(() => rmSync(home, { recursive: true }));
const env = { ...process.env, IPSECKIT_HOME: home };
const program = join(process.cwd(), 'bin/ipseckit.js');

const hostile = 'evil\u001b]0;owned\u0007\u001b[2J\u009b2J\u202ename\r\nsecond';
const harmless = 'evil\\u001b]0;owned\\u0007\\u001b[2J\\u009b2J\\u202ename\\u000d\nsecond';

describe('names of strangers', () => {
  test('cannot steer the terminal', () => {
    assert.equal(forTerminal(hostile), harmless);
    assert.equal(forTerminal('a\tb\nü 漢'), 'a\tb\nü 漢');
  });

  test('nor in tables, lines and errors', () => {
    const policy = { ...policyOf('-w REG -p Servers -r "To A" -f 0+198.51.100.1 -n BLOCK'), name: hostile };
    const file = join(home, 'store.json');
    writeFileSync(file, JSON.stringify(policyToDocument(policy)));
    for (const [args, expected] of [
      [['policy', 'list', '--store', file], 'evil\\u001b]0;owned'],
      [['policy', 'import', file], harmless],
      [['policy', 'show', '\u001b[2J'], "policy '\\u001b[2J' not found"],
    ] as const) {
      const { stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', env });
      assert.ok((stdout + stderr).includes(expected), stdout + stderr);
      assert.doesNotMatch((stdout + stderr).replaceAll('\n', ''), /[\p{Cc}\u202e]/u);
    }
  });
});

test('a secret is the same in every encoding of an editor', () => {
  for (const [i, bytes] of [
    Buffer.from('Schlüssel\n'),
    Buffer.from('\ufeffSchlüssel\r\n'),
    encodeUtf16('Schlüssel\r\nmore'),
  ].entries()) {
    const path = join(home, `key${i}`);
    writeFileSync(path, bytes, { mode: 0o600 });
    assert.equal(readSecretFile(path).reveal(), 'Schlüssel');
  }
  const path = join(home, 'half');
  writeFileSync(path, encodeUtf16('ab').subarray(0, 5), { mode: 0o600 });
  assert.throws(() => readSecretFile(path), { code: 'USAGE', message: /is no text/ });
});

test('Ctrl-C at a question is an interruption, and the question is not on standard output', () => {
  const cert = (...args: string[]) =>
    spawnSync(process.execPath, [program, 'cert', ...args], { encoding: 'utf8', env });
  assert.equal(cert('ca', 'root', '--subject', 'CN=Root').status, 0);
  // A terminal of its own; Ctrl-C comes when the question is there.
  const inTerminal = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)
    os.execv(sys.argv[2], sys.argv[2:])
said = b''
sent = False
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:
        break
    if not more:
        break
    said += more
    if not sent and b'Passphrase' in said:
        os.write(terminal, b'\\x03')
        sent = True
print(said.decode(errors='replace'))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
  const output = join(home, 'stdout');
  const args = [
    process.execPath,
    program,
    'cert',
    'export',
    'root',
    '--format',
    'p12',
    '--out',
    join(home, 'p12'),
  ];
  const { status, stdout } = spawnSync('python3', ['-c', inTerminal, output, ...args], {
    encoding: 'utf8',
    env,
    timeout: 60_000,
  });
  assert.equal(status, 130, stdout);
  assert.match(stdout, /nothing was entered/);
  assert.equal(spawnSync('cat', [output], { encoding: 'utf8' }).stdout, '');
});

test('sa trace --follow ends when its reader has gone', async t => {
  let number = 0;
  const trace = (): DropTrace => {
    number++;
    const packet = {
      source: ipAddress('192.0.2.1'),
      destination: ipAddress('192.0.2.2'),
      protocol: 50,
      bytes: 9,
    };
    const record = { number, packets: 1, reason: 'bad-spi', atMs: 0, direction: 'inbound', packet } as const;
    return {
      driver: 'userspace',
      drops: noDrops(),
      lastByReason: {},
      recent: [record],
      pairs: [],
      filters: [],
    };
  };
  mkdirSync(join(home, 'run'));
  const agent = createServer(socket =>
    createInterface(socket).on('line', line => {
      const { id } = JSON.parse(line);
      socket.write(`${JSON.stringify({ id, result: trace() })}\n`);
    }),
  );
  agent.listen(join(home, 'run/agent.sock'));
  await once(agent, 'listening');
  t.after(() => agent.close());
  const child = spawn(process.execPath, [program, 'sa', 'trace', '--follow'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill());
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
});
