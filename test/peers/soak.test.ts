/** A real agent that brings tunnels up and down all day holds no more descriptors, memory or kernel state than at first. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { parseTunnel } from '../../src/agent/tunnel.js';
import { tunnelSource } from '../../src/agent/tunnel-source.js';
import { policyToDocument } from '../../src/policy/document.js';
import { waitFor } from '../lab/command.js';
import { needs } from '../lab/needs.js';
import { AgentOnHost } from '../support/agent-host.js';
import { createPair, type Host, type HostPair } from '../support/namespaces.js';

const [left, right] = ['10.66.0.1', '10.66.0.2'];
const cycles = 60;
/** From here on the figures are compared. */
const warm = 20;

describe('tunnels up and down', { skip: needs('nft') }, () => {
  let hosts: HostPair;
  const agents: AgentOnHost[] = [];

  before(async () => {
    hosts = await createPair({ prefix: 'soak', a: [`${left}/24`], b: [`${right}/24`] });
    for (const host of [hosts.a, hosts.b]) agents.push(await AgentOnHost.start(host));
  });

  after(async () => {
    for (const agent of agents) await agent.remove();
    await hosts.destroy();
  });

  test(`${cycles} times`, async () => {
    const [a, b] = agents;
    assert.ok(a && b);
    const tunnel = { presharedKey: 'soak', ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };
    // The other side only answers.
    const answering = parseTunnel({
      ...{ format: 'ipseckit-tunnel', version: 1, name: 'soak', local: right, peer: left },
      ...tunnel,
    });
    await b.call('addDynamic', { policy: policyToDocument(tunnelSource(answering).policy) });
    const figures: Held[][] = [];
    for (let cycle = 1; cycle <= cycles; cycle++) {
      await a.tunnelUp({ ...tunnel, name: 'soak', local: left, peer: right });
      await a.call('tunnelDown', { name: 'soak' });
      if (cycle === warm || cycle === cycles) figures.push([held(a, hosts.a), held(b, hosts.b)]);
    }
    const [first = [], last = []] = figures;
    console.log(JSON.stringify(first), JSON.stringify(last));
    for (const [index, now] of last.entries()) {
      const then = first[index];
      assert.ok(then);
      const { megabytes, descriptors, ...counted } = now;
      const { megabytes: before, descriptors: open, ...expected } = then;
      assert.deepEqual(counted, expected);
      // Some come and go all the time; one left behind by every cycle would be many.
      assert.ok(descriptors < open + (cycles - warm) / 4, `${descriptors} descriptors, were ${open}`);
      assert.ok(megabytes < before + 25, `${megabytes} MB, were ${before} MB`);
    }
    // The Delete of the last one is still on its way.
    for (const agent of agents)
      await waitFor('nothing to be left', async () =>
        Object.values(await remaining(agent)).every(n => n === 0),
      );
  });
});

async function remaining(agent: AgentOnHost) {
  const { mainModes, quickModes, pairs } = await agent.call('associations', {});
  return { mainModes: mainModes.length, quickModes: quickModes.length, pairs: pairs.length };
}

interface Held {
  readonly megabytes: number;
  readonly descriptors: number;
  /** Lines of what the kernel lists. */
  readonly nftables: number;
  readonly routes: number;
  readonly routingRules: number;
}

function held({ processId }: AgentOnHost, host: Host): Held {
  const lines = (...[command = '', ...args]: readonly string[]) =>
    host.run(command, ...args).split('\n').length;
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${processId}/status`, 'utf8'))?.[1];
  return {
    megabytes: Math.round(Number(kilobytes) / 1024),
    descriptors: readdirSync(`/proc/${processId}/fd`).length,
    nftables: lines('nft', 'list', 'ruleset'),
    routes: lines('ip', 'route', 'show', 'table', 'all'),
    routingRules: lines('ip', 'rule'),
  };
}
