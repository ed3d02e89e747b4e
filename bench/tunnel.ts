/** TCP through our own ESP tunnel: two agents, two network namespaces, the same set-up as `strongswan.ts`. */
import { throughput } from '../test/lab/traffic.js';
import { AgentOnHost } from '../test/support/agent-host.js';
import { createPair } from '../test/support/namespaces.js';
import { type BenchmarkedTransform, benchmarkedTransforms } from './strongswan.js';

/** TCP Mbit/s as received, by ESP transform. */
export async function measureOurs(
  options: { readonly seconds?: number; readonly encapsulate?: boolean } = {},
): Promise<Record<BenchmarkedTransform, number>> {
  const [left, right] = ['10.66.0.1', '10.66.0.2'];
  const hosts = await createPair({ prefix: 'bench', a: [`${left}/24`], b: [`${right}/24`] });
  const agents: AgentOnHost[] = [];
  try {
    for (const host of [hosts.a, hosts.b]) agents.push(await AgentOnHost.start(host));
    const [a, b] = agents;
    if (a === undefined || b === undefined) throw new Error('two agents were started');
    const figures = { '3des-sha1': 0, 'aes128-sha1': 0, aes128gcm16: 0 };
    for (const esp of benchmarkedTransforms) {
      const common = {
        name: 'bench',
        presharedKey: 'bench',
        ike: 'aes128-sha256-modp2048',
        esp,
        forceEncapsulation: options.encapsulate ?? true,
      };
      const net = (address: string) => [`${address}/32`];
      // Both ends ask at once: each finds the other's policy in place a moment later.
      await Promise.all([
        a.tunnelUp({
          ...common,
          local: left,
          peer: right,
          localNetworks: net(left),
          remoteNetworks: net(right),
        }),
        b.tunnelUp({
          ...common,
          local: right,
          peer: left,
          localNetworks: net(right),
          remoteNetworks: net(left),
        }),
      ]);
      figures[esp] = Math.round(await throughput(hosts.a, hosts.b, right, { seconds: options.seconds ?? 5 }));
      await a.call('tunnelDown', { name: 'bench' });
      await b.call('tunnelDown', { name: 'bench' });
    }
    return figures;
  } finally {
    for (const agent of agents) await agent.remove();
    await hosts.destroy();
  }
}
