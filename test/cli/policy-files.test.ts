import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { errorClasses } from '../../src/report/errors.js';
import { needs } from '../lab/needs.js';

const key = 'correct horse "battery"';
const formats = ['reg', 'json', 'ipsecpol', 'swanctl', 'libreswan', 'racoon'] as const;

let home = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ipseckit-files-'));
});
afterEach(() => rmSync(home, { recursive: true }));

function run(program: 'ipseckit' | 'ipsecpol', args: readonly string[], folder = home) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [resolve(`bin/${program}.js`), ...args], {
    env: { ...process.env, IPSECKIT_HOME: folder },
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}
const succeed = (program: 'ipseckit' | 'ipsecpol', ...args: readonly string[]) => {
  const result = run(program, args);
  assert.equal(result.status, 0, `${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result;
};
const policy = (...args: readonly string[]) => run('ipseckit', ['policy', ...args]);
const build = (name = 'Lab', ...more: readonly string[]) =>
  succeed(
    'ipsecpol',
    ...`-w REG -p ${name} -r Peer -f 0+192.0.2.20 -n ESP[3DES,SHA]`.split(' '),
    '-a',
    `PRESHARE:${key}`,
    ...more,
  );
/** The whole store, by file. */
const store = () => {
  const folder = join(home, 'policies');
  if (!existsSync(folder)) return {};
  return Object.fromEntries(
    readdirSync(folder).map(name => [name, readFileSync(join(folder, name), 'utf8')]),
  );
};

describe('from one computer to another', () => {
  for (const format of ['reg', 'json'] as const)
    test(`${format}: the store comes back as it was`, () => {
      build('Lab', '-x');
      build('Other');
      const file = join(home, `policies.${format}`);
      const exported = policy('export', '-o', file);
      assert.equal(exported.status, 0, exported.stderr);
      assert.equal(exported.stderr, '');
      assert.equal(statSync(file).mode & 0o777, 0o600);
      const show = () =>
        JSON.parse(policy('export', '--format', 'json', '--with-keys', '--json').stdout).files[0].text;
      const strip = (text: string) => text.replace(/^ *"changedAtSeconds": \d+,\n/gm, '');
      const before = show();
      rmSync(join(home, 'policies'), { recursive: true });
      const imported = policy('import', file, '--assign', '--json');
      assert.equal(imported.status, 0, imported.stderr);
      const result = JSON.parse(imported.stdout);
      assert.equal(result.format, format);
      assert.equal(result.assigned, 'Lab');
      assert.deepEqual(result.notes, []);
      assert.equal(strip(show()), strip(before));
    });

  test('ipsecpol: the script builds the policy again', () => {
    build('Lab', '-soft');
    const file = join(home, 'lab.ipsecpol');
    assert.equal(policy('export', 'lab', '--format', 'ipsecpol', '-o', file).status, 0);
    const shown = () => policy('show', 'Lab').stdout.replace(/\{[\dA-F-]+\}/g, '{}');
    const before = shown();
    rmSync(join(home, 'policies'), { recursive: true });
    const imported = policy('import', file);
    assert.equal(imported.status, 0, imported.stderr);
    assert.equal(shown(), before);
    assert.match(policy('export', '--format', 'json', '--with-keys', '--json').stdout, /battery/);
  });

  test('an import replaces the policy of its id, and another of its name only when told to', () => {
    build('Lab', '-x');
    const file = join(home, 'lab.json');
    policy('export', '-o', file);
    assert.match(policy('import', file).stdout, /Policy 'Lab' is replaced/);
    succeed('ipseckit', 'policy', 'delete', 'Lab');
    build('Lab', '-x');
    const before = store();
    const refused = policy('import', file);
    assert.equal(refused.status, errorClasses.STORE.exitCode);
    assert.match(refused.stderr, /there is another policy 'Lab', \{/);
    assert.match(refused.stderr, /next: add --replace/);
    assert.deepEqual(store(), before);
    const replaced = policy('import', file, '--replace');
    assert.equal(replaced.status, 0, replaced.stderr);
    assert.match(replaced.stdout, /is replaced[\s\S]*'Lab' is assigned/);
    assert.equal(JSON.parse(policy('list', '--json').stdout).policies.length, 1);
  });

  test('an object of a registry file that cannot be read costs its rules, and never those of a policy in force', () => {
    build();
    succeed('ipsecpol', ...'-w REG -p Lab -r Other -f 0+192.0.2.30 -n BLOCK'.split(' '));
    const file = join(home, 'lab.reg');
    policy('export', '-o', file);
    succeed('ipseckit', 'policy', 'delete', 'Lab');
    // The first filter list's data begin with another type than any.
    const text = readFileSync(file, 'utf16le');
    const at = text.indexOf('hex:', text.indexOf('"ipsecData"', text.indexOf('\\ipsecFilter{'))) + 4;
    writeFileSync(file, `${text.slice(0, at)}ff,ff,ff${text.slice(at + 8)}`, 'utf16le');
    const refused = policy('import', file, '--assign');
    assert.equal(refused.status, errorClasses.STORE.exitCode);
    assert.match(refused.stderr, /lab\.reg: policy 'Lab', rule '.*': it cannot be read: .*offset/);
    assert.deepEqual(JSON.parse(policy('list', '--json').stdout).policies, []);
    const imported = policy('import', file);
    assert.equal(imported.status, 0, imported.stderr);
    assert.match(
      `${imported.stdout}${imported.stderr}`,
      /warning: policy 'Lab', rule '.*': it cannot be read: HKEY_.*ipsecFilter\{.*, value ipsecData: .*offset/,
    );
    assert.equal(JSON.parse(policy('list', '--json').stdout).policies[0].rules, 1);
  });

  test('unused filter lists and actions are kept', () => {
    build();
    const file = join(home, 'lab.json');
    policy('export', '-o', file);
    const document = JSON.parse(readFileSync(file, 'utf8'));
    const [{ filterList, action }] = document.policies[0].rules;
    const other = '{00000000-0000-4000-8000-0000000000AA}';
    document.library = {
      filterLists: [{ ...filterList, id: other, name: 'Spare' }],
      actions: [{ ...action, id: other, kind: 'negotiate' }],
    };
    writeFileSync(file, JSON.stringify(document));
    assert.equal(policy('import', file).status, 0);
    const registry = policy('export', '--format', 'reg').stdout;
    assert.match(registry, new RegExp(`ipsecFilter\\${other}\\]`));
    assert.match(registry, new RegExp(`ipsecNegotiationPolicy\\${other}\\]`));
  });
});

for (const format of ['reg', 'json'] as const)
  test(`commands work on a .${format} file as on the local store`, () => {
    build('Lab', '-x');
    build('Other');
    const file = join(home, `policies.${format}`);
    assert.equal(policy('export', '-o', file, '--with-keys').status, 0);
    rmSync(join(home, 'policies'), { recursive: true });
    assert.match(policy('list', '--store', file).stdout, /Lab +Yes +1.*Other +No +1/s);
    const assigned = policy('assign', 'other', '--store', file);
    assert.equal(assigned.status, 0, assigned.stderr);
    assert.match(policy('show', 'Other', '--store', file).stdout, /Peer/);
    assert.match(policy('list', '--store', file).stdout, /Lab +No.*Other +Yes/s);
    assert.match(policy('validate', 'Lab', '--file', file).stdout, /Policy 'Lab' is in order/);
    assert.equal(policy('validate', '--file', file).status, 1);
    const packet = 'tcp 192.0.2.1:1025 > 192.0.2.20:80 out';
    const explained = policy('explain', packet, '--policy', 'Lab', '--file', file, '--local', '192.0.2.1');
    assert.match(explained.stdout, /Peer/, explained.stderr);
    assert.equal(policy('delete', 'Lab', '--store', file).status, 0);
    assert.equal(policy('show', 'Lab', '--store', file).status, errorClasses.STORE.exitCode);
    assert.deepEqual(store(), {}, 'the local store is not touched');
    assert.equal(policy('list', '--store', 'directory').status, errorClasses.STORE.exitCode);
    assert.equal(policy('list', '--store', join(home, 'none.reg')).status, errorClasses.USAGE.exitCode);
  });

describe('keys', () => {
  for (const format of formats)
    test(`${format}: on stdout only when told to, in files of mode 0600`, () => {
      build('Lab', '-x', '-1s', 'AES128-SHA-14');
      const secret = (text: string) =>
        [
          key,
          'battery',
          Buffer.from(key).toString('base64'),
          Buffer.from(key).toString('hex'),
          '62,00,61,00,74,00',
        ].some(part => text.replace(/\\\r\n {2}/g, '').includes(part));
      const common = ['export', '--format', format, '--local', '192.0.2.1'];
      const masked = policy(...common);
      assert.equal(masked.status, 0, masked.stderr);
      assert.ok(!secret(masked.stdout) && !secret(masked.stderr), masked.stdout);
      assert.match(masked.stderr, /preshared keys: left out; -o FILE or --with-keys writes them/);
      assert.ok(!secret(policy(...common, '--json').stdout));
      assert.ok(secret(policy(...common, '--with-keys').stdout));
      const file = join(home, 'out');
      const written = JSON.parse(policy(...common, '-o', file, '--json').stdout);
      assert.ok(!secret(JSON.stringify(written)));
      const holders = written.files.filter(({ path }: { path: string }) =>
        secret(readFileSync(path, format === 'reg' ? 'utf16le' : 'utf8')),
      );
      assert.equal(holders.length, 1);
      assert.equal(statSync(holders[0].path).mode & 0o777, 0o600);
    });

  for (const format of ['reg', 'json', 'ipsecpol'] as const)
    test(`${format}: a mask is not taken for a key`, () => {
      build();
      const file = join(home, `masked.${format}`);
      writeFileSync(file, policy('export', 'Lab', '--format', format).stdout);
      const before = store();
      const refused = policy('import', file);
      assert.notEqual(refused.status, 0);
      assert.match(refused.stderr, /preshared key was left out|this is the mask/);
      assert.deepEqual(store(), before);
    });
});

describe('bad input leaves the store as it was', () => {
  const cases: Record<string, [name: string, content: string | Uint8Array, message: RegExp]> = {
    'an empty file': ['x.json', '', /x\.json: the file is empty/],
    'broken JSON': ['x.json', '{\n  "format": }', /x\.json: line 2, column 13: this is no JSON/],
    'other JSON': ['x.json', '{"a": 1}', /x\.json: .*a: unknown field/],
    'a newer version': [
      'x.json',
      '{"format":"ipseckit policies","version":9,"policies":[]}',
      /version: format 9 is newer than the 2 this ipseckit reads/,
    ],
    'a wrong value': [
      'x.json',
      '{"format":"ipseckit policies","version":2,"policies":[{"id":"x"}]}',
      /policies\[0\]\.id: expected a GUID/,
    ],
    'no registry file': ['x.reg', 'hello', /x\.reg: line 1: no registry file: it begins with "hello"/],
    'another product': [
      'x.reg',
      'REGEDIT4\r\n\r\n[HKEY_CURRENT_USER\\Software\\X]\r\n',
      /the first is HKEY_CURRENT_USER\\Software\\X/,
    ],
    'half a character': [
      'x.reg',
      Buffer.from('\ufeffWindows Registry Editor Version 5.00\r\n', 'utf16le').subarray(0, -1),
      /UTF-16 text and ends within a character/,
    ],
    'an unknown format': ['x', 'hello', /neither its name nor its content says/],
    'a script with a mistake': [
      'x.ipsecpol',
      'ipsecpol -w REG -p New -r R -f 0+ -n BLOCK',
      /x\.ipsecpol:1:\d+: /,
    ],
  };
  for (const [what, [name, content, message]] of Object.entries(cases))
    test(what, () => {
      build();
      const before = store();
      const file = join(home, name);
      writeFileSync(file, content);
      const refused = policy('import', file);
      assert.notEqual(refused.status, 0);
      assert.match(refused.stderr, message);
      assert.match(refused.stderr, /\nnext: /);
      assert.deepEqual(store(), before);
    });

  test('a truncated blob in a file of ours', () => {
    build();
    const file = join(home, 'x.reg');
    const { stdout } = policy('export', '--format', 'reg', '--with-keys');
    const before = store();
    writeFileSync(file, stdout.replace(/("ipsecData"=hex:00,ac,bb,11,.*?,)\\\r\n(?: .*\r\n)*/, '$1\r\n'));
    const refused = policy('import', file);
    assert.equal(refused.status, errorClasses.STORE.exitCode);
    assert.match(
      refused.stderr,
      /x\.reg: policy 'Lab', rule 'Peer': it cannot be read: HKEY_.*ipsecNFA\{.*\}, value ipsecData: ipsecNFA: .* at offset 16\)/,
    );
    assert.deepEqual(store(), before);
  });

  test('a policy the agent could not enforce is not assigned', () => {
    build('Lab', '-x');
    const file = join(home, 'x.json');
    policy('export', '-o', file);
    const document = JSON.parse(readFileSync(file, 'utf8'));
    document.policies[0].rules[0].action.methods = [];
    writeFileSync(file, JSON.stringify(document));
    const before = store();
    const refused = policy('import', file, '--assign');
    assert.equal(refused.status, errorClasses.INVALID_POLICY.exitCode);
    assert.deepEqual(store(), before);
    const imported = policy('import', file);
    assert.equal(imported.status, 0);
    assert.match(imported.stderr, /it cannot be enforced as it is/);
  });

  test('a full disk', { skip: needs() }, () => {
    build('Lab', '-x');
    const file = join(home, 'x.json');
    policy('export', '-o', file);
    const document = JSON.parse(readFileSync(file, 'utf8'));
    document.policies[0].description = 'x'.repeat(100_000);
    writeFileSync(file, JSON.stringify(document));
    const script = `mount -t tmpfs -o size=64k none "$1/small" && mkdir "$1/small/policies" \
      && cp "$1"/policies/*.json "$1/small/policies" && md5sum "$1"/small/policies/* > "$1/before"
      IPSECKIT_HOME="$1/small" "$2" bin/ipseckit.js policy import "$1/x.json"; echo "status $?"
      IPSECKIT_HOME="$1/small" "$2" bin/ipseckit.js policy export --format reg -o "$1/small/policies.reg"; echo "status $?"
      IPSECKIT_HOME="$1/small" "$2" bin/ipseckit.js policy list
      md5sum --quiet --check "$1/before" && ls -A "$1/small/policies" "$1/small"`;
    const { stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', 'sh', '-c', `mkdir "$1/small"; ${script}`, 'sh', home, process.execPath],
      { encoding: 'utf8' },
    );
    assert.match(stderr, /error: cannot write .*no space left on device \(ENOSPC\)/, stdout + stderr);
    assert.match(stdout, new RegExp(`status ${errorClasses.STORE.exitCode}`));
    assert.doesNotMatch(stdout, /FAILED|\.tmp|change\.journal/);
    assert.match(stdout, /Lab +\S* *Yes/);
  });
});

describe('what goes where', () => {
  test('a daemon gets the assigned policy, and one at a time', () => {
    build('Lab');
    build('Other');
    assert.match(policy('export', '--format', 'swanctl').stderr, /no policy is assigned/);
    assert.match(
      policy('export', 'Lab', 'Other', '--format', 'swanctl').stderr,
      /one configuration at a time/,
    );
    assert.match(policy('export', 'None', '--format', 'swanctl').stderr, /policy 'None' not found/);
    assert.match(policy('export', 'Lab', '--format', 'swanctl').stdout, /remote_addrs = 192\.0\.2\.20/);
    assert.match(policy('export').stderr, /the format is missing/);
    assert.match(
      policy('export', 'Lab', '--format', 'racoon', '--local', 'x').stderr,
      /--local: 'x' is no IP address/,
    );
  });

  test('a daemon with several files gets them side by side', () => {
    build('Lab', '-x');
    const file = join(home, 'racoon.conf');
    const { files } = JSON.parse(policy('export', '--format', 'racoon', '-o', file, '--json').stdout);
    assert.deepEqual(
      files.map(({ path }: { path: string }) => path),
      [file, `${file}.psk`, `${file}.setkey`],
    );
  });
});
