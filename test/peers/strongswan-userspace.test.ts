/** Our agent against strongSwan with ESP of its own: tunnel mode in UDP 4500, which needs nothing of the kernel but TUN. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../lab/command.js';
import { needs } from '../lab/needs.js';
import { ping, transfer } from '../lab/traffic.js';
import {
  addInsides,
  configure,
  makeLab,
  type OwnLab,
  type PeerLab,
  type Suite,
  target,
  withLogs,
} from './lab.js';

const suites: readonly Suite[] = [
  { ike: '3des-sha1-modp1024', esp: '3des-sha1' },
  { ike: 'aes256-sha256-modp2048', esp: 'aes256-sha256-modp2048' },
  { ike: 'aes128-sha1-modp2048', esp: 'aes128gcm16' },
];

describe('strongSwan with user-space ESP over UDP 4500', { skip: needs('charon', 'nft', 'ping') }, () => {
  let lab: OwnLab;

  before(async () => {
    lab = await makeLab({ prefix: 'user' });
    addInsides(lab);
  });

  after(() => lab?.stop());

  for (const suite of suites)
    for (const initiator of ['we', 'strongSwan'] as const)
      test(`${suite.ike}, ${suite.esp}, ${initiator} initiate`, () =>
        withLogs(lab, () => connection(lab, suite, initiator)));

  test('both sides are to renew after the same short time, again and again: no packet is lost', () =>
    withLogs(lab, () => shortLives(lab)));
});

/**
 * Both are to renew a pair 5 s after it was made, and a main mode a little earlier or later, whoever began it; now and then
 * they cross.
 */
const rounds = {
  seconds: 17,
  ours: { lifetimeSeconds: 6, mainModeLifetimeSeconds: 5 },
  theirs: { childRekeySeconds: 5, childLifeSeconds: 12, ikeRekeySeconds: 6, ikeOverSeconds: 6 },
};

async function shortLives(lab: PeerLab): Promise<void> {
  const { ours, theirs, agent } = lab;
  const suite = { ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };
  await configure(lab, 'tunnel', suite, {
    ours: rounds.ours,
    theirs: { encapsulate: true, ...rounds.theirs },
  });
  const [there, here] = [target('theirs', 'tunnel'), target('ours', 'tunnel')];
  await ping(ours, there, { count: 1 });
  const logged = agent.log.length;
  const options = { count: rounds.seconds * 50, intervalSeconds: 0.02 };
  const [forth, back] = await Promise.all([ping(ours, there, options), ping(theirs, here, options)]);
  const all = { sent: options.count, received: options.count };
  assert.deepEqual({ forth, back }, { forth: all, back: all });
  for (const mode of ['quick', 'main']) {
    const begun = agent.log.slice(logged).match(new RegExp(`(->|<-) \\S+ ${mode} mode 1:`, 'g')) ?? [];
    assert.ok(begun.length >= 3, `${mode} modes: ${begun.join(', ')}`);
  }
  await agent.call('clearDynamic', {});
}

async function connection(lab: PeerLab, suite: Suite, initiator: 'we' | 'strongSwan'): Promise<void> {
  const { ours, theirs, agent, charon } = lab;
  await configure(lab, 'tunnel', suite, { theirs: { encapsulate: true } });
  if (initiator === 'strongSwan') await charon.initiate('peer');
  const [there, here] = [target('theirs', 'tunnel'), target('ours', 'tunnel')];
  const three = { sent: 3, received: 3 };
  assert.deepEqual(await ping(ours, there, { count: 3 }), three);
  assert.deepEqual(await ping(theirs, here, { count: 3 }), three);
  await transfer(ours, theirs, there, { bytes: 5_000_000 });
  await transfer(theirs, ours, here, { bytes: 5_000_000 });

  const { mainModes, quickModes } = await agent.call('associations', {});
  assert.deepEqual(
    mainModes.map(({ role, localPort, peerPort }) => ({ role, localPort, peerPort })),
    [{ role: initiator === 'we' ? 'initiator' : 'responder', localPort: 4500, peerPort: 4500 }],
  );
  assert.deepEqual(
    quickModes.map(({ pair: { mode, udpEncapsulation } }) => ({ mode, udpEncapsulation })),
    [{ mode: 'tunnel', udpEncapsulation: { localPort: 4500, peerPort: 4500 } }],
  );

  if (initiator === 'we') await charon.terminate({ ike: 'peer' });
  else await agent.call('clearDynamic', {});
  await waitFor('both sides to forget', async () => {
    const left = await agent.call('associations', {});
    const kept = left.mainModes.length + left.quickModes.length + left.pairs.length;
    return kept === 0 && (await charon.listSas()).length === 0;
  });
}
