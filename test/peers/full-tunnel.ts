/** All traffic of a client through a gateway: strongSwan with a server behind it, and our own for IPv6. For every engine. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import type { TunnelDocument } from '../../src/agent/tunnel.js';
import { waitFor } from '../lab/command.js';
import type { PeerConnection } from '../lab/peer-connection.js';
import type { Charon, EspEngine } from '../lab/strongswan.js';
import { ping, transfer } from '../lab/traffic.js';
import { AgentOnHost } from '../support/agent-host.js';
import { createHost, type Host, joinHosts } from '../support/namespaces.js';
import { makeLab, type OwnLab, withLogs } from './lab.js';

const ours = '10.69.0.1';
const theirs = '10.69.0.2';
const neighbour = '10.69.0.3';
const server = '10.2.0.9';
const ours6 = 'fd69::1';
const theirs6 = 'fd69::2';
const server6 = 'fd02::9';
const presharedKey = 'a key for everything';

/** Tells everybody who connects the address that they come from. */
const teller = `
require('node:net').createServer(socket => socket.end(socket.remoteAddress.replace('::ffff:', '')))
  .listen(9000, '::', () => console.log('listening'));`;

const asker = `
const socket = require('node:net').connect({ port: 9000, host: process.argv[1], localAddress: process.argv[2] });
socket.setTimeout(1500, () => socket.destroy(new Error('silence')));
socket.on('data', data => process.stdout.write(data)).on('error', error => console.log(error.code ?? error.message));`;

/** What differs between engines. */
export interface FullTunnelOptions {
  readonly engine: 'userspace' | 'xfrm';
  /** How strongSwan does ESP. */
  readonly esp: EspEngine;
  readonly skip: string | false;
  /** In a slow machine each test costs seconds. */
  readonly only?: readonly RegExp[];
}

const user = { name: 'ann', password: 'ann has a password' };

