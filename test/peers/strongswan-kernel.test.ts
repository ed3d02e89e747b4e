/** Our agent against a Linux kernel's own ESP and AH, keyed by strongSwan or by hand, on a machine of its own. */
import { after, before, describe } from 'node:test';
import { needs } from '../lab/needs.js';
import { bootUmlPair, type UmlPair } from '../lab/uml-host.js';
import { clientsBehindNatTests } from './kernel/clients-behind-nat.js';
import { connectionTests } from './kernel/connections.js';
import { engineTests } from './kernel/engines.js';
import { ipsecpolTests } from './kernel/ipsecpol.js';
import { ipv6ConnectionTests } from './kernel/ipv6-connections.js';
import { keysByHandTests } from './kernel/keys-by-hand.js';
import { rekeyTests } from './kernel/rekey.js';
import { restartTests } from './kernel/restart.js';
import { addInsides, ourAddress, ourAddress6, type PeerHosts, theirAddress, theirAddress6 } from './lab.js';

const skip = needs('linux.uml', 'charon', 'nft', 'ping', 'tcpdump');

/** Tests on a machine of their own. */
function onMachine(prefix: string, tests: readonly ((hosts: () => PeerHosts) => void)[]): void {
  // Said again, because suites inherit it.
  describe(`machine ${prefix}`, { concurrency: 1 }, () => {
    let pair: UmlPair;

    before(async () => {
      pair = await bootUmlPair({
        prefix,
        ours: [`${ourAddress}/24`, `${ourAddress6}/64`],
        theirs: [`${theirAddress}/24`, `${theirAddress6}/64`],
        timeoutSeconds: 900,
      });
      addInsides(pair);
    });

    after(() => pair?.destroy());

    for (const declare of tests) declare(() => pair);
  });
}

// Side by side: the second one mostly waits.
describe('a Linux kernel with strongSwan', { skip, concurrency: 2 }, () => {
  onMachine('kernel', [
    keysByHandTests,
    engineTests,
    connectionTests,
    ipv6ConnectionTests,
    ipsecpolTests,
    rekeyTests,
  ]);
  onMachine('restart', [restartTests, clientsBehindNatTests]);
});
