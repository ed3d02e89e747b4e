/** How long `ipsecpol -file` takes for a script of 10,000 rules, in seconds. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Figure, median } from './figure.js';

const lines = 10_000;
const rounds = 3;

export function measurePolicyFile(): Figure {
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-bench-'));
  try {
    const script = join(folder, 'rules.txt');
    writeFileSync(script, Array.from({ length: lines }, (_, i) => `${ruleLine(i)}\n`).join(''));
    const seconds = Array.from({ length: rounds }, (_, round) => {
      const startedMs = performance.now();
      const { status, stderr } = spawnSync(process.execPath, [resolve('bin/ipsecpol.js'), '-file', script], {
        encoding: 'utf8',
        env: { ...process.env, IPSECKIT_HOME: join(folder, `home-${round}`) },
      });
      if (status !== 0) throw new Error(`ipsecpol -file failed: ${stderr}`);
      return (performance.now() - startedMs) / 1000;
    });
    return { figure: `ipsecpol-file-${lines}`, unit: 's', value: median(seconds) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function ruleLine(i: number): string {
  const peer = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
  return `ipsecpol -w REG -p Large -r "rule ${i}" -f 0+${peer}:${1 + (i % 60_000)}:TCP -n ESP[3DES,SHA] AH[SHA] -a PRESHARE:"key of ${i}"`;
}
