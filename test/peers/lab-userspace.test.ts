/** The lab itself: strongSwan against strongSwan with its own ESP, which needs nothing of the kernel but TUN. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { capture } from '../lab/capture.js';
import { needs } from '../lab/needs.js';
import { Charon } from '../lab/strongswan.js';
import { ping, transfer } from '../lab/traffic.js';
import { decode } from '../lab/tshark.js';
import { createPair, type HostPair } from '../support/namespaces.js';

const left = '10.66.0.1';
const right = '10.66.0.2';

describe('the lab: strongSwan with user-space ESP', {
  skip: needs('charon', 'tcpdump', 'tshark', 'iperf3', 'ping'),
}, () => {
  let hosts: HostPair;
  let a: Charon;
  let b: Charon;

  before(async () => {
    hosts = await createPair({ prefix: 'lab', a: [`${left}/24`], b: [`${right}/24`] });
    a = await Charon.start({ host: hosts.a, esp: 'kernel-libipsec' });
    b = await Charon.start({ host: hosts.b, esp: 'kernel-libipsec' });
  });

  after(async () => {
    await a?.stop();
    await b?.stop();
    await hosts?.destroy();
  });

  test('tunnel mode in UDP 4500 carries ping and TCP', async () => {
    const common = {
      name: 'peer',
      psk: 'a preshared key',
      mode: 'tunnel' as const,
      encapsulate: true,
      ike: ['3des-sha1-modp1024'],
      esp: ['3des-sha1'],
    };
    await a.load({ ...common, local: left, remote: right });
    await b.load({ ...common, local: right, remote: left });
    await a.initiate('peer');
    const recording = await capture(hosts.a, 'eth0', `/tmp/lab-userspace-${process.pid}.pcap`);
    assert.deepEqual(await ping(hosts.a, right, { count: 3 }), { sent: 3, received: 3 });
    await transfer(hosts.b, hosts.a, left, { bytes: 1_000_000 });
    await recording.stop();
    const packets = await decode(recording.file, undefined, 'ip');
    assert.ok(packets.length > 500, `${packets.length} packets`);
    for (const packet of packets) {
      assert.deepEqual(packet.protocols.slice(0, 5), ['eth', 'ip', 'udp', 'udpencap', 'esp']);
      assert.deepEqual(packet.complaints, []);
    }
  });
});
