/** strongSwan as a gateway that wants a user (XAUTH) and gives its clients their address (mode-config). */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { callAgent } from '../../src/agent/control/client.js';
import { NegotiationError } from '../../src/agent/failure.js';
import { controlSocketPath } from '../../src/agent/paths.js';
import type { TunnelDocument } from '../../src/agent/tunnel.js';
import { Secret } from '../../src/crypto/secret.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import { waitFor } from '../lab/command.js';
import { needs } from '../lab/needs.js';
import type { PeerConnection } from '../lab/peer-connection.js';
import type { Charon } from '../lab/strongswan.js';
import { ping } from '../lab/traffic.js';
import type { AgentOnHost } from '../support/agent-host.js';
import { certificatePem, keyPem, testCa, testLeaf } from '../support/certificates.js';
import { makeLab, type OwnLab, withLogs } from './lab.js';

const ours = '10.69.0.1';
const theirs = '10.69.0.2';
const inside = '10.2.0.1';
const inside6 = 'fd02::1';
const presharedKey = 'a group key';
const user = 'ann';
const password = 'ann has a password';

describe('strongSwan as a gateway for clients', {
  skip: needs('charon', 'nft', 'ping', 'xauth-generic'),
}, () => {
  let lab: OwnLab;
  let agent: AgentOnHost;
  let charon: Charon;

  before(async () => {
    lab = await makeLab({
      ...{ prefix: 'gw', ours: [`${ours}/24`], theirs: [`${theirs}/24`] },
      charonSettings: 'cisco_unity = yes\n  i_dont_care_about_security_and_use_aggressive_mode_psk = yes',
    });
    ({ agent, charon } = lab);
    for (const address of [`${inside}/24`, `${inside6}/64`])
      lab.theirs.run('ip', 'address', 'add', address, 'dev', 'lo');
  });

  after(() => lab?.stop());

  const logged = (work: () => Promise<void>) => withLogs(lab, work);

  const gateway: PeerConnection = {
    ...{ name: 'peer', local: theirs, remote: '%any', psk: presharedKey, mode: 'tunnel', encapsulate: true },
    ...{ ike: ['aes256-sha256-ecp256'], esp: ['aes128-sha256'], localSelector: '10.2.0.0/24' },
    users: { [user]: password },
    pool: {
      addrs: '10.3.0.7-10.3.0.9',
      dns: ['10.2.0.53', '10.2.0.54'],
      nbns: ['10.2.0.137'],
      split_include: ['10.2.0.0/24'],
      '28672': ['Be nice'],
    },
  };

  const tunnel = (overrides: Partial<TunnelDocument> = {}): Omit<TunnelDocument, 'format' | 'version'> => ({
    ...{ name: 'office', local: ours, peer: theirs, presharedKey, remoteNetworks: ['10.2.0.0/24'] },
    ...{ ike: 'aes256-sha256-ecp256', esp: 'aes128-sha256' },
    ...{ xauthUser: user, xauthPassword: password, modeConfig: 'pull' },
    ...overrides,
  });

  const addresses = () => lab.ours.run('ip', '-4', '-o', 'address', 'show', 'dev', 'ipseckit0');

  /** Traffic flows from the assigned address, and nothing of it is left after `tunnel down`. */
  async function checkTunnel(): Promise<void> {
    const [info] = await agent.call('tunnelList', {});
    const address = info?.configuration?.address ?? 'none';
    assert.match(address, /^10\.3\.0\.[789]$/);
    assert.ok(addresses().includes(` ${address}/32 `));
    assert.ok(lab.ours.run('ip', '-4', 'route', 'get', inside).includes(` src ${address} `));
    assert.deepEqual(await ping(lab.ours, inside, { count: 3 }), { sent: 3, received: 3 });
    const [pair] = (await agent.call('associations', {})).quickModes;
    assert.equal(pair?.pair.selector.source.first, address);
    const [child] = await charon.installedChildren();
    assert.deepEqual(child?.remoteSelectors, [`${address}/32`]);
    await agent.call('tunnelDown', { name: 'office' });
    assert.doesNotMatch(addresses(), /10\.3\.0/);
    assert.doesNotMatch(lab.ours.run('ip', '-4', 'route'), /10\.2\.0/);
    await waitFor('strongSwan to forget', async () => (await charon.listSas()).length === 0);
  }

  test('user, address, servers, banner; a ping from the assigned address', () =>
    logged(async () => {
      await charon.load(gateway);
      const { configuration, traffic } = await agent.tunnelUp(tunnel());
      assert.equal(configuration?.address, '10.3.0.7');
      assert.deepEqual(configuration?.dnsServers, ['10.2.0.53', '10.2.0.54']);
      assert.deepEqual(configuration?.winsServers, ['10.2.0.137']);
      assert.equal(configuration?.banner, 'Be nice');
      assert.equal(traffic, '10.3.0.7/32 <-> 10.2.0.0/24');
      const { stdout } = await agent.command('ipseckit', 'tunnel', 'list', '--json');
      assert.match(stdout, /"10\.2\.0\.53"/);
      assert.doesNotMatch(stdout + agent.log, /ann has a password/);
      await checkTunnel();
    }));

  test('the networks come from the gateway when none are asked for', () =>
    logged(async () => {
      await charon.load(gateway);
      const { remoteNetworks: _, ...rest } = tunnel();
      const { traffic } = await agent.tunnelUp(rest);
      assert.equal(traffic, '10.3.0.7/32 <-> 10.2.0.0/24');
      await checkTunnel();
    }));

  test('an IPv6 address alone, and a network for it that the gateway names', () =>
    logged(async () => {
      const { pool: _, ...withoutPool } = gateway;
      await charon.load({
        ...withoutPool,
        localSelector: 'fd02::/64',
        pool6: { addrs: 'fd03::7-fd03::9', dns: ['fd02::53'], subnet: ['fd02::/64'] },
      });
      const { remoteNetworks: __, ...rest } = tunnel();
      const { configuration, traffic } = await agent.tunnelUp(rest);
      assert.equal(configuration?.address, undefined);
      assert.equal(configuration?.address6, 'fd03::7');
      assert.deepEqual(configuration?.dnsServers, ['fd02::53']);
      assert.equal(traffic, 'fd03::7/128 <-> fd02::/64');
      const { stdout } = await agent.command('ipseckit', 'tunnel', 'list');
      assert.match(stdout, /address fd03::7, DNS fd02::53/);
      assert.ok(lab.ours.run('ip', '-6', 'route', 'get', inside6).includes(' src fd03::7 '));
      assert.deepEqual(await ping(lab.ours, inside6, { count: 3 }), { sent: 3, received: 3 });
      const [child] = await charon.installedChildren();
      assert.deepEqual(child?.remoteSelectors, ['fd03::7/128']);
      // A tunnel for a network that this address is no use to does not come up without it.
      await agent.call('tunnelDown', { name: 'office' });
      await waitFor('strongSwan to forget', async () => (await charon.listSas()).length === 0);
      await assert.rejects(
        agent.tunnelUp(tunnel({ remoteNetworks: ['10.2.0.0/24', 'fd02::/64'] })),
        /assigned no IPv4 address for 10\.2\.0\.0\/24/,
      );
      assert.doesNotMatch(lab.ours.run('ip', '-o', 'address'), /fd03::/);
    }));

  test('a gateway that pushes', () =>
    logged(async () => {
      await charon.load({ ...gateway, extra: { pull: 'no' } });
      await agent.tunnelUp(tunnel({ modeConfig: 'push' }));
      await checkTunnel();
    }));

  test('in aggressive mode, as a named member of a group', () =>
    logged(async () => {
      await charon.load({ ...gateway, remoteId: 'group@example.com', extra: { aggressive: 'yes' } });
      await agent.tunnelUp(tunnel({ aggressive: true, localId: 'group@example.com' }));
      await checkTunnel();
    }));

  test('certificates first, then the user; a preshared key offered besides', () =>
    logged(async () => {
      const dayMs = 86_400_000;
      const valid = { notBeforeMs: Date.now() - dayMs, notAfterMs: Date.now() + 30 * dayMs };
      const root = testCa('C=DE, O=Example, CN=Root', undefined, { key: 'rsa', ...valid });
      const own = testLeaf('C=DE, O=Example, CN=ours', root, { key: 'rsa', ...valid });
      const other = testLeaf('C=DE, O=Example, CN=theirs', root, { key: 'rsa', ...valid });
      const { psk: _, ...rest } = gateway;
      await charon.load({
        ...rest,
        certificates: {
          own: certificatePem(other),
          privateKey: keyPem(other),
          authorities: [certificatePem(root)],
        },
      });
      const certificates = {
        certificate: certificatePem(own),
        privateKey: keyPem(own),
        authorities: certificatePem(root),
      };
      const { presharedKey: __, ...client } = tunnel();
      await agent.tunnelUp({ ...client, ...certificates });
      await checkTunnel();
      await agent.tunnelUp({ ...tunnel(), ...certificates });
      assert.equal((await agent.call('associations', {})).mainModes[0]?.authentication, 'certificate');
      await checkTunnel();
    }));

  test('mode-config alone, and XAUTH alone', () =>
    logged(async () => {
      const { users: _, ...withoutUsers } = gateway;
      await charon.load(withoutUsers);
      const { xauthUser: __, xauthPassword: ___, ...client } = tunnel();
      await agent.tunnelUp(client);
      await checkTunnel();

      const { pool: ____, ...withoutPool } = gateway;
      await charon.load({ ...withoutPool, remoteSelector: `${ours}/32` });
      const { modeConfig: _____, ...userOnly } = tunnel();
      const { configuration } = await agent.tunnelUp(userOnly);
      assert.equal(configuration, undefined);
      assert.deepEqual(await ping(lab.ours, inside, { count: 2 }), { sent: 2, received: 2 });
      await agent.call('tunnelDown', { name: 'office' });
    }));

  test('a persistent tunnel asks whoever brings it up for the password', () =>
    logged(async () => {
      await charon.load(gateway);
      const { xauthPassword: _, ...rest } = tunnel();
      const up = (answer?: string) =>
        callAgent(
          controlSocketPath(ipseckitHome({ IPSECKIT_HOME: agent.home })),
          'tunnelUp',
          { tunnel: { format: 'ipseckit-tunnel', version: 1, ...rest } },
          {
            timeoutMs: 30_000,
            onPrompt: async ({ asks }) => {
              assert.deepEqual(asks, ['password']);
              return answer === undefined ? undefined : { password: new Secret(answer) };
            },
          },
        );
      await assert.rejects(up(), /asks for the password.*nobody is there to answer/);
      assert.equal((await up(password)).state, 'up');
      await checkTunnel();
    }));

  test('a wrong password ends with a reason of its own, and leaves nothing', () =>
    logged(async () => {
      await charon.load(gateway);
      await assert.rejects(agent.tunnelUp(tunnel({ xauthPassword: 'wrong' })), error => {
        assert.ok(error instanceof NegotiationError, String(error));
        assert.equal(error.failure.reason, 'xauth-failed');
        assert.equal(error.code, 'AUTHENTICATION_FAILED');
        assert.match(error.message, /refused the user "ann"/);
        return true;
      });
      assert.deepEqual((await agent.call('associations', {})).mainModes, []);
      assert.doesNotMatch(addresses(), /10\.3\.0/);
    }));

  test('an empty pool is told as such', () =>
    logged(async () => {
      const { pool: _, ...withoutPool } = gateway;
      await charon.load(withoutPool);
      await assert.rejects(agent.tunnelUp(tunnel()), error => {
        assert.ok(error instanceof NegotiationError, String(error));
        assert.equal(error.failure.reason, 'no-address');
        return true;
      });
    }));

  test('another address after the gateway has started anew, and one that comes back by itself', () =>
    logged(async () => {
      await charon.load(gateway);
      await agent.tunnelUp(tunnel());
      // It has told us, and remembers nothing.
      await charon.terminate({ ike: 'peer' });
      await charon.kill();
      await charon.restart();
      const { pool: old, ...withoutPool } = gateway;
      await charon.load({ ...gateway, pool: { ...old, addrs: '10.3.0.8-10.3.0.9' } });
      const state = async () => {
        const [info] = await agent.call('tunnelList', {});
        return `${info?.state} ${info?.configuration?.address}`;
      };
      await waitFor('the new address', async () => {
        await ping(lab.ours, inside, { count: 1 });
        return (await state()) === 'up 10.3.0.8';
      });
      assert.ok(!addresses().includes('10.3.0.7'));
      await agent.stop();
      await charon.load(withoutPool);
      await agent.restart();
      await waitFor('the gateway to have no address', async () => (await state()).startsWith('down'));
      await charon.load(gateway);
      await waitFor('the tunnel to come back', async () => (await state()).startsWith('up'));
      await checkTunnel();
    }));

  test('tunnel up with a password file, in its own process', () =>
    logged(async () => {
      await charon.load(gateway);
      await agent.stop();
      const folder = mkdtempSync(join(tmpdir(), 'ipseckit-gw-'));
      try {
        const file = (name: string, text: string, mode = 0o600) => {
          writeFileSync(join(folder, name), text, { mode });
          return join(folder, name);
        };
        const up = (passwordFile: string, ...rest: string[]) =>
          agent.command(
            'ipseckit',
            ...['tunnel', 'up', theirs, '--psk-file', file('psk', presharedKey)],
            ...['--ike', 'aes256-sha256-ecp256', '--esp', 'aes128-sha256', '--mode-config', 'pull'],
            ...['--xauth-user', user, '--xauth-password-file', passwordFile, ...rest],
          );
        const good = await up(file('good', `${password}\n`), '--', 'ping', '-c', '2', inside);
        assert.equal(good.status, 0, good.stdout + good.stderr);
        assert.match(good.stderr, /assigned: address 10\.3\.0\.7, DNS 10\.2\.0\.53 10\.2\.0\.54/);
        assert.match(good.stderr, /Be nice/);
        const bad = await up(file('bad', 'wrong\n'), '--', 'true');
        assert.equal(bad.status, 10, bad.stdout + bad.stderr);
        assert.match(bad.stderr, /refused the user "ann"/);
        const open = await up(file('open', password, 0o644), '--', 'true');
        assert.equal(open.status, 5);
        assert.ok(!existsSync('/sys/class/net/ipseckit0'));
      } finally {
        rmSync(folder, { recursive: true });
      }
    }));
});
