import assert from 'node:assert/strict';
import { lstatSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { policyToDocument } from '../../../src/policy/document.js';
import type { PolicyNote } from '../../../src/policy/note.js';
import { FileStore } from '../../../src/policy/stores/file-store.js';
import { printStoreFile, type StoreFormat } from '../../../src/policy/stores/formats.js';
import { parseRegFile, printRegFile, type RegKey } from '../../../src/policy/stores/reg-file.js';
import { encodeUtf16 } from '../../../src/policy/stores/text-encoding.js';
import { SeededRandom } from '../../support/random.js';
import { randomStore } from '../../support/random-store.js';
import { policyOf, withOtherIds } from '../support.js';

const folder = mkdtempSync(join(tmpdir(), 'ipseckit-file-store-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const servers = policyOf(
  '-w REG -p Servers -r "To A" -f 0+198.51.100.1 -n ESP[3DES,SHA] -a PRESHARE:"Sekret 1"',
  '-w REG -p Servers -r "No telnet" -f 0=*:23:TCP -n BLOCK',
);
const clients = withOtherIds(policyOf('-w REG -p Clients -r Any -f 0+*:80:TCP -n PASS'), 'clients');
const further = withOtherIds(policyOf('-w REG -p Further -r Any -f 0+*:25:TCP -n BLOCK'), 'further');

function open(path: string, format: StoreFormat) {
  const notes: PolicyNote[] = [];
  return {
    notes,
    store: new FileStore(path, format, { nowSeconds: () => 1_700_000_000, onNote: note => notes.push(note) }),
  };
}

function fileOf(format: StoreFormat): string {
  const path = join(folder, `store.${format}`);
  const collection = {
    policies: [servers, clients],
    assigned: servers.id,
    library: { filterLists: [], actions: [] },
  };
  const { bytes } = printStoreFile(collection, format, { keys: 'shown', nowSeconds: 1_600_000_000 });
  writeFileSync(path, bytes, { mode: 0o640 });
  return path;
}

for (const format of ['reg', 'json'] as const)
  describe(`a .${format} file as a store`, () => {
    test('lists, reads, assigns, writes and deletes', async () => {
      const path = fileOf(format);
      const { store } = open(path, format);
      const listed = async () =>
        (await store.list()).policies.map(({ name, assigned }) => `${name}${assigned ? ' *' : ''}`);
      assert.deepEqual(await listed(), ['Clients', 'Servers *']);
      assert.equal((await store.assigned())?.name, 'Servers');
      await store.assign('clients');
      assert.deepEqual(await listed(), ['Clients *', 'Servers']);
      assert.equal(await store.unassign('Servers'), false);
      assert.equal(await store.unassign('Clients'), true);
      await store.write(further);
      assert.deepEqual(await listed(), ['Clients', 'Further', 'Servers']);
      await assert.rejects(store.write({ ...further, id: clients.id }), { code: 'STORE' });
      assert.equal(await store.delete('clients'), true);
      assert.equal(await store.delete('clients'), false);
      assert.deepEqual(await listed(), ['Further', 'Servers']);
      const read = await store.read('servers');
      assert.deepEqual(read && policyToDocument({ ...read, changedAtSeconds: 0 }), {
        ...policyToDocument({ ...servers, changedAtSeconds: 0 }),
      });
      assert.equal(statSync(path).mode & 0o777, 0o640);
      await assert.rejects(store.assign('nobody'), { code: 'STORE', message: /'nobody' not found/ });
    });

    test('a damaged or missing file is an error, and stays', async () => {
      const path = fileOf(format);
      const damaged = readFileSync(path).subarray(0, 400);
      writeFileSync(path, damaged);
      await assert.rejects(open(path, format).store.assign('Clients'), { code: 'STORE' });
      assert.deepEqual(readFileSync(path), damaged);
      await assert.rejects(open(join(folder, 'none'), format).store.list(), { code: 'USAGE' });
    });
  });

describe('what Windows left in a .reg file', () => {
  /** A file as some Windows might have left it: garbage in blobs, values and keys nobody knows, its own spelling. */
  function windowsFile(): { path: string; keys: RegKey[] } {
    const path = fileOf('reg');
    const keys = parseRegFile(readFileSync(path)).map(key => ({
      ...key,
      path: key.path.replace('IPSec', 'IPSEC'),
      values: new Map(
        [...key.values].map(([name, value]): [string, typeof value] =>
          value.type === 'binary'
            ? [name, { ...value, bytes: Uint8Array.from([...value.bytes.subarray(0, -1), 0x5a]) }]
            : [name === 'ClassName' ? 'className' : name, value],
        ),
      ).set('unknown', { type: 'dword', number: 7 }),
    }));
    keys.push({
      path: 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Other',
      delete: false,
      values: new Map([['kept', { type: 'string', text: 'yes' }]]),
    });
    writeFileSync(path, encodeUtf16(printRegFile(keys)));
    return { path, keys };
  }
  const blocksOf = (path: string) =>
    new Map(parseRegFile(readFileSync(path)).map(key => [key.path, printRegFile([key])]));

  test('stays to the byte in all that does not change', async () => {
    const { path } = windowsFile();
    const { store } = open(path, 'reg');
    const before = blocksOf(path);
    const top = [...before.keys()].find(each => each.endsWith('\\Local')) ?? '';
    await store.assign('Clients');
    const after = blocksOf(path);
    assert.deepEqual([...after.keys()], [...before.keys()]);
    for (const [key, text] of after) if (key !== top) assert.equal(text, before.get(key));
    assert.match(after.get(top) ?? '', /"ActivePolicy"=.*ipsecPolicy/);
    assert.match(after.get(top) ?? '', /"unknown"=dword:00000007/);

    const read = await store.read('Clients');
    assert.ok(read);
    await store.write({ ...read, pollIntervalMinutes: 45 });
    const written = blocksOf(path);
    const changed = [...written.keys()].filter(key => written.get(key) !== after.get(key));
    assert.deepEqual(
      changed.map(key => key.split('\\').at(-1)),
      [`ipsecPolicy${clients.id}`],
    );
    assert.match(written.get(changed[0] ?? '') ?? '', /"unknown"=dword:00000007/);
    assert.equal((await store.read('Clients'))?.pollIntervalMinutes, 45);
  });

  test('what is deleted takes its objects along, and no others', async () => {
    const { path } = windowsFile();
    const { store } = open(path, 'reg');
    const before = blocksOf(path);
    await store.delete('Clients');
    const after = blocksOf(path);
    for (const [key, text] of after) assert.equal(text, before.get(key));
    assert.equal(before.size - after.size, 5, 'the policy, its settings, its rule, filter list and action');
  });

  test('whatever is written, it reads back the same', async t => {
    const seed = Number(process.env.IPSECKIT_SEED ?? 61);
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    for (let i = 0; i < 60; i++) {
      const path = join(folder, 'random.reg');
      const [old, now] = [randomStore(random), randomStore(random)];
      const { bytes } = printStoreFile(old, 'reg', { keys: 'shown', nowSeconds: 1 });
      writeFileSync(path, bytes);
      const { store } = open(path, 'reg');
      const [policy] = now.policies;
      if (policy === undefined) continue;
      const target = old.policies[0];
      const written = { ...policy, id: target?.id ?? policy.id, name: `${policy.name} ${i}` };
      await store.write(written);
      const read = await store.read(written.name);
      assert.deepEqual(read && policyToDocument(read), policyToDocument(written));
    }
  });
});

test('a link to a file stays one, and what it leads to is changed', async () => {
  const path = fileOf('json');
  const link = join(folder, 'link.json');
  symlinkSync(path, link);
  assert.ok(await open(link, 'json').store.delete(clients.name));
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.equal(await open(path, 'json').store.read(clients.name), undefined);
});
