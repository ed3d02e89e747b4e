/** Resident memory of an agent with 1,000 pairs of SAs, beside the same agent before it had any. */
import { readFileSync } from 'node:fs';
import { parseTunnel } from '../src/agent/tunnel.js';
import { tunnelSource } from '../src/agent/tunnel-source.js';
import { policyToDocument } from '../src/policy/document.js';
import { AgentOnHost } from '../test/support/agent-host.js';
import { createPair } from '../test/support/namespaces.js';
import type { Figure } from './figure.js';

export const benchmarkedPairs = 1000;

export async function measureMemory(pairs = benchmarkedPairs): Promise<Figure> {
  const [left, right] = ['10.66.0.1', '10.66.0.2'];
  const hosts = await createPair({ prefix: 'bench', a: [`${left}/24`], b: [`${right}/24`] });
  const agents: AgentOnHost[] = [];
  try {
    for (const host of [hosts.a, hosts.b]) agents.push(await AgentOnHost.start(host));
    const [a, b] = agents;
    if (a === undefined || b === undefined) throw new Error('two agents were started');
    const before = residentMegabytes(a.processId);
    const networks = Array.from({ length: pairs }, (_, i) => `10.${128 + (i >> 8)}.${i & 0xff}.0/24`);
    const common = {
      name: 'bench',
      presharedKey: 'bench',
      ike: 'aes128-sha256-modp2048',
      esp: 'aes128-sha256',
    };
    // The other side only answers: with both asking, twice the pairs would come up.
    const answering = parseTunnel({
      ...{ format: 'ipseckit-tunnel', version: 1, local: right, peer: left },
      ...{ ...common, localNetworks: networks, remoteNetworks: [`${left}/32`] },
    });
    await b.call('addDynamic', { policy: policyToDocument(tunnelSource(answering).policy) });
    await a.tunnelUp(
      { ...common, local: left, peer: right, localNetworks: [`${left}/32`], remoteNetworks: networks },
      120_000,
    );
    const { quickModes } = await a.call('associations', {});
    if (quickModes.length < pairs) throw new Error(`only ${quickModes.length} of ${pairs} pairs came up`);
    return {
      figure: `agent-memory-${pairs}-pairs`,
      unit: 'MB',
      value: residentMegabytes(a.processId),
      peer: { name: 'the same agent without SAs', value: before },
    };
  } finally {
    for (const agent of agents) await agent.remove();
    await hosts.destroy();
  }
}

function residentMegabytes(processId: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${processId}/status`, 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}
