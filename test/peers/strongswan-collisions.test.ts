/** Both sides begin at once, with strongSwan: a cable that holds back IKE makes sure that the messages cross. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../lab/command.js';
import { IkeRelay } from '../lab/ike-relay.js';
import { needs } from '../lab/needs.js';
import type { PeerSaName } from '../lab/strongswan.js';
import { PingStream, ping } from '../lab/traffic.js';
import { createHost, type Host } from '../support/namespaces.js';
import {
  addInsides,
  configure,
  ourAddress,
  ourConnection,
  type PeerLab,
  startLab,
  stopLab,
  target,
  theirAddress,
  withLogs,
} from './lab.js';
import { type Connection, secure } from './secure.js';

const suite = { ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };
const here = target('ours', 'tunnel');
const there = target('theirs', 'tunnel');
const byVolume = { lifetimeKilobytes: 1_000 };

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

  /** A fresh connection under traffic both ways while `work` runs; returns how many packets were lost. */
  async function underTraffic(ours: Partial<Connection>, work: () => Promise<void>): Promise<number> {
    await configure(lab, 'tunnel', suite, { ours, theirs: { encapsulate: true } });
    await ping(lab.ours, there, { count: 1 });
    const streams = [new PingStream(lab.ours, there), new PingStream(lab.theirs, here)];
    const stopped = () => Promise.all(streams.map(stream => stream.stop()));
    try {
      await work();
    } finally {
      relay.release();
      await stopped();
    }
    const ended = await stopped();
    assert.ok(
      ended.every(({ sent }) => sent > 20),
      JSON.stringify(ended),
    );
    return ended.reduce((sum, { lost }) => sum + lost.length, 0);
  }

  /** Waits until both sides have the same main modes and pairs, none half made, and pings arrive both ways. */
  async function checkStable(): Promise<void> {
    await waitFor('one or two pairs that both sides have', async () => {
      const { mainModes, quickModes } = await lab.agent.call('associations', {});
      const theirs = await lab.charon.listSas();
      const children = theirs.flatMap(sa => sa.children).filter(({ state }) => state === 'INSTALLED');
      const outbound = quickModes.flatMap(pair => pair.outbound.map(({ spi }) => Number(spi)));
      return (
        mainModes.every(({ state }) => state !== 'negotiating') &&
        theirs.every(({ state }) => state === 'ESTABLISHED') &&
        sameMembers(
          mainModes.map(({ initiatorCookie }) => initiatorCookie),
          theirs.map(({ initiatorCookie }) => initiatorCookie),
        ) &&
        (children.length === 1 || children.length === 2) &&
        children.every(({ spiIn }) => outbound.includes(spiIn))
      );
    });
    await waitFor('an answer to every ping', async () => {
      const options = { count: 5, intervalSeconds: 0.05, waitSeconds: 1 };
      const [forth, back] = [await ping(lab.ours, there, options), await ping(lab.theirs, here, options)];
      return forth.received === 5 && back.received === 5;
    });
  }

  const established = () => lab.agent.log.match(/quick mode: established/g)?.length ?? 0;

  async function takeDown(): Promise<void> {
    await lab.agent.call('clearDynamic', {});
    await waitFor('strongSwan to forget', async () => (await lab.charon.listSas()).length === 0);
  }

  /** Sends what makes us renew a pair for its volume; the message is held back. */
  async function weRenew(): Promise<void> {
    while (relay.held('one', 'Quick mode') === 0)
      await ping(lab.ours, there, { count: 40, bytes: 1_000, intervalSeconds: 0.002 });
  }

  async function theyRenew(): Promise<void> {
    const newest = (await lab.charon.installedChildren()).at(-1)?.uniqueId;
    await lab.charon.rekey({ 'child-id': String(newest) });
    await relay.untilHeld('other', 'Quick mode');
  }

  async function theyDelete(what: PeerSaName): Promise<void> {
    await lab.charon.terminate(what);
    await relay.untilHeld('other', 'Informational');
  }

  test('quick modes, three times: both new pairs are kept, and nothing is lost', () =>
    withLogs(lab, async () => {
      const lost = await underTraffic(byVolume, async () => {
        for (let round = 0; round < 3; round++) {
          await relay.hold();
          await weRenew();
          await theyRenew();
          const before = established();
          relay.release();
          await waitFor('both new pairs', () => established() === before + 2);
          await checkStable();
        }
      });
      assert.equal(lost, 0);
      await takeDown();
    }));

  for (let round = 1; round <= 2; round++)
    test(`main modes, time ${round}: the pair goes on, and nothing is lost`, () =>
      withLogs(lab, async () => {
        const lost = await underTraffic({ mainModeLifetimeSeconds: 4 }, async () => {
          await relay.hold();
          await relay.untilHeld('one', 'Main mode');
          await lab.charon.rekey({ ike: 'peer' });
          await relay.untilHeld('other', 'Main mode');
          relay.release();
          await checkStable();
        });
        assert.equal(lost, 0);
        await takeDown();
      }));

  // What is sent until a Delete arrives is lost: its sender has forgotten the pair.
  const deletes: readonly [string, () => Promise<void>][] = [
    [
      'their Delete of a pair and our renewal of it',
      async () => {
        await weRenew();
        await theyDelete({ child: 'peer' });
      },
    ],
    [
      'our Delete of a pair, as its rule changes, and their renewal of it',
      async () => {
        await theyRenew();
        await secure(lab.agent, ourConnection('tunnel', suite, { lifetimeKilobytes: 2_000 }));
        await relay.untilHeld('one', 'Informational');
      },
    ],
    [
      'their Delete of the main mode and our renewal of a pair',
      async () => {
        await weRenew();
        await theyDelete({ ike: 'peer' });
      },
    ],
  ];
  for (const [name, cross] of deletes)
    test(name, () =>
      withLogs(lab, async () => {
        await underTraffic(byVolume, async () => {
          await relay.hold();
          await cross();
          relay.release();
          await checkStable();
        });
        await takeDown();
      }),
    );

  for (let round = 1; round <= 3; round++)
    test(`both begin, time ${round}: the packet that began it arrives`, () =>
      withLogs(lab, async () => {
        await configure(lab, 'tunnel', suite, { theirs: { encapsulate: true } });
        await relay.hold();
        const first = ping(lab.ours, there, { count: 1 });
        // It gives up its own when our INITIAL-CONTACT comes after it is established.
        const theirs = lab.charon.initiate('peer').catch(() => {});
        await relay.untilHeld('one', 'Main mode');
        await relay.untilHeld('other', 'Main mode');
        relay.release();
        await theirs;
        assert.deepEqual(await first, { sent: 1, received: 1 });
        await checkStable();
        await takeDown();
      }));
});

const sameMembers = (one: readonly string[], other: readonly string[]) =>
  one.length === other.length && one.every(member => other.includes(member));
