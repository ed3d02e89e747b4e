/** Two clients behind one NAT with one server at once, in transport mode; then their mappings move. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { parseTunnel } from '../../src/agent/tunnel.js';
import { tunnelSource } from '../../src/agent/tunnel-source.js';
import { policyToDocument } from '../../src/policy/document.js';
import { waitFor } from '../lab/command.js';
import { needs } from '../lab/needs.js';
import { ping } from '../lab/traffic.js';
import { AgentOnHost } from '../support/agent-host.js';
import { createHost, type Host, joinHosts } from '../support/namespaces.js';

const server = '198.51.100.1';
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
      { host: serverHost, device: 'eth0', addresses: [`${server}/24`] },
    );
    router.run('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
    router.run('nft', 'add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }');
    router.run('nft', 'add rule ip nat out oifname outside masquerade random');
    const child = serverHost.spawn(process.execPath, ['-e', echo], { stdio: ['ignore', 'pipe', 'inherit'] });
    if (child.stdout !== null) await once(child.stdout, 'data');
    atServer = await startAgent(serverHost);
    const answering = parseTunnel({
      format: 'ipseckit-tunnel',
      version: 1,
      ...common,
      local: server,
      peer: nat,
    });
    await atServer.call('addDynamic', { policy: policyToDocument(tunnelSource(answering).policy) });
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
});
