/** strongSwan, whose kernel does ESP, and one of ours behind the same NAT, both with L2TP's ports, at a server of ours. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { parseTunnel } from '../../../src/agent/tunnel.js';
import { tunnelSource } from '../../../src/agent/tunnel-source.js';
import { policyToDocument } from '../../../src/policy/document.js';
import { l2tpCaller, l2tpEcho, l2tpPort } from '../../lab/l2tp-ports.js';
import type { LabHost } from '../../lab/lab-host.js';
import { Charon } from '../../lab/strongswan.js';
import { AgentOnHost } from '../../support/agent-host.js';
import { createHost, type Host, joinHosts } from '../../support/namespaces.js';
import { ourAddress, type PeerHosts, psk, theirAddress } from '../lab.js';

const server = '198.51.100.1';
const nat = '198.51.100.254';
const ours = '10.67.0.2';
const traffic = { protocol: 17, localPort: l2tpPort, remotePort: l2tpPort };
const common = { name: 'l2tp', presharedKey: psk, ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };

export function clientsBehindNatTests(hosts: () => PeerHosts): void {
  describe('clients behind one NAT', () => {
    const made: Host[] = [];
    const agents: AgentOnHost[] = [];
    let charon: Charon;
    let client: Host;

    before(async () => {
      // The host next to the machine is the NAT.
      const { ours: router, theirs } = hosts();
      const [serverHost, one] = [await createHost('nat-server'), await createHost('nat-client')];
      made.push(serverHost, one);
      client = one;
      joinHosts(
        { host: router, device: 'outside', addresses: [`${nat}/24`] },
        { host: serverHost, device: 'eth0', addresses: [`${server}/24`] },
      );
      joinHosts(
        { host: router, device: 'inside', addresses: ['10.67.0.1/24'] },
        { host: client, device: 'eth0', addresses: [`${ours}/24`] },
      );
      router.run('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
      router.run('nft', 'add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }');
      router.run('nft', 'add rule ip nat out oifname outside masquerade');
      client.run('ip', 'route', 'add', 'default', 'via', '10.67.0.1');
      theirs.run('ip', 'route', 'add', `${server}/32`, 'via', ourAddress);
      const daemon = serverHost.spawn(process.execPath, ['-e', l2tpEcho(server)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      if (daemon.stdout !== null) await once(daemon.stdout, 'data');
      for (const host of [serverHost, client]) agents.push(await AgentOnHost.start(host));
      const answering = { format: 'ipseckit-tunnel', version: 1, ...common, ...traffic };
      const { policy } = tunnelSource(parseTunnel({ ...answering, local: server, peer: nat }));
      await agents[0]?.call('addDynamic', { policy: policyToDocument(policy) });
      await agents[1]?.tunnelUp({ ...common, ...traffic, local: ours, peer: server });
      charon = await Charon.start({ host: theirs, esp: 'kernel-netlink' });
      await charon.load({
        ...{ name: 'l2tp', local: theirAddress, remote: server, psk, mode: 'transport' },
        ...{ ike: [common.ike], esp: [common.esp] },
        localSelector: `dynamic[udp/${l2tpPort}]`,
        remoteSelector: `dynamic[udp/${l2tpPort}]`,
      });
    });

    after(async () => {
      const { ours: router, theirs } = hosts();
      for (const agent of agents) await agent.remove();
      await charon?.stop();
      for (const host of made) await host.destroy();
      router.run('nft', 'delete table ip nat');
      theirs.run('ip', 'route', 'del', `${server}/32`);
    });

    const portSeen = async (host: LabHost, words: string) => {
      const call = ['-e', l2tpCaller(server), words, '3', '200'];
      const { stdout } = await host.execute(process.execPath, call, { timeoutMs: 40_000 });
      const [heard = '', port = ''] = stdout.trim().split(' from ');
      assert.equal(heard, words, stdout);
      return port;
    };

    test('both are answered from port 1701 to port 1701, at once, also with new SAs', async () => {
      const { theirs } = hosts();
      assert.equal(await portSeen(client, 'ours'), `${l2tpPort}`);
      await charon.initiate('l2tp');
      const translated = await portSeen(theirs, 'theirs');
      assert.match(translated, /^30\d{3}$/);
      await charon.rekey({ child: 'l2tp' });
      const both = await Promise.all([portSeen(client, 'ours'), portSeen(theirs, 'theirs')]);
      assert.deepEqual(both, [`${l2tpPort}`, translated]);
      const drops = (await agents[0]?.call('statistics', {}))?.driver.drops;
      assert.deepEqual([drops?.['selector-mismatch'], drops?.['client-gone']], [0, 0]);
    });
  });
}
