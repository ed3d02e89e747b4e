/** Every algorithm in both modes, negotiated by either side, deleted by the other. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { parseAhProposals, parseEspProposals } from '../../../src/policy/proposals.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { type Capture, capture } from '../../lab/capture.js';
import { run, waitFor } from '../../lab/command.js';
import type { LabHost } from '../../lab/lab-host.js';
import type { PeerChildSa } from '../../lab/strongswan.js';
import { ping, transfer } from '../../lab/traffic.js';
import { staticEnds } from '../../support/static-pair.js';
import {
  configure,
  type Mode,
  ourAddress,
  type PeerHosts,
  type PeerLab,
  type Suite,
  startLab,
  stopLab,
  target,
  theirAddress,
  withLogs,
} from '../lab.js';
import { flushXfrm, installAtPeer } from './xfrm.js';

/** What strongSwan must say it negotiated. */
export interface Case extends Suite {
  /** ESP in UDP port 4500, although no NAT is between us. */
  readonly encapsulate?: true;
  readonly extendedSequence?: true;
  readonly expected: Pick<PeerChildSa, 'protocol' | 'encryption' | 'encryptionBits' | 'integrity' | 'group'>;
}

const cases: readonly Case[] = [
  {
    ike: '3des-sha1-modp1024',
    esp: '3des-sha1',
    expected: expected('ESP', '3DES_CBC', 0, 'HMAC_SHA1_96', ''),
  },
  {
    ike: '3des-md5-modp1024',
    esp: '3des-md5-modp1024',
    expected: expected('ESP', '3DES_CBC', 0, 'HMAC_MD5_96', 'MODP_1024'),
  },
  {
    ike: 'des-md5-modp768',
    esp: 'des-md5-modp768',
    expected: expected('ESP', 'DES_CBC', 0, 'HMAC_MD5_96', 'MODP_768'),
  },
  {
    ike: 'aes256-sha256-modp2048',
    esp: 'aes256-sha256-modp2048',
    expected: expected('ESP', 'AES_CBC', 256, 'HMAC_SHA2_256_128', 'MODP_2048'),
  },
  {
    ike: 'aes128-sha1-modp2048',
    esp: 'aes128gcm16',
    expected: expected('ESP', 'AES_GCM_16', 128, '', ''),
  },
  {
    ike: '3des-sha1-modp1024',
    ah: 'sha1-modp1024',
    expected: expected('AH', '', 0, 'HMAC_SHA1_96', 'MODP_1024'),
  },
  {
    ike: 'aes128-sha1-modp1024',
    esp: 'aes128-sha1',
    encapsulate: true,
    expected: expected('ESP', 'AES_CBC', 128, 'HMAC_SHA1_96', ''),
  },
  {
    ike: 'aes128-sha1-modp1024',
    esp: 'aes128-sha1-esn',
    extendedSequence: true,
    expected: expected('ESP', 'AES_CBC', 128, 'HMAC_SHA1_96', ''),
  },
];

export function expected(
  protocol: 'ESP' | 'AH',
  encryption: string,
  encryptionBits: number,
  integrity: string,
  group: string,
): Case['expected'] {
  return { protocol, encryption, encryptionBits, integrity, group };
}

/** TCP both ways costs seconds: these have it. */
const withTcp = new Set([
  'transport 3des-sha1',
  'tunnel aes128gcm16',
  'tunnel sha1-modp1024',
  'transport aes128-sha1',
]);

export function connectionTests(hosts: () => PeerHosts): void {
  describe('connections', () => {
    let lab: PeerLab;
    let recording: Capture;
    /** Of the packets that started a negotiation, how many were answered. */
    const first = { sent: 0, received: 0 };

    before(async () => {
      loadAlgorithms(hosts().theirs);
      lab = await startLab(hosts(), { esp: 'kernel-netlink' });
      recording = await capture(lab.ours, 'tap0', `/tmp/ipseckit-kernel-${process.pid}.pcap`);
    });

    after(async () => {
      await recording?.stop();
      await stopLab(lab);
      rmSync(recording.file, { force: true });
    });

    for (const one of cases)
      for (const mode of ['transport', 'tunnel'] as const)
        for (const initiator of ['we', 'strongSwan'] as const)
          test(`${name(one)} ${mode} mode, ${initiator} initiate`, () =>
            withLogs(lab, () => connection(lab, one, mode, initiator, first)));

    test('the packets that started a negotiation were not lost', () => {
      // Now and then strongSwan takes longer to install its SAs than our packet waits.
      assert.ok(first.received * 2 > first.sent, `${first.received} of ${first.sent}`);
    });

    test('nothing but IKE, ESP and AH has left us', async () => {
      await recording.stop();
      const filter = `src host ${ourAddress} and ip and not esp and not ah and not udp port 500 and not udp port 4500`;
      const lines = await run(['tcpdump', '-n', '-r', recording.file, filter]);
      assert.equal(lines, '');
    });
  });
}

