/**
 * `npm run bench [NAME…]`: one JSON line a figure, each beside its peer measured in the same run. What is measured at
 * the moment goes to stderr.
 */
import { measureDatapath, measureFilterLookup } from './datapath.js';
import { type Figure, printFigure } from './figure.js';
import { measureIke } from './ike.js';
import { measureMemory } from './memory.js';
import { measurePolicy } from './policy.js';
import { measurePolicyFile } from './policy-file.js';
import { measureStartup } from './startup.js';
import { benchmarkedTransforms, measureStrongswan } from './strongswan.js';
import { measureOurs } from './tunnel.js';

const benchmarks: Readonly<Record<string, () => readonly Figure[] | Promise<readonly Figure[]>>> = {
  startup: () => [measureStartup()],
  policy: () => measurePolicy(),
  'policy-file': () => [measurePolicyFile()],
  ike: () => measureIke(),
  tcp: async () => {
    const theirs = await measureStrongswan();
    const ours = await measureOurs();
    return benchmarkedTransforms.map(transform => ({
      figure: `tcp-${transform}`,
      unit: 'Mbit/s',
      value: ours[transform],
      peer: { name: 'strongSwan user-space ESP', value: theirs[transform] },
    }));
  },
  datapath: () => measureDatapath(),
  filters: () => measureFilterLookup(),
  memory: async () => [await measureMemory()],
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter(name => benchmarks[name] === undefined);
if (unknown.length > 0) {
  console.error(
    `error: no benchmark named ${unknown.join(', ')}; there are ${Object.keys(benchmarks).join(', ')}`,
  );
  process.exit(1);
}
for (const [name, measure] of Object.entries(benchmarks)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.error(`measuring ${name} …`);
  for (const figure of await measure()) printFigure(figure);
}
