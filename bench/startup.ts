/** How long `ipsecpol` takes to start, beside `node -e 0`, in turn. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { type Figure, median } from './figure.js';

const rounds = 9;

function wallMs(args: readonly string[]): number {
  const startedMs = performance.now();
  spawnSync(process.execPath, args, { stdio: 'ignore' });
  return performance.now() - startedMs;
}

export function measureStartup(): Figure {
  const ipsecpol: number[] = [];
  const node: number[] = [];
  for (let round = 0; round < rounds; round++) {
    ipsecpol.push(wallMs([resolve('bin/ipsecpol.js'), '-?']));
    node.push(wallMs(['-e', '0']));
  }
  return {
    figure: 'ipsecpol-startup',
    unit: 'ms',
    value: median(ipsecpol),
    peer: { name: 'node -e 0', value: median(node) },
  };
}
