import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readSettings } from '../../../../src/agent/settings.js';
import { policyToDocument } from '../../../../src/policy/document.js';
import { derivedGuid } from '../../../../src/policy/guid.js';
import { askDirectory } from '../../../../src/policy/stores/directory/connection.js';
import { DirectoryStore } from '../../../../src/policy/stores/directory/directory-store.js';
import {
  assignmentDn,
  gpoDn,
  partsOfPolicy,
  policyContainer,
} from '../../../../src/policy/stores/directory/entries.js';
import type { DirectorySettings } from '../../../../src/policy/stores/directory/settings.js';
import type { StoredObject } from '../../../../src/policy/stores/registry/objects.js';
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

  /** The servers' policy, with what is in one of its objects, the first of a class, damaged. */
  const damaged = (word: string, attribute = 'ipsecData') => {
    const memory = directory(dnOf(servers));
    const entry = policyEntries([servers], container).find(({ dn }) => dn.includes(word));
    assert.ok(entry);
    memory.put({
      ...entry,
      attributes: [
        ...entry.attributes.filter(([name]) => name !== attribute),
        [attribute, attribute === 'ipsecData' ? new Uint8Array([1, 2, 3]) : 'nonsense'],
      ],
    });
    return { memory, store: new DirectoryStore(settings, memory.ask), dn: entry.dn };
  };

  for (const [word, attribute] of [
    ['ipsecNFA', 'ipsecData'],
    ['ipsecNFA', 'ipsecFilterReference'],
    ['ipsecFilter', 'ipsecData'],
    ['ipsecNegotiationPolicy', 'ipsecData'],
  ] as const)
    test(`an object that cannot be read costs the rules that need it: ${word}, ${attribute}`, async () => {
      const { store, dn } = damaged(word, attribute);
      const assignment = await store.assignment();
      assert.ok(assignment);
      const { policy, notes, lostRules } = await store.retrieve(assignment);
      assert.deepEqual([policy.rules.length, lostRules.length], [1, 1]);
      assert.equal(
        policy.rules.some(({ id }) => id === lostRules[0]?.rule),
        false,
      );
      const note = notes.find(({ kind }) => kind === 'dropped');
      assert.equal(note?.where, lostRules[0]?.where);
      assert.ok(note?.text.includes(`it cannot be read: ${dn}, `), note?.text);
      assert.match(note?.text ?? '', attribute === 'ipsecData' ? /offset/ : /names no policy object/);
      const { policies, problems } = await store.list();
      assert.deepEqual(
        policies.map(({ name, rules }) => [name, rules]),
        [
          ['Clients', 1],
          ['Servers', 1],
        ],
      );
      assert.ok(problems[0]?.message.includes(dn));
      // Who asks for it in full is not shown a part.
      await assert.rejects(store.read('Servers'), { code: 'STORE' });
      await assert.rejects(store.assigned(), { code: 'STORE' });
    });

  for (const [word, attribute] of [
    ['ipsecPolicy', 'ipsecData'],
    ['ipsecPolicy', 'ipsecNFAReference'],
    ['ipsecISAKMPPolicy', 'ipsecData'],
  ] as const)
    test(`all rules depend on ${word}, ${attribute}: nothing is retrieved, and other policies are not touched`, async () => {
      const { store, dn } = damaged(word, attribute);
      const assignment = await store.assignment();
      assert.ok(assignment);
      await assert.rejects(store.retrieve(assignment), { code: 'STORE' });
      const { policies, problems } = await store.list();
      assert.deepEqual(
        policies.map(({ name }) => name),
        ['Clients'],
      );
      assert.ok(problems[0]?.message.includes(dn));
      assert.equal((await store.read('Clients'))?.name, 'Clients');
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

test('rules that refer to one another without end are no trouble', () => {
  const { id } = policyOf('-w REG -p Servers -r "To A" -f 0+198.51.100.1 -n BLOCK');
  const rules = Array.from({ length: 100_000 }, (_, i) => derivedGuid(id, `rule ${i}`));
  const to = (i: number) => ({ class: 'ipsecNFA' as const, id: rules[i % rules.length] ?? id });
  const objects: StoredObject[] = [
    { class: 'ipsecPolicy', id, where: 'policy', owners: [], references: { ipsecNFAReference: [to(0)] } },
    ...rules.map((_, i) => ({
      ...to(i),
      where: `rule ${i}`,
      owners: [],
      references: { ipsecNFAReference: [to(i + 1)] },
    })),
  ];
  assert.equal(partsOfPolicy(objects, id).objects.length, objects.length);
});
