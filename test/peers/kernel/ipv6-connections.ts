/** IPv6 between our agent and strongSwan, which keys the kernel's ESP and AH: negotiated by either side. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../../lab/command.js';
import { ping, transfer } from '../../lab/traffic.js';
import {
  configure,
  insideNetworks,
  insideNetworks6,
  type Mode,
  ourAddress,
  ourAddress6,
  type PeerHosts,
  type PeerLab,
  type Suite,
  startLab,
  stopLab,
  target,
  theirAddress,
  theirAddress6,
  withLogs,
} from '../lab.js';
import { flushXfrm, passNeighbourDiscovery } from './xfrm.js';

interface Case extends Suite {
  readonly mode: Mode;
  readonly outside: 4 | 6;
  readonly inside: 4 | 6;
}

const cases: readonly Case[] = [
  { mode: 'transport', outside: 6, inside: 6, ike: '3des-sha1-modp1024', esp: '3des-sha1-modp1024' },
  { mode: 'transport', outside: 6, inside: 6, ike: 'aes128-sha1-modp1024', ah: 'sha1' },
  { mode: 'tunnel', outside: 6, inside: 6, ike: 'aes128-sha1-modp2048', ah: 'sha1-modp2048' },
  { mode: 'tunnel', outside: 6, inside: 4, ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' },
  { mode: 'tunnel', outside: 4, inside: 6, ike: 'aes256-sha256-modp2048', esp: 'aes256-sha256' },
];

/** `only` is for a slow machine, where each case costs seconds. */
export function ipv6ConnectionTests(
  hosts: () => PeerHosts,
  options: {
    readonly engine?: 'userspace' | 'xfrm';
    readonly only?: (one: Case, initiator: 'we' | 'strongSwan') => boolean;
  } = {},
): void {
  describe('connections with IPv6', () => {
    let lab: PeerLab;

    before(async () => {
      lab = await startLab(hosts(), {
        esp: 'kernel-netlink',
        ...(options.engine === undefined ? {} : { engine: options.engine }),
      });
      passNeighbourDiscovery(lab.theirs);
    });

    after(async () => {
      await stopLab(lab);
      flushXfrm(hosts().theirs);
    });

    for (const one of cases)
      for (const initiator of ['we', 'strongSwan'] as const) {
        if (options.only?.(one, initiator) === false) continue;
        test(`${one.esp ?? `AH ${one.ah}`}, ${one.mode} mode, IPv${one.inside} in IPv${one.outside}, ${initiator} initiate`, () =>
          withLogs(lab, () => connection(lab, one, initiator)));
      }
  });
}

async function connection(lab: PeerLab, one: Case, initiator: 'we' | 'strongSwan'): Promise<void> {
  const { ours, theirs, agent, charon } = lab;
  const { mode, outside, inside } = one;
  const ends =
    outside === 4 ? { local: ourAddress, peer: theirAddress } : { local: ourAddress6, peer: theirAddress6 };
  const networks = inside === 4 ? insideNetworks : insideNetworks6;
  const isTunnel = mode === 'tunnel';
  await configure(lab, mode, one, {
    ours: {
      ...ends,
      ...(isTunnel ? { localNetworks: [networks.ours], remoteNetworks: [networks.theirs] } : {}),
    },
    theirs: {
      ...{ local: ends.peer, remote: ends.local },
      ...(isTunnel ? { localSelector: networks.theirs, remoteSelector: networks.ours } : {}),
    },
  });
  const [there, here] = [target('theirs', mode, inside), target('ours', mode, inside)];
  if (initiator === 'strongSwan') await charon.initiate('peer');
  else await ping(ours, there, { count: 1 });
  const child = await waitFor("strongSwan's SAs", async () => (await charon.installedChildren())[0]);
  assert.equal(child.mode.toLowerCase(), mode);
  const three = { sent: 3, received: 3 };
  assert.deepEqual(await ping(ours, there, { count: 3, intervalSeconds: 0.05 }), three);
  assert.deepEqual(await ping(theirs, here, { count: 3, intervalSeconds: 0.05 }), three);
  assert.equal((await ping(ours, there, { count: 1, bytes: 3000 })).received, 1, 'and a long one');
  if (initiator === 'we') await transfer(ours, theirs, there, { bytes: 200_000 });
  const { mainModes, quickModes } = await agent.call('associations', {});
  assert.equal(mainModes[0]?.role, initiator === 'we' ? 'initiator' : 'responder');
  assert.equal(mainModes[0]?.peerIdentity, ends.peer);
  assert.deepEqual(
    quickModes.map(({ pair, inbound, outbound }) => [pair.mode, inbound[0]?.spi, outbound[0]?.spi]),
    [[mode, child.spiOut, child.spiIn]],
  );
  if (initiator === 'we') await charon.terminate({ ike: 'peer' });
  else await agent.call('clearDynamic', {});
  await waitFor('both sides to forget', async () => {
    const left = await agent.call('associations', {});
    return left.mainModes.length + left.pairs.length === 0 && (await charon.listSas()).length === 0;
  });
}
