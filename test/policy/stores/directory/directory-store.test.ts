import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readSettings } from '../../../../src/agent/settings.js';
import { policyToDocument } from '../../../../src/policy/document.js';
import { askDirectory } from '../../../../src/policy/stores/directory/connection.js';
import { DirectoryStore } from '../../../../src/policy/stores/directory/directory-store.js';
import { assignmentDn, gpoDn, policyContainer } from '../../../../src/policy/stores/directory/entries.js';
import type { DirectorySettings } from '../../../../src/policy/stores/directory/settings.js';
import { MemoryDirectory } from '../../../support/directory.js';
import { assignmentEntry, containerEntry, policyEntries } from '../../../support/ldif.js';
import { policyOf, withOtherIds } from '../../support.js';

const base = 'DC=example,DC=com';
const container = policyContainer(base);
const gpo = '{31B2F340-016D-11D2-945F-00C04FB984F9}';
const pointer = assignmentDn(gpoDn(gpo, base));
const settings: DirectorySettings = { url: 'ldap://dc.example.com', base, gpo };

const servers = {
  ...policyOf(
    '-w REG -p Servers:45 -r "To A" -f 0+198.51.100.1 -n ESP[3DES,SHA] -a PRESHARE:"Sekret 1"',
    '-w REG -p Servers -r "No telnet" -f 0=*:23:TCP -n BLOCK',
  ),
  changedAtSeconds: 1_700_000_000,
};
const clients = {
  ...withOtherIds(policyOf('-w REG -p Clients -r Any -f 0+*:80:TCP -n PASS'), 'clients'),
  changedAtSeconds: 1_700_000_100,
};
const dnOf = (policy: { readonly id: string }) => `CN=ipsecPolicy${policy.id},${container}`;

function directory(assigned?: string): MemoryDirectory {
  const memory = new MemoryDirectory();
  memory.put(containerEntry(gpoDn(gpo, base)), ...policyEntries([servers, clients], container));
  if (assigned !== undefined) memory.put(assignmentEntry(pointer, assigned));
  return memory;
}

