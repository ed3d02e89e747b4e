/** Both sides begin at once, with strongSwan: a cable that holds back IKE makes sure that the messages cross. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../lab/command.js';
import { IkeRelay } from '../lab/ike-relay.js';
import { needs } from '../lab/needs.js';
import { PingStream, ping } from '../lab/traffic.js';
import { createHost, type Host } from '../support/namespaces.js';
import {
  addInsides,
  configure,
  ourAddress,
  type PeerLab,
  startLab,
  stopLab,
  target,
  theirAddress,
  withLogs,
} from './lab.js';
import type { Connection } from './secure.js';

const suite = { ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };
const here = target('ours', 'tunnel');
const there = target('theirs', 'tunnel');

describe('negotiations that cross', {
  skip: needs('charon', 'nft', 'ping', 'python3'),
  timeout: 180_000,
}, () => {
  const hosts: Host[] = [];
  let relay: IkeRelay;
  let lab: PeerLab;

  before(async () => {
    const [ours, theirs] = [await createHost('cross-a'), await createHost('cross-b')];
    hosts.push(ours, theirs);
    relay = await IkeRelay.join(
      { host: ours, device: 'eth0', addresses: [`${ourAddress}/24`] },
      { host: theirs, device: 'eth0', addresses: [`${theirAddress}/24`] },
    );
    addInsides({ ours, theirs });
    lab = await startLab({ ours, theirs }, { esp: 'kernel-libipsec' });
  });

  after(async () => {
    await stopLab(lab);
    await relay?.stop();
    for (const host of hosts) await host.destroy();
  });

  /** A fresh connection under traffic both ways, which loses nothing while `work` runs. */
  async function underTraffic(ours: Partial<Connection>, work: () => Promise<void>): Promise<void> {
    await configure(lab, 'tunnel', suite, { ours, theirs: { encapsulate: true } });
    await lab.charon.initiate('peer');
    const streams = [new PingStream(lab.ours, there), new PingStream(lab.theirs, here)];
    const ended = async () =>
      (await Promise.all(streams.map(stream => stream.stop()))).map(({ lost }) => lost);
    try {
      await work();
    } finally {
      assert.deepEqual(await ended(), [[], []]);
    }
    await lab.agent.call('clearDynamic', {});
    await waitFor('strongSwan to forget', async () => (await lab.charon.listSas()).length === 0);
  }

  /** Sends what makes us renew a pair for its volume. */
  async function untilWeRenew(): Promise<void> {
    while (relay.held('one', 'Quick mode') === 0)
      await ping(lab.ours, there, { count: 4, bytes: 10_000, intervalSeconds: 0.01 });
  }

  test('quick modes: three times', () =>
    withLogs(lab, () =>
      underTraffic({ lifetimeKilobytes: 1_000 }, async () => {
        for (let round = 0; round < 3; round++) {
          relay.hold();
          await untilWeRenew();
          await lab.charon.rekey({ child: 'peer' });
          await relay.untilHeld('other', 'Quick mode');
          relay.release();
          await new Promise(r => setTimeout(r, 2000));
          console.log(
            JSON.stringify(
              (await lab.agent.call('associations', {})).quickModes.map(q => [q.inbound[0]?.spi.toString(16), q.outbound[0]?.spi.toString(16)]),
            ),
            (await lab.charon.listSas()).map(s =>
              [s.uniqueId, s.state, s.children.map(c => [c.name, c.uniqueId, c.state, c.spiOut.toString(16)])].join(),
            ),
          );
        }
      }),
    ));
});
