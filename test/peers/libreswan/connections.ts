/** Every algorithm in both modes, negotiated by either side, deleted by the other. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { waitFor } from '../../lab/command.js';
import { ping } from '../../lab/traffic.js';
import { type Mode, target, theirAddress } from '../lab.js';
import { configureTheirs, type PlutoLab, type Suite, secureOurs, withLogs } from './lab.js';

interface Case extends Suite {
  readonly name: string;
  readonly modes: readonly Mode[];
  /** What pluto must say it uses. */
  readonly expected: string;
}

const cases: readonly Case[] = [
  {
    name: 'ESP 3DES-SHA1',
    modes: ['tunnel'],
    ours: { ike: '3des-sha1-modp2048', esp: '3des-sha1' },
    theirs: { ike: '3des-sha1-modp2048', esp: '3des-sha1' },
    expected: 'xfrm=3DES_CBC-HMAC_SHA1_96',
  },
  {
    name: 'ESP AES-SHA1 with PFS',
    modes: ['transport'],
    ours: { ike: 'aes128-sha1-modp2048', esp: 'aes128-sha1-modp2048' },
    theirs: { ike: 'aes128-sha1-modp2048', esp: 'aes128-sha1-modp2048', pfs: 'yes' },
    expected: 'xfrm=AES_CBC_128-HMAC_SHA1_96',
  },
  {
    name: 'ESP AES-256-SHA-256 with PFS of the main mode',
    modes: ['tunnel'],
    ours: { ike: 'aes256-sha256-modp1536', esp: 'aes256-sha256-modp1536' },
    theirs: { ike: 'aes256-sha2_256-modp1536', esp: 'aes256-sha2_256', pfs: 'yes' },
    expected: 'xfrm=AES_CBC_256-HMAC_SHA2_256_128',
  },
  {
    name: 'ESP AES-GCM',
    modes: ['transport'],
    ours: { ike: 'aes256-sha256-ecp256', esp: 'aes128gcm16' },
    theirs: { ike: 'aes256-sha2_256-dh19', esp: 'aes_gcm128' },
    expected: 'xfrm=AES_GCM_16_128-NONE',
  },
  {
    name: 'AH MD5',
    modes: ['transport'],
    ours: { ike: 'aes128-sha1-modp2048', ah: 'md5' },
    theirs: { ike: 'aes128-sha1-modp2048', ah: 'md5', phase2: 'ah' },
    expected: 'HMAC_MD5_96',
  },
  {
    name: 'ESP AES-SHA1 in UDP',
    modes: ['transport', 'tunnel'],
    ours: { ike: 'aes128-sha1-modp2048', esp: 'aes128-sha1' },
    theirs: { ike: 'aes128-sha1-modp2048', esp: 'aes128-sha1', encapsulation: 'yes' },
    expected: 'ESPinUDP',
  },
];

export function connectionTests(lab: () => PlutoLab): void {
  describe('connections', () => {
    for (const one of cases)
      for (const mode of one.modes)
        test(`${one.name} ${mode} mode`, () => withLogs(lab(), () => connection(lab(), one, mode)));
  });
}

/** We bring it up and end it, then pluto does. */
async function connection(lab: PlutoLab, one: Case, mode: Mode): Promise<void> {
  const { ours, agent, pluto } = lab;
  let said = pluto.log().length;
  await configureTheirs(lab, mode, one);
  await secureOurs(lab, mode, one);
  await ping(ours, target('theirs', mode), { count: 1 });
  await carries(lab, one, mode, 'initiator', said);
  await agent.call('clearDynamic', {});
  await forgotten(lab, said);

  said = pluto.log().length;
  await secureOurs(lab, mode, one);
  await pluto.initiate('peer');
  await carries(lab, one, mode, 'responder', said);
  await pluto.terminate('peer');
  await forgotten(lab, said);
  await agent.call('clearDynamic', {});
}

async function carries(
  { ours, theirs, agent, pluto }: PlutoLab,
  { expected }: Case,
  mode: Mode,
  role: 'initiator' | 'responder',
  said: number,
): Promise<void> {
  const three = { sent: 3, received: 3 };
  const one = { count: 1, waitSeconds: 1 };
  const pair = await waitFor("libreswan's SAs", () => pluto.pairsSince(said).at(-1));
  assert.ok(pair.text.includes(expected), pair.text);
  // pluto tells of its SAs a moment before the kernel of a busy machine uses them.
  await waitFor('an answer', async () => (await ping(ours, target('theirs', mode), one)).received === 1);
  assert.deepEqual(await ping(ours, target('theirs', mode), { count: 3, intervalSeconds: 0.05 }), three);
  assert.deepEqual(await ping(theirs, target('ours', mode), { count: 3, intervalSeconds: 0.05 }), three);
  const { mainModes, quickModes } = await agent.call('associations', {});
  assert.deepEqual(
    mainModes.map(main => [main.role, main.peerIdentity]),
    [[role, theirAddress]],
  );
  assert.deepEqual(
    quickModes.map(quick => [quick.pair.mode, quick.inbound[0]?.spi, quick.outbound[0]?.spi]),
    [[mode, pair.spiOut, pair.spiIn]],
  );
}

async function forgotten({ agent, pluto }: PlutoLab, said: number): Promise<void> {
  await waitFor('both sides to forget', async () => {
    const left = await agent.call('associations', {});
    const kept = left.mainModes.length + left.quickModes.length + left.pairs.length;
    return kept === 0 && /deleting state \(STATE_MAIN_/.test(pluto.log().slice(said));
  });
}
