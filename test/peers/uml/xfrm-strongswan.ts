/** The kernel as engine against strongSwan with the same kernel, in two namespaces. Runs inside User Mode Linux. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createPair, type HostPair } from '../../support/namespaces.js';
import { type Case, connection, expected } from '../kernel/connections.js';
import { ipv6ConnectionTests } from '../kernel/ipv6-connections.js';
import { rekeyTests } from '../kernel/rekey.js';
import {
  addInsides,
  ourAddress,
  ourAddress6,
  type PeerHosts,
  type PeerLab,
  startLab,
  stopLab,
  theirAddress,
  theirAddress6,
  withLogs,
} from '../lab.js';

const tripleDes: Case = {
  ike: '3des-sha1-modp1024',
  esp: '3des-sha1',
  expected: expected('ESP', '3DES_CBC', 0, 'HMAC_SHA1_96', ''),
};
const gcm: Case = {
  ike: 'aes128-sha1-modp2048',
  esp: 'aes128gcm16',
  expected: expected('ESP', 'AES_GCM_16', 128, '', ''),
};
const ah: Case = {
  ike: 'aes128-sha1-modp1024',
  ah: 'sha1',
  expected: expected('AH', '', 0, 'HMAC_SHA1_96', ''),
};
const extended: Case = {
  ike: 'aes128-sha1-modp1024',
  esp: 'aes128-sha1-esn',
  extendedSequence: true,
  expected: expected('ESP', 'AES_CBC', 128, 'HMAC_SHA1_96', ''),
};
const inUdp: Case = { ...tripleDes, encapsulate: true };

describe('xfrm agent and strongSwan', { concurrency: 1 }, () => {
  let pair: HostPair;
  let hosts: PeerHosts;
  before(async () => {
    pair = await createPair({
      prefix: 'xfrm',
      a: [`${ourAddress}/24`, `${ourAddress6}/64`],
      b: [`${theirAddress}/24`, `${theirAddress6}/64`],
    });
    hosts = { ours: pair.a, theirs: pair.b };
    addInsides(hosts);
  });
  after(() => pair?.destroy());

  describe('connections', () => {
    let lab: PeerLab;
    const first = { sent: 0, received: 0 };
    before(async () => {
      lab = await startLab(hosts, { esp: 'kernel-netlink', engine: 'xfrm' });
    });
    after(() => stopLab(lab));

    test('the agent says which engine it has and why', async () => {
      const { driver, driverReason } = await lab.agent.call('status', {});
      assert.deepEqual([driver, driverReason], ['xfrm', 'asked for']);
    });

    for (const [name, one, mode, initiator] of [
      ['3DES-SHA1 in transport mode, we initiate', tripleDes, 'transport', 'we'],
      ['3DES-SHA1 in tunnel mode, strongSwan initiates', tripleDes, 'tunnel', 'strongSwan'],
      ['AES-GCM in tunnel mode, we initiate', gcm, 'tunnel', 'we'],
      ['AES-GCM in transport mode, strongSwan initiates', gcm, 'transport', 'strongSwan'],
      ['AH-SHA1 in transport mode, we initiate', ah, 'transport', 'we'],
      ['ESP in UDP in tunnel mode, we initiate', inUdp, 'tunnel', 'we'],
      [
        'extended sequence numbers in transport mode, strongSwan initiates',
        extended,
        'transport',
        'strongSwan',
      ],
    ] as const)
      test(name, () => withLogs(lab, () => connection(lab, one, mode, initiator, first, one === gcm)));

    test('the packets that started a negotiation were not lost', () => {
      // None by us. A packet that comes before strongSwan has installed its SAs is lost there, and counted by its kernel.
      const counted = /XfrmInNoStates\s+(\d+)/.exec(pair.b.run('cat', '/proc/self/net/xfrm_stat'))?.[1];
      const early = Number(counted);
      assert.ok(
        first.received + early >= first.sent,
        `${first.received} of ${first.sent}, ${early} too early`,
      );
    });
  });

  rekeyTests(() => hosts, {
    engine: 'xfrm',
    // That time ends SAs is tried without IKE.
    only: ['quick mode, by us, for volume', 'quick mode, by strongSwan'],
  });

  ipv6ConnectionTests(() => hosts, {
    engine: 'xfrm',
    // Each role and mode once, AH too, and a tunnel of either family within the other.
    only: ({ mode, outside, inside, ah }, initiator) =>
      outside !== inside
        ? (initiator === 'we') === (inside === 4)
        : (initiator === 'we') === (mode === 'transport' && ah === undefined),
  });

  test('nothing is left in the kernel', () => {
    for (const what of ['policy', 'state']) assert.equal(pair.a.run('ip', 'xfrm', what), '', what);
  });
});
