import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { printPem } from '../../src/crypto/certificates/pem.js';
import type { Policy } from '../../src/policy/model.js';
import { assignmentDn, gpoDn, policyContainer } from '../../src/policy/stores/directory/entries.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { needs } from '../lab/needs.js';
import { directoryAdmin, directoryBase, directoryPassword, Slapd } from '../lab/slapd.js';
import { policyOf, withOtherIds } from '../policy/support.js';
import { AgentOnHost } from '../support/agent-host.js';
import { testCa, testLeaf } from '../support/certificates.js';
import { assignmentEntry, containerEntry, type LdifEntry, policyEntries } from '../support/ldif.js';
import { createPair, type Host, type HostPair } from '../support/namespaces.js';

const container = policyContainer(directoryBase);
const gpoId = '{31B2F340-016D-11D2-945F-00C04FB984F9}';
const gpo = gpoDn(gpoId, directoryBase);

const domain: Policy = {
  ...policyOf(
    '-w REG -p Domain -r "To the server" -f 0+198.51.100.7:80:TCP -n ESP[3DES,SHA] -a PRESHARE:"lab key"',
    '-w REG -p Domain -r "No telnet" -f 0=*:23:TCP -n BLOCK',
  ),
  changedAtSeconds: 1_700_000_000,
};
const further = withOtherIds(policyOf('-w REG -p Further -r Any -f 0+*:25:TCP -n BLOCK'), 'further');
const dnOf = ({ id }: Policy) => `CN=ipsecPolicy${id},${container}`;

/** The containers down to a group policy object, which points at no policy yet. */
const entries: readonly LdifEntry[] = [
  containerEntry(`CN=System,${directoryBase}`),
  containerEntry(container),
  containerEntry(`CN=Policies,CN=System,${directoryBase}`),
  containerEntry(gpo, 'groupPolicyContainer'),
  containerEntry(`CN=Machine,${gpo}`),
  containerEntry(`CN=Microsoft,CN=Machine,${gpo}`),
  containerEntry(`CN=Windows,CN=Microsoft,CN=Machine,${gpo}`),
  assignmentEntry(assignmentDn(gpo), dnOf(domain)),
  ...policyEntries([domain, further], container),
];

