/** The lab itself, before anything of ours is tried in it: strongSwan against strongSwan with the kernel's ESP and AH. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { capture } from '../../lab/capture.js';
import { run, waitFor } from '../../lab/command.js';
import { Charon, type PeerConnection } from '../../lab/strongswan.js';
import { ping, transfer } from '../../lab/traffic.js';
import { createPair, type HostPair } from '../../support/namespaces.js';

const left = '10.66.0.1';
const right = '10.66.0.2';

const cases: readonly Pick<PeerConnection, 'mode' | 'ike' | 'esp' | 'ah'>[] = [
  { mode: 'transport', ike: ['3des-sha1-modp1024'], esp: ['3des-sha1'] },
  { mode: 'transport', ike: ['des-md5-modp768'], esp: ['des-md5'] },
  { mode: 'tunnel', ike: ['aes256-sha256-modp2048'], esp: ['aes128gcm16-modp2048'] },
  { mode: 'tunnel', ike: ['aes128-sha1-modp1024'], ah: ['sha1'] },
];

describe('strongSwan with kernel ESP and AH', () => {
  let hosts: HostPair;
  let a: Charon;
  let b: Charon;

  before(async () => {
    hosts = await createPair({ prefix: 'lab', a: [`${left}/24`], b: [`${right}/24`] });
    a = await Charon.start({ host: hosts.a, esp: 'kernel-netlink' });
    b = await Charon.start({ host: hosts.b, esp: 'kernel-netlink' });
  });

  after(async () => {
    await a?.stop();
    await b?.stop();
    await hosts?.destroy();
  });

  afterEach(async () => {
    await a.terminate({ ike: 'peer' });
    await waitFor('the other side to forget', async () => (await b.listSas()).length === 0);
  });

  for (const one of cases) {
    const name = `${one.mode} ${one.ike} ${one.esp ? `ESP ${one.esp}` : `AH ${one.ah}`}`;
    test(name, async () => {
      const common = { name: 'peer', psk: 'a preshared key', ...one };
      await a.load({ ...common, local: left, remote: right });
      await b.load({ ...common, local: right, remote: left });
      await a.initiate('peer');
      // The responder has its SAs a message later than the initiator.
      const child = await waitFor(
        'the child at the other side',
        async () => (await b.installedChildren())[0],
      );
      assert.equal(child.mode.toLowerCase(), one.mode);
      const recording = await capture(hosts.b, 'eth0', '/tmp/lab.pcap');
      assert.deepEqual(await ping(hosts.a, right, { count: 3 }), { sent: 3, received: 3 });
      await recording.stop();
      // Outgoing packets only: of incoming tunnel packets the kernel shows the inner one too.
      const sent = (await run(['tcpdump', '-n', '-r', recording.file]))
        .split('\n')
        .filter(line => line.includes(`IP ${right} >`));
      assert.equal(sent.length, 3);
      for (const line of sent) assert.match(line, one.esp ? /: ESP\(/ : /: AH\(/);
      await transfer(hosts.a, hosts.b, right, { bytes: 1_000_000 });
      const used = (await b.installedChildren())[0];
      assert.ok((used?.packetsIn ?? 0) > 100, `packets in: ${used?.packetsIn}`);
    });
  }
});
