/** Two clients behind one NAT with one server at once, in transport mode, also from the same ports; their mappings move. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseTunnel } from '../../src/agent/tunnel.js';
import { tunnelSource } from '../../src/agent/tunnel-source.js';
import { policyToDocument } from '../../src/policy/document.js';
import { waitFor } from '../lab/command.js';
import { l2tpCaller, l2tpEcho, l2tpPort } from '../lab/l2tp-ports.js';
import { needs } from '../lab/needs.js';
import { ping } from '../lab/traffic.js';
import { AgentOnHost } from '../support/agent-host.js';
import { createHost, type Host, joinHosts } from '../support/namespaces.js';
import { TcpdumpWitness } from '../support/tcpdump-witness.js';

const server = '198.51.100.1';
/** Where the server has a policy for L2TP alone, which names the ports of both ends. */
const l2tpServer = '198.51.100.2';
const l2tpTraffic = { protocol: 17, localPort: l2tpPort, remotePort: l2tpPort };
/** What L2TP is, in clear or translated, and what carries it. */
const l2tpPackets = `udp and (port ${l2tpPort} or portrange 30000-30999 or (port 4500 and udp[8:4] != 0 and len > 60))`;
const nat = '198.51.100.254';
const common = { name: 'nat', presharedKey: 'two clients', ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };

/** Tells everybody who connects what they said, and from where. */
const echo = `
require('node:net').createServer(socket => socket.on('data', data =>
  socket.end(data + ' from ' + socket.remoteAddress.replace('::ffff:', '')))).listen(9000, () => console.log('listening'));`;

const caller = `
const socket = require('node:net').connect({ port: 9000, host: '${server}' }, () => socket.write(process.argv[1]));
socket.setTimeout(5000, () => socket.destroy(new Error('silence')));
socket.on('data', data => process.stdout.write(data)).on('error', error => console.log(error.code ?? error.message));`;