describe('a store in a directory', () => {
  test('policies come out as they went in', async () => {
    const store = new DirectoryStore(settings, directory(dnOf(servers)).ask);
    const { policies, problems } = await store.list();
    assert.deepEqual(problems, []);
    assert.deepEqual(
      policies.map(({ name, assigned, rules }) => ({ name, assigned, rules })),
      [
        { name: 'Clients', assigned: false, rules: 1 },
        { name: 'Servers', assigned: true, rules: 2 },
      ],
    );
    const read = await store.read('SERVERS');
    assert.ok(read);
    assert.deepEqual(policyToDocument(read), policyToDocument(servers));
    assert.deepEqual(await store.assigned(), read);
    assert.equal(store.path(servers), `LDAP://${dnOf(servers)}`);
  });

  test('keys that travel in clear are said, and not over TLS', async () => {
    const { ask } = directory(dnOf(servers));
    for (const [url, said] of [
      ['ldap://dc.example.com', true],
      ['ldaps://dc.example.com', false],
    ] as const) {
      const store = new DirectoryStore({ ...settings, url }, ask);
      const assignment = await store.assignment();
      assert.ok(assignment);
      const { notes } = await store.retrieve(assignment);
      assert.equal(
        notes.some(({ text }) => /preshared keys travel in clear/.test(text)),
        said,
        url,
      );
    }
  });

  test('no pointer, or an empty one, assigns nothing; a lost GPO or policy is a failure', async () => {
    const memory = directory();
    const store = new DirectoryStore(settings, memory.ask);
    assert.equal(await store.assignment(), undefined);
    memory.put(containerEntry(pointer, 'ipsecPolicy'));
    assert.equal(await store.assignment(), undefined);
    memory.put(assignmentEntry(pointer, `CN=ipsecPolicy{00000000-0000-0000-0000-000000000001},${container}`));
    await assert.rejects(store.assignment(), { code: 'STORE', message: /is not there/ });
    memory.remove(pointer);
    memory.remove(gpoDn(gpo, base));
    await assert.rejects(store.assignment(), { code: 'STORE', message: /31B2F340.* is not there/ });
  });

  test('without a GPO, the policy is named', async () => {
    const { ask } = directory();
    for (const policy of ['clients', dnOf(clients)]) {
      const assigned = await new DirectoryStore({ url: settings.url, base, policy }, ask).assigned();
      assert.equal(assigned?.name, 'Clients');
    }
    const lost = new DirectoryStore({ url: settings.url, base, policy: 'nobody' }, ask);
    await assert.rejects(lost.assigned(), { code: 'STORE' });
  });

  test('damage to one policy leaves the others readable', async () => {
    const memory = directory(dnOf(clients));
    for (const entry of policyEntries([servers], container))
      if (entry.dn.includes('ipsecNFA'))
        memory.put({
          ...entry,
          attributes: entry.attributes.map(([name, value]) =>
            name === 'ipsecData' ? [name, new Uint8Array([1, 2, 3])] : [name, value],
          ),
        });
    const store = new DirectoryStore(settings, memory.ask);
    const { policies, problems } = await store.list();
    assert.deepEqual(
      policies.map(({ name }) => name),
      ['Clients'],
    );
    assert.match(problems[0]?.message ?? '', /ipsecNFA\{.*ipsecData/);
    await assert.rejects(store.read('Servers'), { code: 'STORE' });
    assert.equal((await store.assigned())?.name, 'Clients');
  });

  test('nothing is written to it', async () => {
    const store = new DirectoryStore(settings, directory().ask);
    for (const change of [store.write(), store.assign(), store.delete(), store.unassign()])
      await assert.rejects(change, { code: 'UNSUPPORTED', message: /only read/ });
  });
});

describe('how a directory is asked', () => {
  const state = mkdtempSync(join(tmpdir(), 'ipseckit-directory-'));
  after(() => rmSync(state, { recursive: true, force: true }));
  const read = (value: object) => {
    writeFileSync(join(state, 'settings.json'), JSON.stringify({ directory: value }));
    return readSettings({ state, runtime: state }).directory;
  };

  test('stands in settings.json', () => {
    const { url } = settings;
    assert.deepEqual(read({ url, base, gpo }), settings);
    const wrong: readonly (readonly [value: object, complaint: RegExp])[] = [
      [{ url, base }, /directory: expected either gpo or policy/],
      [{ url, base, gpo, policy: 'X' }, /either gpo or policy/],
      [{ url: 'http://dc', base, gpo }, /directory\.url: expected an ldap:\/\/ or ldaps:/],
      [{ url: 'ldap://me:key@dc', base, gpo }, /directory\.url/],
      [{ url, base, gpo, bindDn: 'CN=me' }, /both bindDn and passwordFile/],
      [{ url: 'ldaps://dc', base, gpo, startTls: true }, /encrypted already/],
      [{ url, base, gpo, password: 'x' }, /directory\.password: unknown field/],
    ];
    for (const [value, message] of wrong)
      assert.throws(() => read(value), { code: 'STORE', message }, JSON.stringify(value));
  });

  test('with a password only from a file nobody else may read', async () => {
    const passwordFile = join(state, 'password');
    const ask = () =>
      askDirectory({ ...settings, url: 'ldap://127.0.0.1:1', bindDn: 'CN=me', passwordFile }, async () => {});
    await assert.rejects(ask, { code: 'STORE', message: /password/ });
    writeFileSync(passwordFile, '\n', { mode: 0o600 });
    await assert.rejects(ask, { code: 'STORE', message: /is empty/ });
    writeFileSync(passwordFile, 'not to be seen\n');
    chmodSync(passwordFile, 0o644);
    await assert.rejects(ask, { code: 'ACCESS_DENIED', message: /others than its owner/ });
    chmodSync(passwordFile, 0o600);
    await assert.rejects(ask, (error: Error) => {
      assert.match(error.message, /the directory ldap:\/\/127\.0\.0\.1:1 cannot be asked: .*ECONNREFUSED/);
      assert.doesNotMatch(error.message, /not to be seen/);
      return true;
    });
  });
});
