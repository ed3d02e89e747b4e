/** Our agent against strongSwan by certificates: RSA and ECDSA, an intermediate CA, CRLs; its own ESP over UDP 4500. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { NegotiationError } from '../../src/agent/failure.js';
import type { TunnelDocument } from '../../src/agent/tunnel.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { needs } from '../lab/needs.js';
import type { PeerCertificates, PeerConnection } from '../lab/peer-connection.js';
import type { Charon } from '../lab/strongswan.js';
import { ping } from '../lab/traffic.js';
import type { AgentOnHost } from '../support/agent-host.js';
import {
  certificatePem,
  crlPem,
  dns,
  keyPem,
  type TestKeyKind,
  testCa,
  testCrl,
  testLeaf,
} from '../support/certificates.js';
import { makeLab, type OwnLab, withLogs } from './lab.js';

const ours = '10.67.0.1';
const theirs = '10.67.0.2';
const dayMs = 86_400_000;

/** These are used now, not at the time of the other tests. */
const valid = { notBeforeMs: Date.now() - dayMs, notAfterMs: Date.now() + 30 * dayMs };
const crlTimes = { thisUpdateMs: Date.now() - dayMs, nextUpdateMs: Date.now() + dayMs };

function chainOf(key: TestKeyKind) {
  const root = testCa(`C=DE, O=Example, CN=Root ${key}`, undefined, { key, ...valid });
  const intermediate = testCa(`C=DE, O=Example, CN=Intermediate ${key}`, root, { key, ...valid });
  const leaf = (name: string, address: string) =>
    testLeaf(`C=DE, O=Example, CN=${name} ${key}`, intermediate, {
      key,
      ...valid,
      alternativeNames: [dns(`${name}.example.com`), { kind: 'address', address: ipAddress(address) }],
    });
  return { root, intermediate, ours: leaf('ours', ours), theirs: leaf('theirs', theirs) };
}

type Chain = ReturnType<typeof chainOf>;

/** Our tunnel: we know the root only and send the intermediate along, as strongSwan does. */
function tunnel(
  chain: Chain,
  overrides: Partial<TunnelDocument> = {},
): Omit<TunnelDocument, 'format' | 'version'> {
  return {
    name: 'peer',
    local: ours,
    peer: theirs,
    certificate: certificatePem(chain.ours, chain.intermediate),
    privateKey: keyPem(chain.ours),
    authorities: certificatePem(chain.root),
    remoteNetworks: [`${theirs}/32`],
    ike: 'aes256-sha256-ecp256',
    esp: 'aes128-sha256',
    ...overrides,
  };
}

