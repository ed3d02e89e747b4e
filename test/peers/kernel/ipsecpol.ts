/** The old command lines, end to end: a policy from `ipsecpol` secures traffic with strongSwan, `netdiag` shows it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../../lab/command.js';
import { ping, transfer } from '../../lab/traffic.js';
import {
  configureTheirs,
  type PeerHosts,
  type PeerLab,
  psk,
  startLab,
  stopLab,
  theirAddress,
  withLogs,
} from '../lab.js';

const policyName = 'Lab';

export function ipsecpolTests(hosts: () => PeerHosts): void {
  describe('ipsecpol and netdiag', () => {
    let lab: PeerLab;

    before(async () => {
      lab = await startLab(hosts(), { esp: 'kernel-netlink' });
    });

    after(() => stopLab(lab));

    test('a policy is assigned, secures, is shown, and is gone when it is unassigned', () =>
      withLogs(lab, async () => {
        const { ours, theirs, charon } = lab;
        await configureTheirs(lab, 'transport', { ike: '3des-sha1-modp1024', esp: '3des-sha1' });
        await command(lab, 'ipsecpol', [
          ...['-w', 'REG', '-p', policyName, '-r', 'Secure the peer', '-f', `0+${theirAddress}`],
          ...['-n', 'ESP[3DES,SHA]', '-1s', '3DES-SHA-2', '-a', `PRESHARE:"${psk}"`, '-x'],
        ]);
        await ping(ours, theirAddress, { count: 1 });
        const child = await waitFor("strongSwan's SAs", async () => (await charon.installedChildren())[0]);
        assert.equal(child.encryption, '3DES_CBC');
        await transfer(ours, theirs, theirAddress, { bytes: 200_000 });

        const shown = await command(lab, 'netdiag', ['/test:ipsec', '/v', '/debug']);
        assert.match(shown, /IP Security test[ .]*: Passed/);
        assert.match(shown, /Local IPSec Policy Active: 'Lab'/);
        // Our inbound SA is strongSwan's outbound one.
        assert.match(shown, new RegExp(`Inbound SPI ${child.spiOut} .* Outbound SPI ${child.spiIn} `));
        assert.equal(shown.includes(psk), false, 'the key is not shown');

        await command(lab, 'ipsecpol', ['-w', 'REG', '-p', policyName, '-y']);
        await waitFor('strongSwan to forget', async () => (await charon.listSas()).length === 0);
        await command(lab, 'ipsecpol', ['-w', 'REG', '-p', policyName, '-o']);
      }));
  });
}

async function command(
  { agent }: PeerLab,
  program: 'ipsecpol' | 'netdiag',
  args: readonly string[],
): Promise<string> {
  const { status, stdout, stderr } = await agent.command(program, ...args);
  assert.equal(status, 0, `${program}: ${stdout}${stderr}`);
  return stdout;
}
