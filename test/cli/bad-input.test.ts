/** Every program, given nonsense: what, where and what next; the documented exit code; no stack trace; no key. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

const home = mkdtempSync(join(tmpdir(), 'ipseckit-bad-input-'));
after(() => rmSync(home, { recursive: true }));
const key = 'do-not-print-this-key';
const keyFile = join(home, 'key');
writeFileSync(keyFile, `${key}\n`, { mode: 0o600 });
const emptyFile = join(home, 'empty');
writeFileSync(emptyFile, '', { mode: 0o600 });
const publicFile = join(home, 'public');
writeFileSync(publicFile, `${key}\n`);
chmodSync(publicFile, 0o644);

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`bin/${program}.js`, ...args], {
    encoding: 'utf8',
    env: { ...process.env, IPSECKIT_HOME: home, ...env },
    timeout: 30_000,
  });
  return { status, stdout, stderr, all: stdout + stderr };
}

const recorded = 'test/fixtures/replay/xauth.pcap';
const psk = ['--psk-file', keyFile];
const up = ['tunnel', 'up', '192.0.2.9'];

/** Program, arguments, exit code, and what the message must say. */
const cases: readonly (readonly [string, readonly string[], number, RegExp])[] = [
  [
    'ipseckit',
    ['tunel', 'up', '192.0.2.9'],
    1,
    /no command 'tunel up'\nnext: did you mean "ipseckit tunnel up"\?/,
  ],
  ['ipseckit', ['policy', 'frobnicate'], 1, /no command 'policy frobnicate'\nnext: "ipseckit policy" lists/],
  ['ipseckit', ['frobnicate'], 1, /no command 'frobnicate'\nnext: "ipseckit --help" lists/],
  ['ipseckit', ['sa', 'list', 'all'], 1, /"ipseckit sa list" takes no argument 'all'/],
  ['ipseckit', ['agent', 'status', '--colour'], 1, /no flag '--colour'\nnext: --help/],
  ['ipseckit', ['tunnel', 'up', '--psk', 'x', 'h'], 1, /no flag '--psk'\nnext: did you mean --psk-file\?/],
  ['ipseckit', ['tunnel', 'up', '--ca'], 1, /^error: --ca needs a value/],
  [
    'ipseckit',
    ['tunnel', 'up', 'h', '--vendor-profile', 'x'],
    1,
    /^error: --vendor-profile 'x' is none of: ipseckit/,
  ],
  ['ipseckit', ['ike', 'replay', '/nowhere.pcap'], 1, /there is no file \/nowhere\.pcap\nnext: /],
  ['ipseckit', ['ike', 'replay', emptyFile], 1, /empty: capture file.*\nnext: name a file that tcpdump/],
  ['ipseckit', ['ike', 'replay', keyFile], 1, /key: neither a pcap nor a pcapng file/],
  [
    'ipseckit',
    ['ike', 'replay', recorded, '--keys', keyFile],
    1,
    /key: line 1 is no "cookie,key".*\nnext: name a folder/,
  ],
  ['ipseckit', ['ike', 'replay', recorded, '--ca', keyFile], 1, /key: .*\nnext: name a certificate/],
  [
    'ipseckit',
    ['ike', 'replay', recorded, '--at', 'noon'],
    1,
    /--at: "noon" is not a time\nnext: write it as/,
  ],
  ['ipseckit', ['tunnel', 'down'], 1, /^error: the argument 'name' is missing: .*\nnext: --help/],
  ['ipseckit', ['cert', 'issue'], 1, /^error: arguments are missing:\nca .*\nrequest .*\nnext: --help/],
  ['ipseckit', ['agent', 'status'], 4, /not running.*\n.*agent start/],
  ['ipseckit', ['agent', 'stop'], 4, /not running/],
  ['ipseckit', ['sa', 'list'], 4, /not running/],
  ['ipseckit', ['filter', 'list'], 4, /not running/],
  ['ipseckit', ['stats'], 4, /not running/],
  ['ipseckit', ['tunnel', 'list'], 4, /not running/],
  ['ipseckit', ['tunnel', 'down', 'x'], 4, /not running/],
  ['ipseckit', ['events', '--id', '600'], 1, /600/],
  ['ipseckit', ['policy', 'show', 'none'], 6, /'none' not found/],
  ['ipseckit', up, 1, /psk-file/],
  ['ipseckit', [...up, '--psk-file', join(home, 'nowhere')], 1, /nowhere/],
  ['ipseckit', [...up, '--psk-file', emptyFile], 1, /is empty/],
  ['ipseckit', [...up, '--psk-file', publicFile], 5, /others may read .*public\nnext: chmod 600/],
  ['ipsecpol', ['-f', '0+10.0.0.1', '-a', `PRESHARE-FILE:${publicFile}`], 5, /others may read/],
  [
    'ipseckit',
    ['tunnel', 'up', 'no.such.host.invalid', ...psk],
    3,
    /cannot resolve 'no\.such\.host\.invalid'/,
  ],
  [
    'ipseckit',
    ['tunnel', 'up', '2001:db8::1', '--local', '192.0.2.1', ...psk],
    2,
    /different address families/,
  ],
  ['ipseckit', [...up, ...psk, '--local', '192.0.2.1', '--ike', '3des-sha1'], 1, /3des-sha1.*group/],
  ['ipseckit', [...up, ...psk, '--local', '192.0.2.1', '--esp', 'rot13'], 1, /rot13/],
  ['ipseckit', [...up, ...psk, '--local', '192.0.2.1', '--remote-net', '10.0.0.0/99'], 1, /10\.0\.0\.0\/99/],
  ['ipseckit', [...up, ...psk, '--local', '192.0.2.1', '--remote-port', '80'], 2, /ports need/],
  ['ipseckit', [...up, ...psk, '--local', '192.0.2.1', '--protocol', 'tpc'], 1, /tpc/],
  [
    'ipseckit',
    [...up, ...psk, '--local', '192.0.2.1', '--protocol', ''],
    1,
    /protocol: "" is not a protocol/,
  ],
  ['ipseckit', ['events', '--peer', 'gw'], 1, /--peer: 'gw' is no IP address/],
  ['ipseckit', [...up, ...psk, '--persist', 'x', '--', 'true'], 2, /--persist/],
  ['ipsecpol', ['-w', 'REG', '-f', '0+*'], 2, /error.*-p/],
  ['ipsecpol', ['-f', '0+*::NOTAPROTOCOL'], 1, /error.*NOTAPROTOCOL/],
  ['ipsecpol', ['-f', '0+10.0.0.1', '-n', 'ESP[NONE,NONE]'], 7, /error/],
  ['ipsecpol', ['-f', '[0+*]'], 4, /error.*not running/],
  ['ipseckit', ['ipsecpol', '-f', '0+*::NOTAPROTOCOL'], 1, /error.*NOTAPROTOCOL/],
  ['ipseckit', ['ipsecpol', '--', '-f', '0+*::NOTAPROTOCOL'], 1, /error.*NOTAPROTOCOL/],
  ['netdiag', ['/test:nothing'], 2, /nothing/],
];

