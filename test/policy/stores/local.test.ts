import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { policyToDocument } from '../../../src/policy/document.js';
import type { Policy } from '../../../src/policy/model.js';
import { ipseckitHome, localStoreFolder } from '../../../src/policy/stores/home.js';
import { LocalStore } from '../../../src/policy/stores/local.js';
import { writeWholeFile } from '../../../src/policy/stores/whole-file.js';
import { type ErrorCode, IpseckitError } from '../../../src/report/errors.js';
import { SeededRandom } from '../../support/random.js';
import { policyOf } from '../support.js';

const key = 'a "quoted" kéy';
const lab = policyOf(
  '-w REG -p "Lab Policy":7 -r Peer -f 0+hostA:80:TCP 10.0.0.0/8=* -n ESP[3DES,SHA]3600S/100000KPFS2 AH[MD5]+ESP[AES128-GCM] -a PRESHARE:k KERBEROS CERT:CN=x -soft',
  '-w REG -p "Lab Policy" -r Net -f 10.1.0.0/16=10.2.0.0/16 -t hostB -a PRESHARE:k -dialup -1k 5Q -1s AES256-SHA512-18',
  '-w REG -p "Lab Policy" -r B -f [0+many]',
  '-w REG -p "Lab Policy" -f DEFAULT',
);
const other: Policy = {
  ...policyOf('-w REG -p Other -r R -f 0+* -n PASS'),
  id: '{00000000-0000-4000-8000-00000000000A}' as Policy['id'],
};

let folder = '';
let store: LocalStore;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'ipseckit-store-')), 'policies');
  store = new LocalStore(folder);
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

const inClear = (policy: Policy | undefined) => policy && policyToDocument(policy);
const names = async () =>
  (await store.list()).policies.map(({ name, assigned }) => `${name}${assigned ? '*' : ''}`);
const policyFile = (policy: Policy) => join(folder, `ipsecPolicy${policy.id}.json`);