describe('strongSwan by certificates', { skip: needs('charon', 'nft', 'ping') }, () => {
  let lab: OwnLab;
  let agent: AgentOnHost;
  let charon: Charon;

  before(async () => {
    lab = await makeLab({ prefix: 'crt', ours: [`${ours}/24`], theirs: [`${theirs}/24`] });
    ({ agent, charon } = lab);
  });

  after(() => lab?.stop());

  const connection = (
    chain: Chain,
    {
      localId,
      remoteId,
      fragmentation,
      ...certificates
    }: Partial<PeerCertificates> & {
      localId?: string;
      remoteId?: string;
      fragmentation?: 'no' | 'force';
    } = {},
    proposals = ['aes256-sha256-ecp256', 'aes128-sha1-ecp384', 'aes128-sha512-modp2048'],
  ): PeerConnection => ({
    ...{ name: 'peer', local: theirs, remote: ours, mode: 'tunnel', encapsulate: true },
    ike: proposals,
    esp: ['aes128-sha256'],
    ...(fragmentation === undefined ? {} : { extra: { fragmentation } }),
    ...(localId === undefined ? {} : { localId }),
    ...(remoteId === undefined ? {} : { remoteId }),
    certificates: {
      own: certificatePem(chain.theirs),
      privateKey: keyPem(chain.theirs),
      authorities: [certificatePem(chain.root), certificatePem(chain.intermediate)],
      ...certificates,
    },
  });

  const load = (...of: Parameters<typeof connection>) => charon.load(connection(...of));

  const logged = (work: () => Promise<void>) => withLogs(lab, work);

  for (const key of ['rsa', 'prime256v1', 'secp384r1', 'secp521r1'] as const) {
    const chain = chainOf(key);
    for (const ike of ['aes256-sha256-ecp256', 'aes128-sha1-ecp384', 'aes128-sha512-modp2048'])
      test(`${key}, ${ike}: we initiate`, () =>
        logged(async () => {
          await load(chain);
          await agent.tunnelUp(tunnel(chain, { ike, remoteId: chain.theirs.certificate.subject.text }));
          assert.deepEqual(await ping(lab.ours, theirs, { count: 2 }), { sent: 2, received: 2 });
          const [mainMode] = (await agent.call('associations', {})).mainModes;
          assert.equal(mainMode?.authentication, 'certificate');
          assert.equal(mainMode?.peerIdentity, chain.theirs.certificate.subject.text);
          await agent.call('tunnelDown', { name: 'peer' });
        }));
    test(`${key}: strongSwan initiates, both by FQDN`, () =>
      logged(async () => {
        await load(chain, { localId: 'theirs.example.com', remoteId: 'ours.example.com' });
        await agent.tunnelUp(
          tunnel(chain, { localId: '@ours.example.com', remoteId: '@theirs.example.com' }),
        );
        await charon.terminate({ ike: 'peer' });
        await charon.initiate('peer');
        assert.deepEqual(await ping(lab.ours, theirs, { count: 2 }), { sent: 2, received: 2 });
        await agent.call('tunnelDown', { name: 'peer' });
      }));
  }

  const chain = chainOf('rsa');

  test('fragments in both directions, in both roles: each side cuts its chain and joins the other one', () =>
    logged(async () => {
      const before = charon.log().length;
      await load(chain, { fragmentation: 'force' });
      await agent.tunnelUp(tunnel(chain));
      assert.match(agent.log, /main mode 5.* in 2 fragments/);
      const asResponder = charon.log().slice(before);
      assert.match(asResponder, /received fragment #2 of 2|received fragment #1(, waiting)?/);
      assert.match(asResponder, /splitting IKE message/);
      await charon.terminate({ ike: 'peer' });
      await charon.initiate('peer');
      assert.match(agent.log, /main mode 6.* in 2 fragments/);
      assert.deepEqual(await ping(lab.ours, theirs, { count: 2 }), { sent: 2, received: 2 });
      await agent.call('tunnelDown', { name: 'peer' });
    }));

  test('strongSwan that joins no fragments gets whole messages', () =>
    logged(async () => {
      await load(chain, { fragmentation: 'no' });
      const before = agent.log.length;
      await agent.tunnelUp(tunnel(chain));
      assert.match(agent.log.slice(before), /main mode 5/);
      assert.doesNotMatch(agent.log.slice(before), / fragments/);
      await agent.call('tunnelDown', { name: 'peer' });
    }));

  test('strongSwan under strict CRL checking takes us when its CRLs clear us, and refuses us when revoked', () =>
    logged(async () => {
      const rootCrl = crlPem(testCrl(chain.root, [], crlTimes));
      const clean = crlPem(testCrl(chain.intermediate, [], crlTimes));
      await load(chain, { crls: [rootCrl, clean], revocation: 'strict' });
      await agent.tunnelUp(tunnel(chain));
      await agent.call('tunnelDown', { name: 'peer' });
      const revoking = crlPem(
        testCrl(chain.intermediate, [chain.ours], { ...crlTimes, thisUpdateMs: Date.now() - 1_000 }),
      );
      await load(chain, { crls: [rootCrl, revoking], revocation: 'strict' });
      await assert.rejects(agent.tunnelUp(tunnel(chain)), /main mode 5/);
    }));

  test('we refuse strongSwan when a CRL revokes it, with every test of its chain', () =>
    logged(async () => {
      await load(chain);
      const crls = crlPem(testCrl(chain.intermediate, [chain.theirs], crlTimes));
      await assert.rejects(agent.tunnelUp(tunnel(chain, { crls })), error => {
        assert.ok(error instanceof NegotiationError, String(error));
        assert.match(error.message, /CN=theirs rsa: revoked on/);
        assert.equal(error.failure.windowsCode, 13848);
        assert.ok((error.failure.certificateTests ?? []).length > 8);
        return true;
      });
      assert.deepEqual(await charon.listSas(), [], 'it heard that we are not there');
    }));

  test('a policy with CERT:"…", and the certificate imported on this machine', () =>
    logged(async () => {
      const folder = mkdtempSync(join(tmpdir(), 'ipseckit-crt-'));
      try {
        writeFileSync(
          join(folder, 'own.pem'),
          certificatePem(chain.ours, chain.intermediate) + keyPem(chain.ours),
          {
            mode: 0o600,
          },
        );
        writeFileSync(join(folder, 'root.pem'), certificatePem(chain.root));
        const run = async (program: 'ipseckit' | 'ipsecpol', ...args: string[]) => {
          const { status, stdout, stderr } = await agent.command(program, ...args);
          assert.equal(status, 0, stdout + stderr);
        };
        await run('ipseckit', 'cert', 'import', join(folder, 'root.pem'), '--trust');
        await run('ipseckit', 'cert', 'import', join(folder, 'own.pem'));
        await load(chain);
        const rule = [
          '-n',
          'ESP[AES128,SHA256]',
          '-a',
          'CERT:"C=DE, O=Example, CN=Root rsa"',
          '-1s',
          'AES256-SHA256-19',
        ];
        await run('ipsecpol', '-f', `${ours}=${theirs}`, '-t', theirs, ...rule);
        await run('ipsecpol', '-f', `${theirs}=${ours}`, '-t', ours, ...rule);
        assert.equal((await ping(lab.ours, theirs, { count: 4 })).received > 0, true);
        const [mainMode] = (await agent.call('associations', {})).mainModes;
        assert.equal(mainMode?.authentication, 'certificate');
        assert.deepEqual(mainMode?.method, { encryption: 'aes256', hash: 'sha256', group: 19 });
        await agent.call('clearDynamic', {});
      } finally {
        rmSync(folder, { recursive: true });
      }
    }));

  test('a tunnel by certificate and one by preshared key to the same peer, each under a main mode of its own', () =>
    logged(async () => {
      const networks = { localNetworks: ['10.68.1.0/24'], remoteNetworks: [`${theirs}/32`] };
      const { certificates: _, ...keyed } = connection(chain);
      await charon.load(connection(chain), {
        ...{ ...keyed, name: 'keyed', psk: 'one of a pair' },
        remoteSelector: '10.68.1.0/24',
      });
      const { certificate: _1, privateKey: _2, authorities: _3, ...byKey } = tunnel(chain, networks);
      await agent.tunnelUp(tunnel(chain));
      await agent.tunnelUp({ ...byKey, name: 'keyed', presharedKey: 'one of a pair' });
      const { mainModes, quickModes } = await agent.call('associations', {});
      assert.deepEqual(mainModes.map(({ authentication }) => authentication).sort(), [
        'certificate',
        'preshared',
      ]);
      assert.equal(quickModes.length, 2);
      assert.deepEqual(await ping(lab.ours, theirs, { count: 2 }), { sent: 2, received: 2 });
      await agent.call('tunnelDown', { name: 'keyed' });
      await agent.call('tunnelDown', { name: 'peer' });
      assert.deepEqual(await charon.listSas(), []);
    }));

  test('another subject than expected is refused', () =>
    logged(async () => {
      await load(chain);
      await assert.rejects(
        agent.tunnelUp(tunnel(chain, { remoteId: 'CN=somebody else' })),
        /CN=somebody else is expected/,
      );
    }));
});
