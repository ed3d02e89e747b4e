/** Our agent against libreswan's pluto, on a machine whose kernel does ESP. */
import { after, before, describe } from 'node:test';
import { needsLibreswan } from '../lab/libreswan.js';
import { needs } from '../lab/needs.js';
import { bootUmlPair, type UmlPair } from '../lab/uml-host.js';
import { addInsides, insideNetworks, ourAddress, target, theirAddress } from './lab.js';
import { connectionTests } from './libreswan/connections.js';
import { type PlutoLab, startLab, stopLab } from './libreswan/lab.js';
import { lifeTests } from './libreswan/life.js';
import { phase1Tests, plutoCertificates } from './libreswan/phase1.js';
import { refusalTests } from './libreswan/refusals.js';

describe('libreswan', {
  skip: needs('linux.uml', 'nft', 'ping', 'tcpdump') || needsLibreswan(),
  concurrency: 1,
}, () => {
  let pair: UmlPair;
  let lab: PlutoLab;

  before(async () => {
    pair = await bootUmlPair({
      prefix: 'libreswan',
      ours: [`${ourAddress}/24`],
      theirs: [`${theirAddress}/24`],
      timeoutSeconds: 600,
    });
    addInsides(pair);
    // Its modules are loaded; looking for more takes longer than packets wait.
    pair.theirs.run('sh', '-c', 'echo > /proc/sys/kernel/modprobe');
    // pluto's scripts would do this, slowly.
    for (const network of [insideNetworks.ours, '10.3.0.0/24'])
      pair.theirs.run('ip', 'route', 'add', network, 'via', ourAddress, 'src', target('theirs', 'tunnel'));
    lab = await startLab(pair, plutoCertificates());
  });

  after(async () => {
    await stopLab(lab);
    await pair?.destroy();
  });

  for (const declare of [connectionTests, phase1Tests, refusalTests, lifeTests]) declare(() => lab);
});