describe('two clients behind one NAT', { skip: needs('nft', 'ping'), timeout: 120_000 }, () => {
  const hosts: Host[] = [];
  const agents: AgentOnHost[] = [];
  let router: Host;
  let atServer: AgentOnHost;
  let l2tpDaemon: ChildProcess;

  const newHost = async (name: string) => {
    const host = await createHost(`nat-${name}`);
    hosts.push(host);
    return host;
  };
  const startAgent = async (host: Host) => {
    const agent = await AgentOnHost.start(host);
    agents.push(agent);
    return agent;
  };

  before(async () => {
    router = await newHost('router');
    const serverHost = await newHost('server');
    joinHosts(
      { host: router, device: 'outside', addresses: [`${nat}/24`] },
      { host: serverHost, device: 'eth0', addresses: [`${server}/24`, `${l2tpServer}/24`] },
    );
    router.run('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
    router.run('nft', 'add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }');
    router.run('nft', 'add rule ip nat out oifname outside masquerade random');
    const daemon = async (script: string) => {
      const child = serverHost.spawn(process.execPath, ['-e', script], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      if (child.stdout !== null) await once(child.stdout, 'data');
      return child;
    };
    await daemon(echo);
    l2tpDaemon = await daemon(l2tpEcho(l2tpServer));
    atServer = await startAgent(serverHost);
    for (const answered of [{ local: server }, { local: l2tpServer, ...l2tpTraffic }]) {
      const common4 = { format: 'ipseckit-tunnel', version: 1, ...common, peer: nat, ...answered };
      const { policy } = tunnelSource(parseTunnel(common4));
      await atServer.call('addDynamic', { policy: policyToDocument(policy) });
    }
    for (const [n, name] of ['one', 'two'].entries()) {
      const client = await newHost(name);
      const network = `10.1.${n + 1}`;
      joinHosts(
        { host: router, device: name, addresses: [`${network}.1/24`] },
        { host: client, device: 'eth0', addresses: [`${network}.2/24`] },
      );
      client.run('ip', 'route', 'add', 'default', 'via', `${network}.1`);
      const agent = await startAgent(client);
      await agent.tunnelUp({ ...common, local: `${network}.2`, peer: server });
    }
  });

  after(async () => {
    for (const agent of agents) await agent.remove();
    for (const host of hosts) await host.destroy();
  });

  const clients = () => hosts.filter(({ name }) => name.endsWith('one') || name.endsWith('two'));

  /** Both call at once, and each hears its own words. */
  async function bothAreAnswered(): Promise<void> {
    const answers = await Promise.all(
      clients().map(async client => {
        const { stdout } = await client.execute(process.execPath, ['-e', caller, client.name]);
        return stdout;
      }),
    );
    assert.deepEqual(
      answers,
      clients().map(({ name }) => `${name} from ${nat}`),
    );
  }

  const peerPorts = async () =>
    (await atServer.call('associations', {})).mainModes.map(({ peerPort }) => peerPort);

  test('both are served at once', async () => {
    const { mainModes, quickModes } = await atServer.call('associations', {});
    assert.deepEqual([mainModes.length, quickModes.length], [2, 2]);
    assert.equal(new Set(await peerPorts()).size, 2, 'told apart by their ports');
    for (let round = 0; round < 3; round++) await bothAreAnswered();
    for (const client of clients()) {
      const { received } = await ping(client, server, { count: 5 });
      assert.equal(received, 5);
    }
    const drops = (await atServer.call('statistics', {})).driver.drops;
    assert.deepEqual([drops['not-authenticated'], drops.malformed], [0, 0]);
  });

  test('both are found again when the NAT forgets them', async () => {
    const before = await peerPorts();
    // Masquerading forgets what went through a device that goes down.
    router.run('ip', 'link', 'set', 'outside', 'down');
    router.run('ip', 'link', 'set', 'outside', 'up');
    // The first packet of each shows the server where it is now.
    for (const client of clients())
      await waitFor(
        `an answer to ${client.name}`,
        async () => (await ping(client, server, { count: 1 })).received === 1,
      );
    const after = await peerPorts();
    assert.ok(!after.some(port => before.includes(port)), `${before} became ${after}`);
    assert.equal(new Set(after).size, 2);
    await bothAreAnswered();
    const { mainModes, quickModes } = await atServer.call('associations', {});
    assert.deepEqual([mainModes.length, quickModes.length], [2, 2], 'nothing was negotiated anew');
  });

  /** Both say it from port 1701, at once: the ports of theirs that the server sees. */
  async function l2tpPorts(times = 3, bytes = 0): Promise<string[]> {
    const said = await Promise.all(
      clients().map(client =>
        client.execute(process.execPath, ['-e', l2tpCaller(l2tpServer), client.name, `${times}`, `${bytes}`]),
      ),
    );
    return said.map(({ stdout }, i) => {
      const [words = '', port = ''] = stdout.trim().split(' from ');
      assert.equal(words, clients()[i]?.name, stdout);
      return port;
    });
  }

  test('both speak L2TP, from port 1701 to port 1701, and no packet of it is in clear', async () => {
    const [one, two] = clients();
    const serverHost = hosts[1];
    assert.ok(one && two && serverHost);
    const witness = await TcpdumpWitness.on({ a: serverHost, b: two }, l2tpPackets);
    for (const [n, agent] of agents.slice(1).entries())
      await agent.tunnelUp({
        ...{ ...common, name: 'l2tp', local: `10.1.${n + 1}.2`, peer: l2tpServer, ...l2tpTraffic },
        lifetimeKilobytes: 100,
      });
    const ports = await l2tpPorts();
    const translated = ports.find(port => port !== `${l2tpPort}`);
    assert.deepEqual([...ports].sort(), [`${l2tpPort}`, translated], 'one has its own port');
    assert.match(translated ?? '', /^30\d{3}$/);
    const listed = await atServer.command('ipseckit', 'sa', 'list');
    const client = ports[0] === translated ? '10.1.1.2' : '10.1.2.2';
    assert.match(listed.stdout, new RegExp(`UDP ${client}:1701 appears as ${nat}:${translated}`));

    // More than their SAs may carry: they are renewed.
    const pairsBefore = await pairIds();
    assert.deepEqual(await l2tpPorts(150, 1000), ports, 'renewed');
    const renewed = (await pairIds()).filter(id => !pairsBefore.includes(id));
    assert.ok(renewed.length >= 2, `${pairsBefore}, then ${renewed}`);

    router.run('ip', 'link', 'set', 'outside', 'down');
    router.run('ip', 'link', 'set', 'outside', 'up');
    assert.deepEqual(await l2tpPorts(), ports, 'moved');

    // The translated one goes, and the other stays; what the server still says to it is not said in clear.
    const gone = agents[1 + ports.indexOf(translated ?? '')];
    assert.ok(gone);
    await gone.call('tunnelDown', { name: 'l2tp' });
    const clientGone = async () =>
      (await atServer.call('statistics', {})).driver.drops['client-gone'] > 0 || undefined;
    await waitFor('an answer to nobody', async () => {
      l2tpDaemon.stdin?.write('call them\n');
      await sleep(100);
      return clientGone();
    });
    const { secured, clear } = await witness.take(300);
    await witness.stop();
    assert.equal(clear, 0);
    assert.ok(secured > 300, `${secured}`);
  });

  const pairIds = async () =>
    (await atServer.call('associations', {})).quickModes
      .filter(({ pair }) => pair.local === l2tpServer)
      .map(({ pair }) => pair.id);
});