async function storeFailure(
  run: () => Promise<unknown>,
  code: ErrorCode,
  message: RegExp,
): Promise<IpseckitError> {
  try {
    await run();
  } catch (error) {
    assert.ok(error instanceof IpseckitError, `${error}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok(error.next);
    return error;
  }
  assert.fail('nothing was thrown');
}

describe('reading and writing', () => {
  test('an empty store', async () => {
    assert.deepEqual(await store.list(), { policies: [], problems: [] });
    assert.equal(await store.read('x'), undefined);
    assert.equal(await store.assigned(), undefined);
    assert.equal(await store.delete('x'), false);
    assert.equal(await store.unassign('x'), false);
    await storeFailure(() => store.assign('x'), 'STORE', /policy 'x' not found/);
    assert.ok(!existsSync(folder), 'looking makes no folder');
  });

  test('a policy comes back as it was, keys included, names in any case', async () => {
    await store.write(lab);
    assert.deepEqual(inClear(await store.read('LAB policy')), inClear(lab));
    assert.match(readFileSync(policyFile(lab), 'utf8'), /"key": "k"/);
  });

  test('files are 0600, the folder is 0700, nothing temporary stays', async () => {
    await store.write(lab);
    await store.assign('Lab Policy');
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(folder).sort(), ['assigned.json', `ipsecPolicy${lab.id}.json`]);
    for (const name of readdirSync(folder))
      assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
  });

  test('assigning one unassigns the other; deleting unassigns', async () => {
    await store.write(lab);
    await store.write(other);
    assert.deepEqual(await names(), ['Lab Policy', 'Other']);
    await store.assign('lab policy');
    assert.deepEqual(await names(), ['Lab Policy*', 'Other']);
    await store.assign('Other');
    assert.deepEqual(await names(), ['Lab Policy', 'Other*']);
    assert.equal((await store.assigned())?.id, other.id);
    assert.equal(await store.unassign('Lab Policy'), false);
    assert.equal(await store.unassign('other'), true);
    assert.equal(await store.assigned(), undefined);
    await store.assign('Other');
    assert.equal(await store.delete('OTHER'), true);
    assert.equal(await store.assigned(), undefined);
    assert.deepEqual(await names(), ['Lab Policy']);
  });

  test('two policies cannot have one name', async () => {
    await store.write(lab);
    await storeFailure(
      () => store.write({ ...other, name: 'LAB POLICY' }),
      'STORE',
      /another policy 'Lab Policy'/,
    );
  });
});

describe('damage is reported and never overwritten', () => {
  const damages: readonly (readonly [what: string, damage: (text: string) => string, message: RegExp])[] = [
    ['empty', () => '', /the file is empty/],
    ['truncated', text => text.slice(0, text.indexOf('"rules"')), /no JSON at line \d+, column \d+/],
    ['a stray word', text => text.replace('"rules"', 'rules'), /no JSON at line 20, column 5/],
    ['a newer version', text => text.replace('"version": 2', '"version": 3'), /version: format 3 is newer/],
    ['another format', text => text.replace('ipseckit policy', 'x'), /format: expected ipseckit policy/],
    [
      'a wrong type',
      text => text.replace('"protocol": 6', '"protocol": "TCP"'),
      /rules\[0\]\.filterList\.filters\[0\]\.protocol: expected a whole number 0 to 255/,
    ],
    [
      'an unknown field',
      text => text.replace('"mirrored"', '"miror"'),
      /rules\[0\]\.filterList\.filters\[0\]\.miror: unknown field/,
    ],
    [
      'a missing field',
      text => text.replace('"connectionType": "all"', '"active": true'),
      /rules\[0\]\.connectionType: is missing/,
    ],
    ['an unknown algorithm', text => text.replace('"3des"', '"rot13"'), /encryption: expected des, 3des/],
    ['another id', text => text.replace(lab.id, other.id), /id is not the one in the file's name/],
    ['no object', () => '[]', /expected an object/],
  ];
  for (const [what, damage, message] of damages)
    test(what, async () => {
      await store.write(lab);
      await store.write(other);
      await store.assign('Lab Policy');
      const path = policyFile(lab);
      const bad = damage(readFileSync(path, 'utf8'));
      writeFileSync(path, bad);
      const error = await storeFailure(() => store.read('Lab Policy'), 'STORE', message);
      assert.ok(error.message.includes(path), 'names the file');
      await storeFailure(() => store.write(lab), 'STORE', message);
      await storeFailure(() => store.delete('Lab Policy'), 'STORE', message);
      await storeFailure(() => store.assigned(), 'STORE', message);
      const { policies, problems } = await store.list();
      assert.deepEqual(
        policies.map(({ name }) => name),
        ['Other'],
        'the others can be used',
      );
      assert.equal(problems.length, 1);
      assert.equal((await store.read('other'))?.id, other.id);
      assert.equal(readFileSync(path, 'utf8'), bad, 'left as it is');
    });

  test('no message repeats what is in the file', async () => {
    await store.write({ ...lab, name: 'K' });
    const path = policyFile(lab);
    const text = readFileSync(path, 'utf8');
    for (const bad of [
      text.replace('"key": "k"', `"key": "${key}"`),
      text.replace('"key": "k"', '"key": {"hush": 1}'),
    ]) {
      writeFileSync(path, bad);
      const error = await storeFailure(() => store.read('K'), 'STORE', /damaged/);
      assert.ok(!/quoted|hush/.test(error.message), error.message);
    }
  });

  test('any byte changed or cut: read or a STORE error', async t => {
    const seed = 7;
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    await store.write(lab);
    const path = policyFile(lab);
    const good = readFileSync(path);
    let refused = 0;
    for (let i = 0; i < 2_000; i++) {
      const bad = Uint8Array.from(good);
      bad[random.int(bad.length)] = random.u32();
      writeFileSync(path, random.chance(0.2) ? bad.subarray(0, random.int(bad.length)) : bad);
      try {
        await store.read('Lab Policy');
      } catch (error) {
        assert.ok(error instanceof IpseckitError && error.code === 'STORE', `${error}`);
        refused++;
      }
    }
    assert.ok(refused > 1_000, `${refused} were refused`);
  });

  test('a damaged assignment', async () => {
    await store.write(lab);
    writeFileSync(join(folder, 'assigned.json'), '{"format":"ipseckit assignment","version":9}');
    await storeFailure(() => store.assigned(), 'STORE', /assigned\.json is damaged: version/);
    const { policies, problems } = await store.list();
    assert.equal(policies.length, 1);
    assert.equal(problems.length, 1);
    await store.assign('Lab Policy');
    assert.equal((await store.assigned())?.id, lab.id, 'assigning anew repairs it');
  });

  test("the assigned policy's file is gone", async () => {
    await store.write(lab);
    await store.assign('Lab Policy');
    rmSync(policyFile(lab));
    await storeFailure(() => store.assigned(), 'STORE', /the assigned policy is missing/);
  });
});

describe('rights', () => {
  test('a read-only folder', async () => {
    await store.write(lab);
    const before = readFileSync(policyFile(lab), 'utf8');
    const asRoot = process.geteuid?.() === 0;
    chmodSync(folder, asRoot ? 0o755 : 0o500);
    chmodSync(join(folder, '..'), 0o755);
    if (asRoot) chmodSync(policyFile(lab), 0o644);
    try {
      if (asRoot) process.seteuid?.(65_534);
      await storeFailure(
        () => store.write({ ...lab, pollIntervalMinutes: 1 }),
        'ACCESS_DENIED',
        /cannot write/,
      );
      await storeFailure(() => store.assign('Lab Policy'), 'ACCESS_DENIED', /cannot write/);
      await storeFailure(() => store.delete('Lab Policy'), 'ACCESS_DENIED', /cannot write/);
      assert.equal((await store.read('Lab Policy'))?.id, lab.id);
    } finally {
      if (asRoot) process.seteuid?.(0);
      chmodSync(folder, 0o700);
    }
    assert.equal(readFileSync(policyFile(lab), 'utf8'), before);
  });

  test('a place where no folder can be', async () => {
    writeFileSync(join(folder, '..', 'file'), '');
    const nowhere = new LocalStore(join(folder, '..', 'file', 'policies'));
    await storeFailure(() => nowhere.write(lab), 'STORE', /cannot write .*not a directory \(ENOTDIR\)/);
    await storeFailure(() => nowhere.list(), 'STORE', /cannot read/);
  });

  test('a write that fails leaves the old file and nothing temporary', async () => {
    await store.write(lab);
    const target = join(folder, 'taken');
    assert.throws(() => writeWholeFile(join(target, 'x'), 'text'), IpseckitError);
    mkdirSync(target);
    assert.throws(() => writeWholeFile(target, 'text'), IpseckitError, 'a folder is not replaced');
    assert.deepEqual(
      readdirSync(folder).filter(name => name.endsWith('.tmp')),
      [],
    );
  });
});

describe('several writers', () => {
  test('changes made exclusively are not lost', async () => {
    await store.write(other);
    const increment = () =>
      new LocalStore(folder).exclusively(async locked => {
        const policy = await locked.read('Other');
        assert.ok(policy);
        await new Promise(resolve => setTimeout(resolve, 1));
        await locked.write({ ...policy, pollIntervalMinutes: policy.pollIntervalMinutes + 1 });
      });
    await Promise.all(Array.from({ length: 20 }, increment));
    assert.equal((await store.read('Other'))?.pollIntervalMinutes, other.pollIntervalMinutes + 20);
    assert.ok(!existsSync(join(folder, '.lock')));
  });

  test('the lock of a killed process is taken over', async () => {
    await store.write(lab);
    const module = new URL('../../../src/policy/stores/lock.js', import.meta.url);
    const child = spawn(process.execPath, [
      '--input-type=module',
      '-e',
      `import { takeLock } from ${JSON.stringify(module.href)}; await takeLock(${JSON.stringify(join(folder, '.lock'))}); console.log('held'); setInterval(() => {}, 1000);`,
    ]);
    await new Promise(resolve => child.stdout.once('data', resolve));
    let written = false;
    const writing = store.write(other).then(() => {
      written = true;
    });
    await new Promise(resolve => setTimeout(resolve, 200));
    assert.equal(written, false, 'waits while the holder lives');
    child.kill('SIGKILL');
    await writing;
    assert.deepEqual(await names(), ['Lab Policy', 'Other']);
    assert.deepEqual(
      readdirSync(folder).filter(name => name.startsWith('.lock')),
      [],
    );
  });

  test('a process killed while writing leaves old or new, never a part', async () => {
    await store.write(other);
    const module = new URL('../../../src/policy/stores/local.js', import.meta.url);
    const code = `import { LocalStore } from ${JSON.stringify(module.href)};
      const store = new LocalStore(${JSON.stringify(folder)});
      const policy = await store.read('Other');
      console.log('writing');
      for (let i = 0; ; i++) await store.write({ ...policy, description: 'x'.repeat(20000 + i), pollIntervalMinutes: i });`;
    for (let i = 0; i < 5; i++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', code]);
      await new Promise(resolve => child.stdout.once('data', resolve));
      await new Promise(resolve => setTimeout(resolve, 15 + 10 * i));
      child.kill('SIGKILL');
      await new Promise(resolve => child.once('exit', resolve));
      const policy = await store.read('Other');
      assert.ok(policy && (policy.description?.length ?? 20_000) >= 20_000);
    }
    await store.write(other);
    assert.deepEqual(inClear(await store.read('Other')), inClear(other));
  });
});

test('home: IPSECKIT_HOME, root, XDG', () => {
  assert.deepEqual(ipseckitHome({ IPSECKIT_HOME: '/srv/a' }, 0), { state: '/srv/a', runtime: '/srv/a/run' });
  assert.deepEqual(ipseckitHome({}, 0), { state: '/etc/ipseckit', runtime: '/run/ipseckit' });
  assert.deepEqual(ipseckitHome({ HOME: '/home/u' }, 1000), {
    state: '/home/u/.config/ipseckit',
    runtime: '/home/u/.cache/ipseckit',
  });
  assert.deepEqual(ipseckitHome({ XDG_CONFIG_HOME: '/c', XDG_RUNTIME_DIR: '/r' }, 1000), {
    state: '/c/ipseckit',
    runtime: '/r/ipseckit',
  });
  assert.equal(localStoreFolder({ state: '/s', runtime: '/r' }), '/s/policies');
});
