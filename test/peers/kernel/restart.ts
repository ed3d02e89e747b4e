/** A peer that crashes and forgets everything, and we that do: traffic recovers by itself. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../../lab/command.js';
import { ping, pingSteadily } from '../../lab/traffic.js';

import { AgentOnHost } from '../../support/agent-host.js';
import {
  configureTheirs,
  ourAddress,
  ourConnection,
  type PeerHosts,
  type PeerLab,
  startLab,
  stopLab,
  theirAddress,
  withLogs,
} from '../lab.js';
import { auditEvents, secure } from '../secure.js';
import { flushXfrm } from './xfrm.js';

const suite = { ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };
const three = { count: 3, intervalSeconds: 0.05 };
const all = { sent: 3, received: 3 };

export function restartTests(hosts: () => PeerHosts): void {
  describe('restarts', () => {
    let lab: PeerLab;

    before(async () => {
      lab = await startLab(hosts(), { esp: 'kernel-netlink' });
    });

    after(() => stopLab(lab));

    test('strongSwan has lost everything and calls: INITIAL-CONTACT ends what is old', () =>
      withLogs(lab, async () => {
        await connect(lab);
        await crash(lab);
        await lab.charon.initiate('peer');
        const child = await waitFor(
          "strongSwan's SAs",
          async () => (await lab.charon.installedChildren())[0],
        );
        await waitFor('one pair', async () => {
          const { quickModes } = await lab.agent.call('associations', {});
          return quickModes.length === 1 && quickModes[0]?.inbound[0]?.spi === child.spiOut;
        });
        assert.equal((await lab.agent.call('associations', {})).mainModes.length, 1);
        assert.match(lastEnd(lab), /INITIAL-CONTACT/);
        await pingBothWays(lab);
        await disconnect(lab);
      }));

    test('we have lost everything and have traffic: strongSwan forgets what is old', () =>
      withLogs(lab, async () => {
        await connect(lab);
        await lab.agent.stop('SIGKILL');
        await lab.agent.remove();
        lab = { ...lab, agent: await AgentOnHost.start(lab.ours, { args: ['--verbose'] }) };
        await secure(lab.agent, ourConnection('transport', suite));
        assert.deepEqual(await ping(lab.ours, theirAddress, three), all);
        await waitFor('one connection', async () => (await lab.charon.listSas()).length === 1);
        assert.equal((await lab.charon.installedChildren()).length, 1);
        await pingBothWays(lab);
        await disconnect(lab);
      }));

    test('strongSwan has lost everything and only we have traffic: dead peer detection ends what is old', () =>
      withLogs(lab, async () => {
        await connect(lab);
        await crash(lab);
        const probesBefore = probes(lab);
        // One packet every two seconds into the void.
        const stream = pingSteadily(lab.ours, theirAddress, { count: 50, intervalSeconds: 2 });
        const isOver = () => /dead peer/.test(lastEnd(lab));
        await waitFor('the end of the old pair', isOver, 110);
        // Thirty seconds of silence, then a question every ten seconds.
        assert.equal(probes(lab) - probesBefore, 5);
        await waitFor('a new pair', async () => (await lab.charon.installedChildren())[0]);
        await pingBothWays(lab);
        const { sent, received } = await stream;
        assert.ok(received >= 3 && received <= sent - 20, `${received} of ${sent}`);
        await disconnect(lab);
      }));
  });
}

async function connect(lab: PeerLab): Promise<void> {
  await configureTheirs(lab, 'transport', suite);
  await secure(lab.agent, ourConnection('transport', suite));
  await ping(lab.ours, theirAddress, { count: 1 });
  await waitFor("strongSwan's SAs", async () => (await lab.charon.installedChildren())[0]);
  await pingBothWays(lab);
}

/** As when the whole machine lost its power: its kernel's SAs are gone too. */
async function crash(lab: PeerLab): Promise<void> {
  await lab.charon.kill();
  flushXfrm(lab.theirs);
  await lab.charon.restart();
  await configureTheirs(lab, 'transport', suite);
}

async function pingBothWays({ ours, theirs }: PeerLab): Promise<void> {
  assert.deepEqual(await ping(ours, theirAddress, three), all);
  assert.deepEqual(await ping(theirs, ourAddress, three), all);
}

/** Why the last pair ended. */
function lastEnd({ agent }: PeerLab): string {
  return auditEvents(agent).reduce((reason, event) => (event.id === 542 ? event.reason : reason), '');
}

const probes = ({ agent }: PeerLab) => agent.log.split('NOTIFY(R-U-THERE)').length - 1;

async function disconnect({ agent, charon }: PeerLab): Promise<void> {
  await agent.call('clearDynamic', {});
  await waitFor('strongSwan to forget', async () => (await charon.listSas()).length === 0);
}
