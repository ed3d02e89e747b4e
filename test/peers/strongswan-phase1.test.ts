/** Phase 1 with strongSwan beyond the plain case: a choice of ways to authenticate, and aggressive mode. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TunnelDocument } from '../../src/agent/tunnel.js';
import { needs } from '../lab/needs.js';
import type { PeerConnection } from '../lab/peer-connection.js';
import type { Charon } from '../lab/strongswan.js';
import { ping } from '../lab/traffic.js';
import type { AgentOnHost } from '../support/agent-host.js';
import { certificatePem, dns, keyPem, testCa, testLeaf } from '../support/certificates.js';
import { makeLab, type OwnLab, withLogs } from './lab.js';
import { secure } from './secure.js';

const ours = '10.68.0.1';
const theirs = '10.68.0.2';
const presharedKey = 'a long preshared key';
const dayMs = 86_400_000;
const valid = { notBeforeMs: Date.now() - dayMs, notAfterMs: Date.now() + 30 * dayMs };

const root = testCa('C=DE, O=Example, CN=Root', undefined, { key: 'rsa', ...valid });
const leaf = (name: string, key: 'rsa' | 'prime256v1') =>
  testLeaf(`C=DE, O=Example, CN=${name}`, root, {
    key,
    ...valid,
    alternativeNames: [dns(`${name}.example.com`)],
  });

describe('strongSwan and phase 1', { skip: needs('charon', 'nft', 'ping') }, () => {
  let lab: OwnLab;
  let agent: AgentOnHost;
  let charon: Charon;

  before(async () => {
    lab = await makeLab({
      ...{ prefix: 'ph1', ours: [`${ours}/24`], theirs: [`${theirs}/24`] },
      charonSettings: 'i_dont_care_about_security_and_use_aggressive_mode_psk = yes',
    });
    ({ agent, charon } = lab);
  });

  after(() => lab?.stop());

  const logged = (work: () => Promise<void>) => withLogs(lab, work);

  const connection: PeerConnection = {
    ...{ name: 'peer', local: theirs, remote: ours, mode: 'tunnel', encapsulate: true },
    ...{ ike: ['aes256-sha256-ecp256'], esp: ['aes128-sha256'] },
  };

  const certificates = (key: 'rsa' | 'prime256v1') => {
    const own = leaf('theirs', key);
    return {
      own: certificatePem(own),
      privateKey: keyPem(own),
      authorities: [certificatePem(root)],
    };
  };

  const tunnel = (overrides: Partial<TunnelDocument> = {}) => ({
    ...{ name: 'peer', local: ours, peer: theirs, remoteNetworks: [`${theirs}/32`] },
    ...{ ike: 'aes256-sha256-ecp256', esp: 'aes128-sha256' },
    ...overrides,
  });

  const reachable = async () => (await ping(lab.ours, theirs, { count: 4, waitSeconds: 1 })).received > 0;

  describe('several ways to authenticate in one proposal', () => {
    let folder: string;

    const run = async (program: 'ipseckit' | 'ipsecpol', ...args: string[]) => {
      const { status, stdout, stderr } = await agent.command(program, ...args);
      assert.equal(status, 0, stdout + stderr);
    };

    const byCertificate = 'CERT:"C=DE, O=Example, CN=Root"';
    const byKey = `PRESHARE:"${presharedKey}"`;

    /** Both ways, preferred first. */
    async function offer(...ways: readonly string[]): Promise<void> {
      await agent.call('clearDynamic', {});
      const rule = ['-n', 'ESP[AES128,SHA256]', '-1s', 'AES256-SHA256-19', '-a', ...ways];
      await run('ipsecpol', '-f', `${ours}=${theirs}`, '-t', theirs, ...rule);
      await run('ipsecpol', '-f', `${theirs}=${ours}`, '-t', ours, ...rule);
    }

    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'ipseckit-ph1-'));
      const store = async (name: string, text: string, ...args: string[]) => {
        const file = join(folder, name);
        writeFileSync(file, text, { mode: 0o600 });
        await run('ipseckit', 'cert', 'import', file, ...args);
      };
      await store('root.pem', certificatePem(root), '--trust');
      for (const key of ['rsa', 'prime256v1'] as const) {
        const own = leaf(`ours ${key}`, key);
        await store(`${key}.pem`, certificatePem(own) + keyPem(own));
      }
    });

    after(async () => {
      await agent.call('clearDynamic', {});
      rmSync(folder, { recursive: true });
    });

    const ways: readonly [string, Partial<PeerConnection>, string][] = [
      ['preshared key', { psk: presharedKey }, theirs],
      ['RSA', { certificates: certificates('rsa') }, 'C=DE, O=Example, CN=theirs'],
      ['ECDSA', { certificates: certificates('prime256v1') }, 'C=DE, O=Example, CN=theirs'],
    ];

    async function checkChoice(role: 'initiator' | 'responder', way: (typeof ways)[number]): Promise<void> {
      assert.ok(await reachable());
      const [mainMode] = (await agent.call('associations', {})).mainModes;
      assert.equal(mainMode?.role, role);
      assert.equal(mainMode?.authentication, way[1].psk === undefined ? 'certificate' : 'preshared');
      assert.equal(mainMode?.peerIdentity, way[2]);
      await charon.terminate({ ike: 'peer' });
    }

    for (const way of ways)
      test(`strongSwan proposes ${way[0]}, which is one of ours`, () =>
        logged(async () => {
          await charon.load({ ...connection, ...way[1] });
          await offer(byCertificate, byKey);
          await charon.initiate('peer');
          await checkChoice('responder', way);
        }));

    // strongSwan takes the way of the first transform, whatever its connections want.
    for (const [way, order] of [
      [ways[0], [byKey, byCertificate]],
      [ways[2], [byCertificate, byKey]],
    ] as const)
      test(`we propose all, ${way?.[0]} first, and strongSwan takes it`, () =>
        logged(async () => {
          assert.ok(way);
          await charon.load({ ...connection, ...way[1] });
          await offer(...order);
          await checkChoice('initiator', way);
        }));
  });

  describe('aggressive mode', () => {
    const ownRsa = leaf('ours', 'rsa');
    const byCertificate = {
      certificate: certificatePem(ownRsa),
      privateKey: keyPem(ownRsa),
      authorities: certificatePem(root),
    };
    const aggressive = { ...connection, extra: { aggressive: 'yes' } };

    const initiating: readonly [string, Partial<PeerConnection>, Partial<TunnelDocument>][] = [
      ['preshared key, by address', { psk: presharedKey }, { presharedKey }],
      [
        'preshared key, by name',
        { psk: presharedKey, localId: 'theirs.example.com', remoteId: 'ours.example.com' },
        { presharedKey, localId: '@ours.example.com', remoteId: '@theirs.example.com' },
      ],
      [
        'preshared key, by e-mail address',
        { psk: presharedKey, remoteId: 'us@example.com' },
        { presharedKey, localId: 'us@example.com' },
      ],
      ['RSA signatures', { certificates: certificates('rsa') }, byCertificate],
    ];
    for (const [name, way, own] of initiating)
      test(`${name}: we initiate`, () =>
        logged(async () => {
          await charon.load({ ...aggressive, ...way });
          await agent.tunnelUp(tunnel({ aggressive: true, ...own }));
          assert.ok(await reachable());
          assert.match(agent.log, /aggressive mode 3/);
          await agent.call('tunnelDown', { name: 'peer' });
        }));

    for (const [name, way, own] of initiating)
      test(`${name}: strongSwan initiates`, () =>
        logged(async () => {
          await charon.load({ ...aggressive, ...way });
          // The tunnel has to be there; what strongSwan begins afterwards is what counts.
          await agent.tunnelUp(tunnel({ aggressive: true, ...own }));
          await charon.terminate({ ike: 'peer' });
          await charon.initiate('peer');
          assert.ok(await reachable());
          const [mainMode] = (await agent.call('associations', {})).mainModes;
          assert.equal(mainMode?.role, 'responder');
          await agent.call('tunnelDown', { name: 'peer' });
        }));

    test('a wrong preshared key is told as such by the initiator', () =>
      logged(async () => {
        await charon.load({ ...aggressive, psk: 'another key' });
        await assert.rejects(
          agent.tunnelUp(tunnel({ aggressive: true, presharedKey })),
          /aggressive mode 2 .* the preshared keys differ/,
        );
      }));

    test('off with us, strongSwan gets no further than a refusal', () =>
      logged(async () => {
        await charon.load({ ...aggressive, psk: presharedKey });
        await secure(agent, tunnel({ presharedKey }));
        await assert.rejects(charon.initiate('peer', 5));
        assert.deepEqual((await agent.call('associations', {})).mainModes, []);
        await agent.call('clearDynamic', {});
      }));
  });
});