/** Declares the tests. */
export function fullTunnelTests(title: string, { engine, esp, skip, only }: FullTunnelOptions): void {
  const declare = (name: string, run: () => Promise<void>) => {
    if (only === undefined || only.some(one => one.test(name))) test(name, run);
  };
  describe(title, { skip, timeout: 400_000 }, () => {
    let lab: OwnLab;
    let behind: Host;
    let agent: AgentOnHost;
    let charon: Charon;

    before(async () => {
      lab = await makeLab({
        prefix: 'full',
        ours: [`${ours}/24`, `${ours6}/64`],
        theirs: [`${theirs}/24`, `${neighbour}/24`, `${theirs6}/64`],
        charonSettings: 'cisco_unity = yes',
        ...{ engine, esp },
      });
      ({ agent, charon } = lab);
      behind = await createHost('full-server');
      joinHosts(
        { host: lab.theirs, device: 'eth1', addresses: ['10.2.0.1/24', 'fd02::1/64'] },
        { host: behind, device: 'eth0', addresses: [`${server}/24`, `${server6}/64`] },
      );
      // Whatever does not go through the tunnel gets there, too: it would be seen.
      lab.theirs.run('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
      for (const [host, way] of [
        [lab.ours, theirs],
        [lab.ours, theirs6],
        [behind, '10.2.0.1'],
        [behind, 'fd02::1'],
      ] as const)
        host.run('ip', 'route', 'add', 'default', 'via', way);
      for (const host of [behind, lab.theirs]) {
        const child = host.spawn(process.execPath, ['-e', teller], { stdio: ['ignore', 'pipe', 'inherit'] });
        if (child.stdout !== null) await once(child.stdout, 'data');
      }
    });

    after(async () => {
      await lab?.stop();
      await behind?.destroy();
    });

    /** The address from which a connection to `address` arrives there, or why there was none. */
    async function seenFrom(address: string, ...from: string[]): Promise<string> {
      return (await lab.ours.execute(process.execPath, ['-e', asker, address, ...from])).stdout.trim();
    }

    /** Routes and rules of the client; device routes say "linkdown" now and then. */
    const routing = () =>
      ['-4', '-6'].map(family => [
        lab.ours.run('ip', family, 'rule'),
        lab.ours.run('ip', family, 'route', 'show', 'table', 'main'),
      ]);

    const gateway: PeerConnection = {
      ...{ name: 'peer', local: theirs, remote: '%any', psk: presharedKey, mode: 'tunnel' },
      // Its own ESP knows no other way.
      encapsulate: esp === 'kernel-libipsec',
      users: { [user.name]: user.password },
      ...{ ike: ['aes256-sha256-ecp256'], esp: ['aes128-sha256'], localSelector: '0.0.0.0/0' },
      pool: { addrs: '10.3.0.7-10.3.0.9', dns: ['10.2.0.53'] },
    };

    const both: PeerConnection = {
      ...gateway,
      localSelector: ['0.0.0.0/0', '::/0'],
      pool6: { addrs: 'fd03::7-fd03::9', dns: ['fd02::53'] },
    };

    const everything = '10.3.0.7/32 fd03::7/128 <-> 0.0.0.0/0 ::/0';

    const tunnel = (overrides: Partial<TunnelDocument> = {}): Omit<TunnelDocument, 'format' | 'version'> => ({
      ...{ name: 'all', local: ours, peer: theirs, presharedKey, modeConfig: 'pull' },
      ...{ xauthUser: user.name, xauthPassword: user.password },
      ...{ ike: 'aes256-sha256-ecp256', esp: 'aes128-sha256' },
      ...overrides,
    });

    const logged = (work: () => Promise<void>) => withLogs(lab, work);

    async function down(): Promise<void> {
      await agent.call('tunnelDown', { name: 'all' });
      await waitFor('strongSwan to forget', async () => (await charon.listSas()).length === 0);
    }

    const sent = async () =>
      (await agent.call('associations', {})).pairs.reduce((sum, { packetsSent }) => sum + packetsSent, 0);

    const mainRoutes = () => routing().map(([, main]) => main);

    declare(
      'a gateway that names no network: everything from the assigned addresses, the host keeps its routes',
      () =>
        logged(async () => {
          const before = routing();
          const main = mainRoutes();
          await charon.load(both);
          assert.equal(await seenFrom(server), ours);
          const { traffic } = await agent.tunnelUp(tunnel());
          assert.equal(traffic, everything);
          for (const to of [server, server6]) {
            assert.deepEqual(await ping(lab.ours, to, { count: 3 }), { sent: 3, received: 3 });
            await transfer(lab.ours, behind, to, { bytes: 300_000 });
          }
          assert.equal(await seenFrom(server), '10.3.0.7');
          assert.equal(await seenFrom(server6), 'fd03::7');
          // The gateway's own address, and one beside it.
          assert.equal(await seenFrom(theirs), '10.3.0.7');
          assert.equal(await seenFrom(neighbour), '10.3.0.7');
          // A connection that has its address, like that of a remote shell, goes the way it came.
          assert.equal(await seenFrom(server, ours), ours);
          assert.equal(await seenFrom(server6, ours6), ours6);
          assert.deepEqual(mainRoutes(), main);
          await down();
          assert.deepEqual(routing(), before);
          assert.equal(await seenFrom(server), ours);
        }),
    );

    declare('the same over IPv6: both families from the assigned addresses', () =>
      logged(async () => {
        const before = routing();
        await charon.load({ ...both, local: theirs6 });
        const { traffic } = await agent.tunnelUp(tunnel({ local: ours6, peer: theirs6 }));
        assert.equal(traffic, everything);
        for (const to of [server, server6])
          assert.deepEqual(await ping(lab.ours, to, { count: 3 }), { sent: 3, received: 3 });
        assert.equal(await seenFrom(theirs6), 'fd03::7');
        assert.equal(await seenFrom(server6, ours6), ours6);
        await down();
        assert.deepEqual(routing(), before);
      }),
    );

    declare('a network that contains the gateway, and what is excluded from it', () =>
      logged(async () => {
        await charon.load(gateway);
        const remoteNetworks = ['10.0.0.0/8'];
        await agent.tunnelUp(tunnel({ remoteNetworks, excludedNetworks: ['10.69.0.3/32'] }));
        assert.deepEqual(await ping(lab.ours, server, { count: 3 }), { sent: 3, received: 3 });
        assert.equal(await seenFrom(theirs), '10.3.0.7');
        assert.equal(await seenFrom(neighbour), ours);
        await down();
      }),
    );

    declare('without a route of its own the host reaches everything, too', () =>
      logged(async () => {
        await charon.load(gateway);
        lab.ours.run('ip', 'route', 'del', 'default');
        try {
          await agent.tunnelUp(tunnel());
          assert.equal(await seenFrom(server), '10.3.0.7');
          await down();
        } finally {
          lab.ours.run('ip', 'route', 'add', 'default', 'via', theirs);
        }
      }),
    );

    declare('killed, it leaves no way in clear; the next start cleans up', () =>
      logged(async () => {
        const before = routing();
        const devices = () => lab.ours.run('ip', '-o', 'link');
        await charon.load(both);
        await agent.tunnelUp(tunnel());
        await agent.stop('SIGKILL');
        assert.match(await seenFrom(server), /^E(NET|HOST)UNREACH$/);
        assert.equal(await seenFrom(server6), 'silence');
        assert.equal(await seenFrom(server, ours), ours);
        assert.equal(await seenFrom(server6, ours6), ours6);
        await agent.restart();
        await waitFor(
          'the tunnel to be back',
          async () =>
            (await seenFrom(server)).startsWith('10.3.0.') && (await seenFrom(server6)).startsWith('fd03::'),
          180,
        );
        assert.match(devices(), /ipseckit-end/);
        await down();
        assert.deepEqual(routing(), before);
        assert.doesNotMatch(devices(), /ipseckit-end/);
      }),
    );

    declare('from the own address, without mode-config; a neighbour excluded', () =>
      logged(async () => {
        const before = routing();
        const { pool: _, users: __, ...rest } = gateway;
        await charon.load({ ...rest, remoteSelector: `${ours}/32` });
        const {
          modeConfig: ___,
          xauthUser,
          xauthPassword,
          ...own
        } = tunnel({
          remoteNetworks: ['0.0.0.0/0'],
          excludedNetworks: [`${neighbour}/32`],
        });
        await agent.tunnelUp(own);
        assert.deepEqual(await ping(lab.ours, server, { count: 3 }), { sent: 3, received: 3 });
        assert.ok((await sent()) >= 3);
        await transfer(lab.ours, behind, server, { bytes: 300_000 });
        const secured = await sent();
        assert.equal(await seenFrom(neighbour), ours);
        assert.equal(await sent(), secured);
        await agent.stop('SIGKILL');
        assert.match(await seenFrom(server), /^E(NET|HOST)UNREACH|silence$/);
        await agent.restart();
        await waitFor(
          'the tunnel to be back',
          async () => (await seenFrom(server)) === ours && (await sent()) > 0,
        );
        await down();
        assert.deepEqual(routing(), before);
      }),
    );

    declare('all of IPv6', () =>
      logged(async () => {
        await charon.stop();
        const other = await AgentOnHost.start(lab.theirs, { engine });
        try {
          const before = routing();
          const common = { name: 'six', presharedKey, esp: 'aes128-sha256' };
          const there = other.tunnelUp({
            ...{ ...common, local: theirs6, peer: ours6 },
            ...{ localNetworks: ['::/0'], remoteNetworks: [`${ours6}/128`] },
          });
          await agent.tunnelUp({ ...common, local: ours6, peer: theirs6, remoteNetworks: ['::/0'] });
          await there;
          assert.deepEqual(await ping(lab.ours, server6, { count: 3 }), { sent: 3, received: 3 });
          await transfer(lab.ours, behind, server6, { bytes: 300_000 });
          assert.ok((await sent()) > 3);
          await agent.call('tunnelDown', { name: 'six' });
          assert.deepEqual(routing(), before);
        } finally {
          await other.remove();
        }
      }),
    );
  });
}