describe('policies from OpenLDAP', { skip: needs('slapd', 'ldapmodify', 'nft') }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-directory-'));
  const file = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const access = { base: directoryBase, gpo: gpoId, bindDn: directoryAdmin, passwordFile: '' };
  let pair: HostPair;
  let host: Host;
  let slapd: Slapd;
  let agent: AgentOnHost;
  let caFile: string;

  before(async () => {
    pair = await createPair({ prefix: 'dir' });
    host = pair.a;
    const now = Date.now();
    const times = { notBeforeMs: now - 86_400_000, notAfterMs: now + 86_400_000 };
    const ca = testCa('CN=Directory CA', undefined, times);
    const server = testLeaf('CN=directory', ca, {
      ...times,
      alternativeNames: [{ kind: 'address', address: ipAddress('127.0.0.1') }],
    });
    caFile = file('ca.pem', printPem('CERTIFICATE', ca.certificate.der));
    slapd = new Slapd(host, entries, {
      certificateFile: file('server.pem', printPem('CERTIFICATE', server.certificate.der)),
      keyFile: file('server.key', String(server.privateKey.export({ type: 'pkcs8', format: 'pem' }))),
    });
    await slapd.start();
    access.passwordFile = file('password', `${directoryPassword}\n`);
    const directory = { url: 'ldap://127.0.0.1', ...access };
    agent = await AgentOnHost.start(host, { settings: { directory } });
  });

  after(async () => {
    await agent?.remove();
    await slapd?.remove();
    await pair?.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Ports of the filters in force, and where their policy comes from. */
  const ports = async () => {
    const filters = await agent.call('filters', {});
    return [...new Set(filters.map(({ filter }) => filter.selector.destinationPort))]
      .filter(port => port !== 0)
      .sort((a, b) => a - b);
  };
  const events = async () => {
    const { stdout } = await agent.command('ipseckit', 'events', '--json', '--last', '100');
    const list: { id: number; reason?: string }[] = JSON.parse(stdout);
    return list;
  };
  const lastEvent = async () => (await events()).at(-1)?.id;
  const look = () => agent.call('reload', { directory: true });

  test('the policy the GPO points at is in force, its local one is overridden', async () => {
    const made = await agent.command(
      'ipsecpol',
      ...'-w REG -p Mine -r Any -f 0+*:81:TCP -n PASS -x'.split(' '),
    );
    assert.equal(made.status, 0, made.stderr);
    assert.deepEqual(await ports(), [23, 80]);
    const { assigned, overridden, directory } = await agent.call('status', {});
    assert.deepEqual(assigned && { ...assigned, path: assigned.path.toLowerCase() }, {
      id: domain.id,
      name: 'Domain',
      kind: 'directory',
      path: `ldap://${dnOf(domain)}`.toLowerCase(),
    });
    assert.equal(overridden?.name, 'Mine');
    assert.equal(directory?.state, 'applied');
    const [first] = await events();
    assert.equal(first?.id, 5456);
    assert.match(first?.reason ?? '', /preshared keys travel in clear/);
  });

  test('and everything that shows it says so', async () => {
    const netdiag = await agent.command('netdiag', '/test:ipsec', '/debug');
    assert.match(netdiag.stdout, /Directory IPSec Policy Active: 'Domain'/);
    assert.match(netdiag.stdout, /IP Security Policy Path: LDAP:\/\/CN=ipsecPolicy\{/i);
    assert.match(netdiag.stdout, /The local policy 'Mine' is assigned but overridden/);
    const status = await agent.command('ipseckit', 'agent', 'status');
    assert.match(status.stdout, /Domain policy +'Domain' \(LDAP:/);
    assert.match(status.stdout, /Local policy +'Mine' assigned, overridden by the directory policy/);
    const list = await agent.command('ipseckit', 'policy', 'list');
    assert.match(list.stdout, /Mine +Yes, overridden/);
    const remote = await agent.command('ipseckit', 'policy', 'list', '--store', 'directory');
    assert.match(remote.stdout, /Domain +Yes +2/);
    assert.match(remote.stdout, /Further +No +1/);
    const show = await agent.command('ipseckit', 'policy', 'show', 'domain', '--store', 'directory');
    assert.match(show.stdout, /To the server/);
    assert.doesNotMatch(show.stdout + status.stdout + netdiag.stdout + agent.log, /lab key|lab directory/);
  });

  test('dynamic rules are beside it', async () => {
    const added = await agent.command('ipsecpol', '-f', '[0=*:1434:UDP]');
    assert.equal(added.status, 0, added.stderr);
    assert.deepEqual(await ports(), [23, 80, 1434]);
    await agent.command('ipsecpol', '-u');
  });

  test('a directory that is down leaves it in force; the agent starts with the cached copy', async () => {
    await slapd.stop();
    await look();
    assert.equal(await lastEvent(), 5466);
    assert.deepEqual(await ports(), [23, 80]);
    const status = await agent.command('ipseckit', 'agent', 'status');
    assert.match(status.stdout, /does not answer; the cached copy of its policy is in force/);
    const netdiag = await agent.command('netdiag', '/test:ipsec');
    assert.match(netdiag.stdout, /\[WARNING\] The directory does not answer, and the cached copy/);

    await agent.restart();
    assert.deepEqual(await ports(), [23, 80]);
    assert.equal(await lastEvent(), 5458);
  });

  test('when it is up again, what was changed meanwhile is applied', async () => {
    await slapd.start();
    await look();
    assert.equal(await lastEvent(), 5467);
    await slapd.stop();
    await look();
    await slapd.start();
    const filter = policyEntries(
      [policyOf('-w REG -p Domain -r "No telnet" -f 0=*:24:TCP -n BLOCK')],
      container,
    )
      .find(({ dn }) => dn.includes('ipsecFilter'))
      ?.attributes.find(([name]) => name === 'ipsecData')?.[1];
    assert.ok(filter);
    const list = domain.rules[1]?.filterList?.id;
    const data = Buffer.from(filter).toString('base64');
    await slapd.modify(
      [
        `dn: CN=ipsecFilter${list},${container}\nchangetype: modify\nreplace: ipsecData\nipsecData:: ${data}\n`,
        `dn: ${dnOf(domain)}\nchangetype: modify\nreplace: whenChanged\nwhenChanged: 20260101000000.0Z\n`,
      ].join('\n'),
    );
    await look();
    assert.equal(await lastEvent(), 5468);
    assert.deepEqual(await ports(), [24, 80]);
    await look();
    assert.equal(await lastEvent(), 5463);
  });

  test('unassigned in the directory, the local policy is in force again', async () => {
    await slapd.modify(`dn: ${assignmentDn(gpo)}\nchangetype: modify\ndelete: ipsecOwnersReference\n`);
    const reload = await agent.command('ipseckit', 'agent', 'reload');
    assert.match(reload.stdout, /The policy 'Mine' is in force/);
    assert.equal(await lastEvent(), 5460);
    assert.deepEqual(await ports(), [81]);
    const netdiag = await agent.command('netdiag', '/test:ipsec');
    assert.match(netdiag.stdout, /Local IPSec Policy Active: 'Mine'/);
  });

  test('over TLS nothing travels in clear, and only to the server of a trusted CA', async () => {
    const list = async (directory: object) => {
      writeFileSync(join(agent.home, 'settings.json'), JSON.stringify({ directory }));
      return agent.command('ipseckit', 'policy', 'list', '--store', 'directory');
    };
    for (const tls of [{ url: 'ldaps://127.0.0.1' }, { url: 'ldap://127.0.0.1', startTls: true }]) {
      const trusted = await list({ ...access, ...tls, caFile });
      assert.match(trusted.stdout, /Further +No +1/, trusted.stderr);
      const unknown = await list({ ...access, ...tls });
      assert.equal(unknown.status, 6, unknown.stdout);
      assert.match(unknown.stderr, /cannot be asked: .*certificate/);
    }
    const { bindDn: _, passwordFile: __, ...anonymous } = access;
    const nobody = await list({ ...anonymous, url: 'ldap://127.0.0.1' });
    assert.notEqual(nobody.status, 0);
    writeFileSync(access.passwordFile, 'wrong\n');
    const refused = await list({ ...access, url: 'ldap://127.0.0.1' });
    assert.equal(refused.status, 5, refused.stderr);
    assert.match(refused.stderr, /refuses us/);
  });
});
