/** What rules mean for real traffic between two hosts, beyond securing it: falling back to clear, accepting clear packets. */
import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../lab/command.js';
import { ping } from '../lab/traffic.js';
import { AgentOnHost } from '../support/agent-host.js';
import { driverSuiteSkip, one, other, Witness } from '../support/driver-suite.js';
import { createPair, type HostPair, joinHosts } from '../support/namespaces.js';

const skip = driverSuiteSkip();

describe('what rules mean', { skip, timeout: 400_000 }, () => {
  let hosts: HostPair;
  let witness: Witness;
  const agents: AgentOnHost[] = [];

  before(() => {
    assert.ok(skip === false);
  });

  afterEach(async () => {
    for (const agent of agents.splice(0)) await agent.remove();
    await hosts?.destroy();
  });

  /** Two hosts on a cable, and what arrives at the second one. */
  async function cable(): Promise<void> {
    hosts = await createPair({ prefix: 'rule', a: [`${one}/24`], b: [`${other}/24`] });
    witness = new Witness(hosts.b);
  }

  async function agentOn(host: HostPair['a'], args: readonly string[] = []): Promise<AgentOnHost> {
    const agent = await AgentOnHost.start(host, { args });
    agents.push(agent);
    return agent;
  }

  /** Adds dynamic rules, one line of `ipsecpol` each. */
  async function ipsecpol(agent: AgentOnHost, ...lines: readonly string[]): Promise<void> {
    for (const line of lines) {
      const { status, stdout, stderr } = await agent.command('ipsecpol', ...line.split(' '));
      assert.equal(status, 0, `${line}: ${stdout}${stderr}`);
    }
  }

  const secured = `-f ${one}+${other} -n ESP[3DES,SHA] -a PRESHARE:secret`;

  test('a host without IPsec is reached in clear after three seconds, where the rule allows it', async () => {
    await cable();
    const agent = await agentOn(hosts.a);
    await ipsecpol(agent, `${secured} -soft`);
    assert.deepEqual(await ping(hosts.b, one, { count: 2 }), { sent: 2, received: 0 }, 'not before');
    const startedAtMs = Date.now();
    assert.equal((await ping(hosts.a, other, { count: 1 })).received, 1, 'the first waits, and is not lost');
    assert.ok(Date.now() - startedAtMs > 2_900);
    await waitFor('a soft SA', async () => {
      const { softAssociations } = await agent.call('associations', {});
      return softAssociations.length === 1;
    });
    assert.deepEqual(await ping(hosts.a, other, { count: 5 }), { sent: 5, received: 5 });
    assert.deepEqual(await ping(hosts.b, one, { count: 5 }), { sent: 5, received: 5 });
    assert.deepEqual(await ping(hosts.a, other, { count: 2, bytes: 4_000 }), { sent: 2, received: 2 });
    assert.equal(witness.take().secured, 0);
    const [soft] = (await agent.call('associations', {})).softAssociations;
    assert.deepEqual([soft?.local, soft?.peer], [one, other]);
    assert.equal((await agent.call('statistics', {})).ike.softAssociations, 1);
    const events = (await agent.command('ipseckit', 'events', '--id', '541')).stdout;
    assert.match(events, /does not answer IKE, so its traffic passes in clear \(soft SA\)/);
    const listed = (await agent.command('ipseckit', 'sa', 'list')).stdout;
    assert.match(listed, /There are 1 soft SAs: their traffic passes in clear/);
    assert.match((await agent.command('netdiag', '/test:ipsec', '/debug')).stdout, /There are 1 soft SAs/);

    // Filters put in force anew keep the way in open.
    await ipsecpol(agent, `-f ${one}+10.66.0.77 -n BLOCK`);
    assert.deepEqual(await ping(hosts.b, one, { count: 2 }), { sent: 2, received: 2 });

    // The other host learns IPsec, and starts.
    const peer = await agentOn(hosts.b);
    await ipsecpol(peer, `-f ${other}+${one} -n ESP[3DES,SHA] -a PRESHARE:secret`);
    await ping(hosts.b, one, { count: 1 });
    await waitFor('hard SAs', async () => {
      const { softAssociations, quickModes } = await agent.call('associations', {});
      return softAssociations.length === 0 && quickModes.length > 0;
    });
    witness.take();
    assert.deepEqual(await ping(hosts.a, other, { count: 3 }), { sent: 3, received: 3 });
    const { secured: protectedPackets, clear } = witness.take();
    assert.deepEqual([protectedPackets, clear], [3, 0]);
  });

  test('a host that refuses is not reached in clear', async () => {
    await cable();
    hosts.b.run(
      'nft',
      'table inet pings { counter seen { }; chain in { type filter hook prerouting priority raw; meta l4proto icmp counter name seen; }; }',
    );
    const agent = await agentOn(hosts.a);
    const peer = await agentOn(hosts.b);
    await ipsecpol(agent, `${secured} -soft`);
    await ipsecpol(peer, `-f ${other}+10.66.0.99 -n ESP[3DES,SHA] -a PRESHARE:other`);
    assert.equal((await ping(hosts.a, other, { count: 2 })).received, 0);
    await sleep(4_000);
    assert.equal((await ping(hosts.a, other, { count: 2 })).received, 0);
    assert.deepEqual((await agent.call('associations', {})).softAssociations, []);
    assert.match(hosts.b.run('nft', 'list', 'counter', 'inet', 'pings', 'seen'), /packets 0 /);
  });

  test('INPASS lets a clear packet in, and the answer negotiates', async () => {
    await cable();
    const server = await agentOn(hosts.a);
    await ipsecpol(server, `-f ${one}+${other} -n INPASS ESP[3DES,SHA] -a PRESHARE:secret`);
    // The client would only respond: what it sends first is in clear.
    const client = await agentOn(hosts.b);
    await ipsecpol(client, `-f ${other}+${one}::TCP -n ESP[3DES,SHA] -a PRESHARE:secret`);
    assert.equal((await ping(hosts.b, one, { count: 1 })).received, 0);
    const mainModes = (await server.call('associations', {})).mainModes;
    assert.equal(mainModes.length, 1, 'the answer to the ping met the filter');
    assert.equal(mainModes[0]?.role, 'initiator');
    // With a policy for it, the same packet is answered, secured.
    await client.call('clearDynamic', {});
    await ipsecpol(client, `-f ${other}+${one} -n ESP[3DES,SHA] -a PRESHARE:secret`);
    await ping(hosts.b, one, { count: 1 });
    await waitFor('SAs', async () => (await server.call('associations', {})).quickModes.length === 1);
    witness.take();
    assert.deepEqual(await ping(hosts.b, one, { count: 3 }), { sent: 3, received: 3 });
    assert.equal(witness.take().clear, 0);
  });

  /** Whether a TCP connection from the first host to a port of the second comes about. */
  async function connects(port: number): Promise<boolean> {
    const script = `exec 3<>/dev/tcp/${other}/${port}`;
    return (await hosts.a.execute('timeout', ['2', 'bash', '-c', script])).status === 0;
  }

  async function listen(...ports: readonly number[]): Promise<void> {
    const program = `for (const port of [${ports}]) require('node:net').createServer().listen(port, '0.0.0.0')`;
    const server = hosts.b.spawn(process.execPath, ['-e', program]);
    server.on('exit', () => {});
    await waitFor('the servers', () => ports.every(port => hosts.b.run('ss', '-Hltn').includes(`:${port} `)));
  }

  test('Kerberos passes a rule that blocks all, until NoDefaultExempt says otherwise', async () => {
    await cable();
    await listen(88, 89);
    const lenient = await agentOn(hosts.a);
    await ipsecpol(lenient, '-f 0+* -n BLOCK');
    assert.deepEqual([await connects(88), await connects(89)], [true, false]);
    assert.equal((await lenient.call('status', {})).noDefaultExempt, 0);
    await lenient.stop();

    const strict = await agentOn(hosts.a, ['--no-default-exempt', '3']);
    await ipsecpol(strict, '-f 0+* -n BLOCK');
    assert.deepEqual([await connects(88), await connects(89)], [false, false]);
    const status = (await strict.command('ipseckit', 'agent', 'status')).stdout;
    assert.match(status, /NoDefaultExempt 3: IKE \(UDP 500 and 4500\) pass all filters/);
    const debug = (await strict.command('netdiag', '/test:ipsec', '/debug')).stdout;
    assert.match(debug, /Default exemptions: NoDefaultExempt 3: IKE/);
    await strict.stop();
  });

  test('a rule for dial-up adapters leaves the LAN alone, and the other way round', async () => {
    await cable();
    const [ourEnd, theirEnd] = ['10.67.0.1', '10.67.0.2'];
    // To the agent, the name makes it a modem.
    joinHosts(
      { host: hosts.a, device: 'ppp0', addresses: [`${ourEnd}/24`] },
      { host: hosts.b, device: 'modem', addresses: [`${theirEnd}/24`] },
    );
    const agent = await agentOn(hosts.a);
    const passes = async () => [
      (await ping(hosts.a, other, { count: 1 })).received,
      (await ping(hosts.a, theirEnd, { count: 1 })).received,
      (await ping(hosts.b, one, { count: 1 })).received,
      (await ping(hosts.b, ourEnd, { count: 1 })).received,
    ];
    assert.deepEqual(await passes(), [1, 1, 1, 1]);
    // Neither end is "me": the adapter alone decides.
    await ipsecpol(agent, '-f 10.0.0.0/255.0.0.0+10.0.0.0/255.0.0.0 -dialup -n BLOCK');
    assert.deepEqual(await passes(), [1, 0, 1, 0]);
    await agent.call('clearDynamic', {});
    await ipsecpol(agent, '-f 10.0.0.0/255.0.0.0+10.0.0.0/255.0.0.0 -lan -n BLOCK');
    assert.deepEqual(await passes(), [0, 1, 0, 1]);
    await agent.call('clearDynamic', {});
    await ipsecpol(agent, '-f 0+* -dialup -n BLOCK');
    assert.deepEqual(await passes(), [1, 0, 1, 0]);
  });

  test('IPv6 is blocked, permitted and secured like IPv4, apart from the traffic of one link', async () => {
    await cable();
    const [ourEnd, theirEnd] = ['2001:db8:66::1', '2001:db8:66::2'];
    for (const [host, address] of [
      [hosts.a, ourEnd],
      [hosts.b, theirEnd],
    ] as const)
      host.run('ip', 'address', 'add', `${address}/64`, 'dev', 'eth0', 'nodad');
    const agent = await agentOn(hosts.a);
    const passes = async () => [
      (await ping(hosts.a, theirEnd, { count: 1 })).received,
      (await ping(hosts.b, ourEnd, { count: 1 })).received,
      (await ping(hosts.a, other, { count: 1 })).received,
    ];
    assert.deepEqual(await passes(), [1, 1, 1]);
    await ipsecpol(agent, '-f 0+* -n BLOCK');
    assert.deepEqual(await passes(), [0, 0, 0]);
    await ipsecpol(agent, '-f 0+*::58 -n PASS');
    assert.deepEqual(await passes(), [1, 1, 0]);
    await agent.call('clearDynamic', {});
    await ipsecpol(agent, `-f [0+<${theirEnd}>] -n PASS`);
    assert.deepEqual(await passes(), [0, 0, 1]);
    const refused = await agent.command('ipsecpol', '-f', '0+<fe80::1>', '-a', 'PRESHARE:secret');
    assert.match(refused.stderr, /link-local addresses \(fe80::\/10\) mean nothing without an adapter/);
    assert.equal(refused.status, 12);
    await agent.call('clearDynamic', {});
    await ipsecpol(agent, `-f 0+${other} -n ESP[3DES,SHA] -a PRESHARE:secret`, '-f 0+* -a PRESHARE:secret');
    assert.deepEqual(await passes(), [0, 0, 0]);
    const [linkLocal] = /fe80::\S+/.exec(hosts.b.run('ip', '-6', 'address', 'show', 'dev', 'eth0')) ?? [];
    assert.ok(linkLocal !== undefined);
    assert.equal((await ping(hosts.a, `${linkLocal.replace(/\/.*/, '')}%eth0`, { count: 1 })).received, 1);
  });
});
