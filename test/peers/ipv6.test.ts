/** Two agents that negotiate and secure IPv6 between two hosts: the whole way from a policy line to protected packets. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ping, transfer } from '../lab/traffic.js';
import { AgentOnHost } from '../support/agent-host.js';
import {
  driverSuiteSkip,
  one,
  one6,
  oneInside,
  oneInside6,
  other,
  other6,
  otherInside,
  otherInside6,
  Witness,
} from '../support/driver-suite.js';
import { createPair, type HostPair } from '../support/namespaces.js';

const skip = driverSuiteSkip();

/** Connections between the hosts, and the addresses between which their traffic goes. */
const connections = [
  { name: 'transport', ends: [one6, other6], traffic: [one6, other6] },
  { name: 'six-in-six', ends: [one6, other6], traffic: [oneInside6, otherInside6] },
  { name: 'four-in-six', ends: [one6, other6], traffic: [oneInside, otherInside] },
  { name: 'six-in-four', ends: [one, other], traffic: [oneInside6, otherInside6] },
] as const;

describe('IPv6 between two agents', { skip, timeout: 240_000 }, () => {
  let hosts: HostPair;
  let witness: Witness;
  let a: AgentOnHost;
  let b: AgentOnHost;

  before(async () => {
    hosts = await createPair({
      prefix: 'six',
      a: [`${one}/24`, `${one6}/64`],
      b: [`${other}/24`, `${other6}/64`],
    });
    for (const [host, ...inside] of [
      [hosts.a, oneInside, oneInside6],
      [hosts.b, otherInside, otherInside6],
    ] as const)
      for (const address of inside) host.run('ip', 'address', 'add', address, 'dev', 'lo');
    witness = new Witness(hosts.b);
    a = await AgentOnHost.start(hosts.a);
    b = await AgentOnHost.start(hosts.b);
  });

  after(async () => {
    await a?.remove();
    await b?.remove();
    await hosts?.destroy();
  });

  for (const { name, ends, traffic } of connections) {
    test(`${name}: negotiated from a persistent tunnel, ping and TCP both ways, nothing in clear`, async () => {
      const [near, far] = traffic;
      const networks = (from: string, to: string) =>
        name === 'transport' ? {} : { localNetworks: [from], remoteNetworks: [to] };
      const common = { name, presharedKey: 'a key for six', esp: 'aes128-sha1' };
      // The other side's rules first, by hand: its own attempt need not win.
      const there = b.tunnelUp({ ...common, local: ends[1], peer: ends[0], ...networks(far, near) });
      const up = await a.tunnelUp({ ...common, local: ends[0], peer: ends[1], ...networks(near, far) });
      assert.equal(up.state, 'up');
      await there;
      witness.take();
      assert.equal((await ping(hosts.a, far, { count: 3, intervalSeconds: 0.05 })).received, 3);
      await transfer(hosts.a, hosts.b, far, { bytes: 100_000 });
      await transfer(hosts.b, hosts.a, near, { bytes: 100_000 });
      const seen = witness.take();
      assert.equal(seen.clear, 0);
      assert.ok(seen.secured > 50, `${seen.secured} secured packets`);
      for (const agent of [a, b]) await agent.call('tunnelDown', { name });
    });
  }

  test('`ipsecpol` rules for "me" and "any" secure IPv6 too; netdiag and explain say so', async () => {
    for (const [agent, peer] of [
      [a, other6],
      [b, one6],
    ] as const) {
      const line = ['-f', `0+<${peer}>`, '-n', 'AH[SHA]', '-a', 'PRESHARE:another'];
      const { status, stderr } = await agent.command('ipsecpol', ...line);
      assert.equal(status, 0, stderr);
    }
    assert.equal((await ping(hosts.a, other6, { count: 2, intervalSeconds: 0.05 })).received, 2);
    const { stdout } = await a.command('netdiag', '/test:ipsec', '/debug');
    assert.match(stdout, new RegExp(`Dest Addr : ${other6}`));
    assert.match(stdout, new RegExp(`${one6} - ${other6}`));
    const listed = (await a.command('ipseckit', 'sa', 'list')).stdout;
    assert.match(listed, new RegExp(other6));
  });

  test('an agent that is killed lets nothing out in clear, and the next one cleans up', async () => {
    await a.stop('SIGKILL');
    witness.take();
    assert.equal((await ping(hosts.a, other6, { count: 2, intervalSeconds: 0.05 })).received, 0);
    assert.equal(witness.take().clear, 0);
    await a.restart();
    await a.stop();
    assert.doesNotMatch(hosts.a.run('ip', '-6', 'rule'), /5005[12]/);
    assert.equal(hosts.a.run('ip', '-6', 'route', 'show', 'table', 'all').includes('5005'), false);
  });
});
