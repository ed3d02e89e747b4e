import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Policy } from '../../../src/policy/model.js';
import { isInterrupted } from '../../../src/policy/stores/journal.js';
import { LocalStore } from '../../../src/policy/stores/local.js';
import { policyOf } from '../support.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ipseckit-journal-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const named = (name: string, spec = '0+*'): Policy => ({
  ...policyOf(`-w REG -p ${name} -r R -f ${spec}`),
  id: `{00000000-0000-4000-8000-00000000000${name.length}}` as Policy['id'],
});
const [a, bb, ccc] = [named('A'), named('BB'), named('CCC')];

/** Names and content of all files but the lock. */
const content = () =>
  readdirSync(folder)
    .filter(name => name !== '.lock')
    .sort()
    .map(name => [name, readFileSync(join(folder, name), 'utf8')]);

async function names(): Promise<readonly string[]> {
  return (await new LocalStore(folder).list()).policies.map(({ name, assigned }) =>
    assigned ? `${name}*` : name,
  );
}

describe('a change of several policies', () => {
  beforeEach(async () => {
    const store = new LocalStore(folder);
    await store.write(a);
    await store.write(bb);
    await store.assign('A');
  });
  const change = { written: [ccc, named('BB', '0+192.0.2.1')], deleted: [a.id], assigned: { id: ccc.id } };

  test('is there as a whole once it is committed, and leaves nothing else', async () => {
    await new LocalStore(folder).exclusively(async store => store.stage(change).commit());
    assert.deepEqual(await names(), ['BB', 'CCC*']);
    assert.equal(content().length, 3);
  });

  test('leaves nothing when it is discarded', async () => {
    const before = content();
    await new LocalStore(folder).exclusively(async store => {
      const staged = store.stage(change);
      assert.equal(content().length, before.length + 3, 'three files are written');
      staged.discard();
    });
    assert.deepEqual(content(), before);
  });

  test('leaves nothing when it cannot be written', async () => {
    const before = content();
    const unwritable = { ...ccc, id: '{no/such/folder}' as Policy['id'] };
    await assert.rejects(
      new LocalStore(folder).exclusively(async store =>
        store.stage({ written: [bb, unwritable], deleted: [] }),
      ),
      { code: 'STORE' },
    );
    assert.deepEqual(content(), before);
  });

  test('is completed by whoever comes next when the process died in the middle', async () => {
    await new LocalStore(folder).exclusively(async store => store.stage(change).commit());
    const after = content();
    // Back to the moment when only the first file was in its place.
    const path = (policy: Policy) => new LocalStore(folder).path(policy);
    const renames = [bb, 'assigned.json'].map((to, i) => {
      const target = typeof to === 'string' ? join(folder, to) : path(to);
      renameSync(target, join(folder, `${i}.tmp`));
      return { from: `${i}.tmp`, to: target.slice(folder.length + 1) };
    });
    writeFileSync(path(a), 'whatever');
    writeFileSync(
      join(folder, 'change.journal'),
      JSON.stringify({
        format: 'ipseckit change',
        version: 1,
        renames: [{ from: 'gone.tmp', to: path(ccc).slice(folder.length + 1) }, ...renames],
        removals: [path(a).slice(folder.length + 1)],
      }),
    );
    assert.ok(isInterrupted(folder));
    assert.deepEqual(await names(), ['BB', 'CCC*'], 'reading is enough');
    assert.deepEqual(content(), after);
  });

  test('a journal that reaches out of the folder is refused', async () => {
    writeFileSync(
      join(folder, 'change.journal'),
      JSON.stringify({ format: 'ipseckit change', version: 1, renames: [], removals: ['../x'] }),
    );
    await assert.rejects(names(), { code: 'STORE', message: /damaged: removals\[0\]: expected a file name/ });
  });
});