/** A kernel that meets an algorithm for the first time looks for modules, for longer than packets wait. */
function loadAlgorithms(machine: LabHost): void {
  const ends = {
    name: 'unused',
    one: ipAddress(ourAddress),
    other: ipAddress(theirAddress),
    mode: 'transport',
  } as const;
  for (const { esp, ah } of cases) {
    const [method] = esp === undefined ? parseAhProposals(ah ?? '') : parseEspProposals(esp);
    const { pair } = staticEnds({ ...ends, ...method }, 1).one;
    installAtPeer(machine, pair, { ours: ourAddress, theirs: theirAddress });
    flushXfrm(machine);
  }
}

const name = ({ ike, esp, ah, encapsulate }: Case) =>
  `${ike}, ${esp === undefined ? `AH ${ah}` : `ESP ${esp}`}${encapsulate ? ' in UDP' : ''},`;

/** Brings one connection up, tries it, and takes it down. */
export async function connection(
  lab: PeerLab,
  one: Case,
  mode: Mode,
  initiator: 'we' | 'strongSwan',
  first: { sent: number; received: number },
  tcp = withTcp.has(`${mode} ${one.esp ?? one.ah}`),
): Promise<void> {
  const { ours, theirs, agent, charon } = lab;
  const encapsulate = one.encapsulate === true;
  await configure(lab, mode, one, { theirs: { encapsulate } });
  if (initiator === 'strongSwan') await charon.initiate('peer');
  else {
    const { sent, received } = await ping(ours, target('theirs', mode), { count: 1 });
    first.sent += sent;
    first.received += received;
  }
  const child = await waitFor("strongSwan's SAs", async () => (await charon.installedChildren())[0]);
  const { protocol, encryption, encryptionBits, integrity, group } = child;
  assert.deepEqual({ protocol, encryption, encryptionBits, integrity, group }, one.expected);
  assert.equal(child.mode.toLowerCase(), mode);
  assert.equal(child.encapsulated, encapsulate);
  assert.equal(child.extendedSequence, one.extendedSequence === true);

  const three = { sent: 3, received: 3 };
  assert.deepEqual(await ping(ours, target('theirs', mode), { count: 3, intervalSeconds: 0.05 }), three);
  assert.deepEqual(await ping(theirs, target('ours', mode), { count: 3, intervalSeconds: 0.05 }), three);
  if (initiator === 'we' && tcp) {
    await transfer(ours, theirs, target('theirs', mode), { bytes: 1_000_000 });
    await transfer(theirs, ours, target('ours', mode), { bytes: 1_000_000 });
  }

  const { mainModes, quickModes } = await agent.call('associations', {});
  assert.equal(mainModes.length, 1);
  assert.equal(mainModes[0]?.role, initiator === 'we' ? 'initiator' : 'responder');
  assert.equal(mainModes[0]?.peerIdentity, theirAddress);
  assert.deepEqual(
    quickModes.map(({ pair: { mode: used }, inbound, outbound }) => [
      used,
      inbound[0]?.spi,
      outbound[0]?.spi,
    ]),
    [[mode, child.spiOut, child.spiIn]],
  );

  if (initiator === 'we') await charon.terminate({ ike: 'peer' });
  else await agent.call('clearDynamic', {});
  await waitFor('both sides to forget', async () => {
    const left = await agent.call('associations', {});
    const kept = left.mainModes.length + left.quickModes.length + left.pairs.length;
    return kept === 0 && (await charon.listSas()).length === 0;
  });
}
