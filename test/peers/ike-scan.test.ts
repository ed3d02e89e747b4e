/** ike-scan probes our responder: it answers those a policy covers, says why it refuses, and is taken for what it plays. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { toHex } from '../../src/wire/bytes.js';
import { vendorIds } from '../../src/wire/isakmp/vendor-ids.js';
import { needs } from '../lab/needs.js';
import { AgentOnHost } from '../support/agent-host.js';
import { createPair, type HostPair } from '../support/namespaces.js';
import { ourAddress, psk, theirAddress } from './lab.js';
import { secure } from './secure.js';

/** An address of the scanner that no rule of ours covers. */
const strangerAddress = '10.66.0.3';

describe('ike-scan of the Windows 2003 profile', { skip: needs('ike-scan', 'nft') }, () => {
  let hosts: HostPair;
  let agent: AgentOnHost;

  before(async () => {
    hosts = await createPair({ prefix: 'scw', a: [`${ourAddress}/24`], b: [`${theirAddress}/24`] });
    agent = await AgentOnHost.start(hosts.a, { args: ['--vendor-profile', 'windows-2003'] });
    const ike = '3des-sha1-modp1024';
    await secure(agent, { local: ourAddress, peer: theirAddress, presharedKey: psk, ike, esp: '3des-sha1' });
  });

  after(async () => {
    await agent?.remove();
    await hosts?.destroy();
  });

  test('it is named Windows-2003-or-XP-SP2, by vendor IDs and by its back-off', async () => {
    // The first pauses of ike-scan's own table: all of them take two minutes.
    const folder = mkdtempSync(join(tmpdir(), 'ipseckit-scan-'));
    try {
      const table = readFileSync('/usr/share/ike-scan/ike-backoff-patterns', 'utf8');
      const windows = /^(Windows 2000, 2003 or XP)\t0, 1, 2, 4, 8, 16, 32$/m.exec(table)?.[1];
      assert.ok(windows, 'ike-scan knows the pattern');
      writeFileSync(join(folder, 'patterns'), `${windows}\t0, 1, 2, 4\n`);
      const args = ['--multiline', '--showbackoff=6', `--patterns=${folder}/patterns`, ourAddress];
      const { stdout } = await hosts.b.execute('ike-scan', args, { timeoutMs: 40_000 });
      assert.match(stdout, /VID=1e2b516905991c7d7c96fcbfb587e46100000004 \(Windows-2003-or-XP-SP2\)/);
      assert.match(stdout, /Implementation guess: Windows 2000, 2003 or XP/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('ike-scan', { skip: needs('ike-scan', 'nft') }, () => {
  let hosts: HostPair;
  let agent: AgentOnHost;

  before(async () => {
    hosts = await createPair({
      prefix: 'scan',
      a: [`${ourAddress}/24`],
      b: [`${theirAddress}/24`, `${strangerAddress}/24`],
    });
    agent = await AgentOnHost.start(hosts.a);
    const ike = '3des-sha1-modp1024,aes128-sha256-modp2048';
    await secure(agent, { local: ourAddress, peer: theirAddress, presharedKey: psk, ike, esp: '3des-sha1' });
  });

  after(async () => {
    await agent?.remove();
    await hosts?.destroy();
  });

  async function scan(...args: string[]): Promise<string> {
    const { stdout, stderr } = await hosts.b.execute(
      'ike-scan',
      ['--multiline', '--retry=3', '--timeout=1000', ...args, ourAddress],
      { timeoutMs: 30_000 },
    );
    assert.equal(stderr, '');
    return stdout;
  }

  test('a handshake with each method of the policy, lifetime returned as offered', async () => {
    const triple = await scan('--lifetime=3600', '--trans=5,2,1,2');
    assert.match(triple, /Main Mode Handshake returned/);
    assert.match(
      triple,
      /SA=\(Enc=3DES Hash=SHA1 Auth=PSK Group=2:modp1024 LifeType=Seconds LifeDuration\(4\)=0x00000e10\)/,
    );
    const aes = await scan('--trans=(1=7,14=128,2=4,3=1,4=14)');
    assert.match(aes, /SA=\(Enc=AES KeyLength=128 Hash=SHA2-256 Auth=PSK Group=14:modp2048\)/);
  });

  test('the one that fits of its own eight offers', async () => {
    assert.match(await scan(), /SA=\(Enc=3DES Hash=SHA1 Auth=PSK Group=2:modp1024 /);
  });

  test('our vendor IDs: our own, and known ones, none of them of Windows alone', async () => {
    const vendors = [...(await scan()).matchAll(/VID=([0-9a-f]+)(?: \((.*)\))?/g)].map(
      ([, hex, name]) => name ?? hex,
    );
    assert.deepEqual(vendors, [
      toHex(vendorIds.ipseckit.bytes),
      'RFC 3947 NAT-T',
      'draft-ietf-ipsec-nat-t-ike-03',
      'draft-ietf-ipsec-nat-t-ike-02\\n',
      'draft-ietf-ipsec-nat-t-ike-02',
      'Dead Peer Detection v1.0',
      'IKE Fragmentation',
    ]);
  });

  test('what no method fits is refused with NO-PROPOSAL-CHOSEN', async () => {
    assert.match(await scan('--trans=1,1,1,1'), /Notify message 14 \(NO-PROPOSAL-CHOSEN\)/);
    assert.match(await scan('--trans=5,2,3,2'), /Notify message 14/, 'RSA signatures');
  });

  test('so is an address no rule covers', async () => {
    const answer = await scan(`--bindip=${strangerAddress}`);
    assert.match(answer, /Notify message 14 \(NO-PROPOSAL-CHOSEN\)/);
  });

  test('aggressive mode is not spoken unless the policy allows it, and leaves nothing behind', async () => {
    const answer = await scan('--aggressive', '--id=somebody');
    assert.match(answer, /Notify message 29 \(UNSUPPORTED-EXCHANGE-TYPE\)/);
    assert.doesNotMatch(answer, /Handshake/);
  });

  test('where the policy allows it, aggressive mode gets a handshake with our hash', async () => {
    const connection = { local: ourAddress, peer: theirAddress, presharedKey: psk, esp: '3des-sha1' };
    await secure(agent, { ...connection, ike: '3des-sha1-modp1024', aggressive: true });
    const answer = await scan('--aggressive', '--id=somebody', '--trans=5,2,1,2', '--dhgroup=2');
    assert.match(answer, /Aggressive Mode Handshake returned/);
    assert.match(answer, /SA=\(Enc=3DES Hash=SHA1 Auth=PSK Group=2:modp1024 /);
    assert.match(answer, /Hash\(20 bytes\)/);
    assert.match(answer, /ID\(Type=ID_IPV4_ADDR, Value=10\.66\.0\.1\)/);
    assert.equal((await agent.call('associations', {})).mainModes.length, 1);
  });
});
