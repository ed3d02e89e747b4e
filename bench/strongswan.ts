/**
 * The yardstick for our data path: TCP through an ESP tunnel between two strongSwan daemons that do ESP in user space,
 * between two network namespaces of this machine. Run alone, it prints its figures.
 */
import { pathToFileURL } from 'node:url';
import { Charon } from '../test/lab/strongswan.js';
import { throughput } from '../test/lab/traffic.js';
import { createPair } from '../test/support/namespaces.js';

export const benchmarkedTransforms = ['3des-sha1', 'aes128-sha1', 'aes128gcm16'] as const;
export type BenchmarkedTransform = (typeof benchmarkedTransforms)[number];

/** TCP Mbit/s as received, by ESP transform. */
export async function measureStrongswan(
  options: { readonly seconds?: number } = {},
): Promise<Record<BenchmarkedTransform, number>> {
  const [left, right] = ['10.66.0.1', '10.66.0.2'];
  const hosts = await createPair({ prefix: 'bench', a: [`${left}/24`], b: [`${right}/24`] });
  const daemons: Charon[] = [];
  try {
    for (const host of [hosts.a, hosts.b]) {
      daemons.push(await Charon.start({ host, esp: 'kernel-libipsec' }));
    }
    const [a, b] = daemons;
    if (a === undefined || b === undefined) throw new Error('two daemons were started');
    const figures = { '3des-sha1': 0, 'aes128-sha1': 0, aes128gcm16: 0 };
    for (const esp of benchmarkedTransforms) {
      const common = {
        name: 'bench',
        psk: 'bench',
        mode: 'tunnel' as const,
        encapsulate: true,
        ike: ['aes128-sha256-modp2048'],
        esp: [esp],
      };
      await a.load({ ...common, local: left, remote: right });
      await b.load({ ...common, local: right, remote: left });
      await a.initiate('bench');
      const seconds = options.seconds ?? 5;
      figures[esp] = Math.round(await throughput(hosts.a, hosts.b, right, { seconds }));
      await a.terminate({ ike: 'bench' });
    }
    return figures;
  } finally {
    for (const daemon of daemons) await daemon.stop();
    await hosts.destroy();
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const [transform, megabits] of Object.entries(await measureStrongswan())) {
    console.log(
      JSON.stringify({
        figure: `tcp-${transform}`,
        peer: 'strongSwan user-space',
        unit: 'Mbit/s',
        value: megabits,
      }),
    );
  }
}
