/** Other ways into a connection with libreswan: certificates, aggressive mode, and libreswan as a gateway for clients. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { printPem } from '../../../src/crypto/certificates/pem.js';
import { makePkcs12 } from '../../../src/crypto/certificates/pkcs12.js';
import { Secret } from '../../../src/crypto/secret.js';
import { capture } from '../../lab/capture.js';
import { run } from '../../lab/command.js';
import type { PlutoCertificates } from '../../lab/pluto.js';
import { ping } from '../../lab/traffic.js';
import { type Identity, testCa, testLeaf } from '../../support/certificates.js';
import { target, theirAddress } from '../lab.js';
import { configureTheirs, type PlutoLab, suite, tunnel, user, withLogs } from './lab.js';

const dayMs = 86_400_000;
const valid = { notBeforeMs: Date.now() - dayMs, notAfterMs: Date.now() + 30 * dayMs };
const root = testCa('C=DE, O=Example, CN=Root', undefined, valid);
const ours = testLeaf('C=DE, O=Example, CN=ours', root, valid);
const theirs = testLeaf('C=DE, O=Example, CN=theirs', root, valid);
const pem = ({ certificate }: Identity) => printPem('CERTIFICATE', certificate.der);

/** Our own PKCS #12 file goes into its store. */
export function plutoCertificates(): PlutoCertificates {
  const { certificate, privateKey } = theirs;
  const own = { certificate, chain: [], privateKey: new Secret(privateKey) };
  const passphrase = 'passphrase';
  const file = makePkcs12(own, [], 'theirs', new Secret(passphrase));
  return { own: [{ file, passphrase }], authorities: [pem(root)] };
}

const two = { sent: 2, received: 2 };

export function phase1Tests(lab: () => PlutoLab): void {
  describe('phase 1', () => {
    /** Brings our tunnel up and sends something through; takes it down again. */
    async function works(overrides: Parameters<typeof tunnel>[0]): Promise<void> {
      const { agent } = lab();
      await agent.tunnelUp(tunnel(overrides));
      assert.deepEqual(await ping(lab().ours, target('theirs', 'tunnel'), { count: 2 }), two);
      await agent.call('tunnelDown', { name: 'peer' });
    }

    test('RSA certificates, its message 6 in fragments, and its name', () =>
      withLogs(lab(), async () => {
        const { agent, pluto } = lab();
        const said = pluto.log().length;
        const name = (cn: string) => `"C=DE, O=Example, CN=${cn}"`;
        await configureTheirs(lab(), 'tunnel', suite, {
          ...{ authby: 'rsasig', leftcert: 'theirs', leftid: name('theirs'), rightid: name('ours') },
          ...{
            rightca: name('Root'),
            leftsendcert: 'always',
            fragmentation: 'force',
            'send-vendorid': 'yes',
          },
        });
        const certificates = {
          certificate: pem(ours),
          privateKey: ours.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
          authorities: pem(root),
        };
        const { presharedKey: _, ...rest } = tunnel(certificates);
        const file = `/tmp/ipseckit-libreswan-${process.pid}.pcap`;
        const recording = await capture(lab().ours, 'tap0', file, 'udp port 500');
        await agent.tunnelUp(rest);
        await recording.stop();
        const fragments = await run(['tcpdump', '-n', '-r', file, `src ${theirAddress} and udp[24] = 132`]);
        rmSync(file);
        assert.ok(fragments.trim().split('\n').length >= 2, fragments);
        assert.deepEqual(await ping(lab().ours, target('theirs', 'tunnel'), { count: 2 }), two);
        const [mainMode] = (await agent.call('associations', {})).mainModes;
        assert.equal(mainMode?.authentication, 'certificate');
        assert.equal(mainMode?.peerIdentity, 'C=DE, O=Example, CN=theirs');
        assert.ok(mainMode?.vendorIds.includes('libreswan'));
        assert.match(pluto.log().slice(said), /auth=RSA_SIG/);
        await agent.call('tunnelDown', { name: 'peer' });
      }));

    test('aggressive mode', () =>
      withLogs(lab(), async () => {
        await configureTheirs(lab(), 'tunnel', suite, { aggressive: 'yes' });
        await works({ aggressive: true });
      }));

    const gateway = {
      ...{ right: '%any', rightsubnet: undefined, rightaddresspool: '10.3.0.7-10.3.0.9', rekey: 'no' },
      ...{ leftxauthserver: 'yes', rightxauthclient: 'yes', xauthby: 'file' },
      ...{ leftmodecfgserver: 'yes', rightmodecfgclient: 'yes', modecfgpull: 'yes' },
      ...{ modecfgdns: '"10.2.0.53,10.2.0.54"', modecfgbanner: '"Be nice"', 'cisco-unity': 'yes' },
    };
    const { localNetworks: _, ...client } = tunnel({
      ...{ xauthUser: user.name, xauthPassword: user.password, modeConfig: 'pull' },
    });

    test('a gateway that asks for a user and gives an address', () =>
      withLogs(lab(), async () => {
        const { agent } = lab();
        await configureTheirs(lab(), 'tunnel', suite, gateway);
        const { configuration } = await agent.tunnelUp(client);
        assert.match(configuration?.address ?? '', /^10\.3\.0\.[789]$/);
        assert.deepEqual(configuration?.dnsServers, ['10.2.0.53', '10.2.0.54']);
        assert.equal(configuration?.banner, 'Be nice');
        assert.deepEqual(await ping(lab().ours, target('theirs', 'tunnel'), { count: 2 }), two);
        await agent.call('tunnelDown', { name: 'peer' });
        await assert.rejects(agent.tunnelUp({ ...client, xauthPassword: 'wrong' }), /refused the user "ann"/);
      }));
  });
}
