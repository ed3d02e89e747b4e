/** Keys are replaced under traffic: by either side, by time, by volume and on demand, and no packet is lost. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../lab/command.js';
import type { PeerSaName } from '../../lab/strongswan.js';
import { ping, pingSteadily } from '../../lab/traffic.js';
import {
  configure,
  type Mode,
  type PeerHosts,
  type PeerLab,
  startLab,
  stopLab,
  target,
  withLogs,
} from '../lab.js';
import { auditEvents, type Connection } from '../secure.js';

const suite = { ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };

/** Fifty packets a second in each direction. */
const intervalSeconds = 0.02;

interface Case {
  readonly name: string;
  readonly mode: Mode;
  readonly ours?: Partial<Connection>;
  /** strongSwan renews this every second and a half, twice. */
  readonly theyRekey?: PeerSaName;
  readonly seconds: number;
  readonly bytes?: number;
  readonly expected: 'main' | 'quick';
}

const cases: readonly Case[] = [
  {
    name: 'quick mode, by us, for time',
    mode: 'transport',
    ours: { lifetimeSeconds: 4 },
    seconds: 9,
    expected: 'quick',
  },
  {
    name: 'quick mode, by us, for volume',
    mode: 'tunnel',
    ours: { lifetimeKilobytes: 200 },
    seconds: 6,
    bytes: 1000,
    expected: 'quick',
  },
  {
    name: 'quick mode, by strongSwan',
    mode: 'transport',
    theyRekey: { child: 'peer' },
    seconds: 5,
    expected: 'quick',
  },
  {
    name: 'main mode, by us',
    mode: 'tunnel',
    ours: { mainModeLifetimeSeconds: 4 },
    seconds: 9,
    expected: 'main',
  },
  {
    name: 'main mode, by strongSwan',
    mode: 'transport',
    theyRekey: { ike: 'peer' },
    seconds: 5,
    expected: 'main',
  },
];

export function rekeyTests(
  hosts: () => PeerHosts,
  {
    engine = 'userspace',
    only,
  }: { readonly engine?: 'userspace' | 'xfrm'; readonly only?: readonly string[] } = {},
): void {
  describe('rekeying under traffic loses nothing', () => {
    let lab: PeerLab;

    before(async () => {
      lab = await startLab(hosts(), { esp: 'kernel-netlink', engine });
    });

    after(() => stopLab(lab));

    for (const one of cases.filter(({ name }) => only?.includes(name) ?? true))
      test(one.name, () =>
        withLogs(lab, async () => {
          await configure(lab, one.mode, suite, one.ours === undefined ? {} : { ours: one.ours });
          await connect(lab, one);
          const before = established(lab, one.expected);
          await Promise.all([stream(lab, one), theirRekeys(lab, one)]);
          const renewals = established(lab, one.expected) - before;
          assert.ok(renewals >= 2, `${renewals} renewals`);
          await lab.agent.call('clearDynamic', {});
          await waitFor('strongSwan to forget', async () => (await lab.charon.listSas()).length === 0);
        }),
      );
  });
}

async function connect({ ours, charon, agent }: PeerLab, one: Case): Promise<void> {
  if (one.theyRekey === undefined) await ping(ours, target('theirs', one.mode), { count: 1 });
  else await charon.initiate('peer');
  await waitFor('SAs at both ends', async () => {
    const { quickModes } = await agent.call('associations', {});
    return quickModes.length > 0 && (await charon.installedChildren()).length > 0;
  });
}

async function stream({ ours, theirs }: PeerLab, { mode, seconds, bytes = 56 }: Case): Promise<void> {
  const count = Math.round(seconds / intervalSeconds);
  const options = { count, intervalSeconds, bytes };
  const [forth, back] = await Promise.all([
    pingSteadily(ours, target('theirs', mode), options),
    pingSteadily(theirs, target('ours', mode), options),
  ]);
  const all = { sent: count, received: count };
  assert.deepEqual({ forth, back }, { forth: all, back: all });
}

async function theirRekeys({ charon }: PeerLab, { theyRekey }: Case): Promise<void> {
  for (let done = 0; theyRekey !== undefined && done < 2; done++) {
    await sleep(1500);
    await charon.rekey(theyRekey);
  }
}

/** How many main or quick modes were established so far. */
function established({ agent }: PeerLab, mode: 'main' | 'quick'): number {
  return auditEvents(agent).filter(event => event.id === 541 && event.mode === mode).length;
}