describe('bad input', () => {
  for (const [program, args, exitCode, says] of cases) {
    test(`${program} ${args.join(' ').replaceAll(home, 'HOME')}`, () => {
      const { status, all } = run(program, args);
      assert.equal(status, exitCode, all);
      assert.match(all, says);
      assert.doesNotMatch(all, /\n\s+at .*:\d+/, 'no stack trace');
      assert.ok(!all.includes(key), 'no key');
    });
  }

  test('with --json an error is the same facts as data', () => {
    const { status, stdout } = run('ipseckit', ['agent', 'status', '--json']);
    assert.equal(status, 4);
    const { error } = JSON.parse(stdout);
    assert.deepEqual([error.code, error.exitCode], ['AGENT_UNREACHABLE', 4]);
  });

  test('a corrupt policy file is named, and left as it is', () => {
    const damaged = mkdtempSync(join(tmpdir(), 'ipseckit-damaged-'));
    try {
      mkdirSync(join(damaged, 'policies'));
      const file = join(damaged, 'policies', 'ipsecPolicy{11111111-2222-4333-8444-555555555555}.json');
      writeFileSync(file, '{"format": ');
      const { status, all } = run('ipseckit', ['policy', 'show', 'any'], { IPSECKIT_HOME: damaged });
      assert.equal(status, 6, all);
      assert.ok(all.includes(file), all);
    } finally {
      rmSync(damaged, { recursive: true });
    }
  });
});
