/** tshark reads a capture of ours with the keys we export, and finds nothing wrong with it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { capture } from '../lab/capture.js';
import { needs } from '../lab/needs.js';
import { ping, transfer } from '../lab/traffic.js';
import { decode, type TsharkPacket } from '../lab/tshark.js';
import { AgentOnHost } from '../support/agent-host.js';
import { createPair, type HostPair } from '../support/namespaces.js';
import { addInsides, insideNetworks, type Mode, ourAddress, psk, target, theirAddress } from './lab.js';
import { secure } from './secure.js';

const cases: readonly { readonly ike: string; readonly esp: string; readonly mode: Mode }[] = [
  { ike: '3des-sha1-modp1024', esp: '3des-sha1', mode: 'transport' },
  { ike: 'aes256-sha256-modp2048', esp: 'aes256-sha256', mode: 'tunnel' },
  { ike: 'aes128-sha1-modp1024', esp: 'aes128gcm', mode: 'transport' },
  { ike: 'aes128-md5-modp1024', esp: 'aes256gcm-modp1024', mode: 'tunnel' },
  { ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1-esn', mode: 'transport' },
];

/** What tshark must see of each message, encrypted ones too: payloads by their numbers, in order. */
const payload = { sa: '1', ke: '4', id: '5', hash: '8', nonce: '10', notify: '11', vendor: '13', natD: '20' };
const transforms = ['2', '3'];

describe('tshark with the keys we export', { skip: needs('tshark', 'tcpdump', 'nft', 'ping') }, () => {
  let hosts: HostPair;
  let folder: string;
  let one: AgentOnHost;
  let other: AgentOnHost;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'ipseckit-tshark-test-'));
    hosts = await createPair({ prefix: 'shark', a: [`${ourAddress}/24`], b: [`${theirAddress}/24`] });
    addInsides({ ours: hosts.a, theirs: hosts.b });
    one = await AgentOnHost.start(hosts.a, { args: ['--export-keys', join(folder, 'keys')] });
    other = await AgentOnHost.start(hosts.b);
  });

  after(async () => {
    await one?.remove();
    await other?.remove();
    await hosts?.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const { ike, esp, mode } of cases)
    test(`${ike}, ${esp}, ${mode} mode`, async () => {
      const { ours, theirs } = insideNetworks;
      const networks = (local: string, remote: string) =>
        mode === 'tunnel' ? { localNetworks: [local], remoteNetworks: [remote] } : {};
      const suite = { presharedKey: psk, ike, esp };
      await secure(other, { local: theirAddress, peer: ourAddress, ...suite, ...networks(theirs, ours) });
      await secure(one, { local: ourAddress, peer: theirAddress, ...suite, ...networks(ours, theirs) });
      const recording = await capture(hosts.b, 'eth0', join(folder, `${esp}.pcap`), 'ip');
      const there = target('theirs', mode);
      assert.deepEqual(await ping(hosts.a, there, { count: 3 }), { sent: 3, received: 3 });
      assert.deepEqual(await ping(hosts.a, there, { count: 3, bytes: 1300 }), { sent: 3, received: 3 });
      // No data but the digest that comes back: tshark would guess at random bytes.
      await transfer(hosts.a, hosts.b, there, { bytes: 0 });
      await recording.stop();

      const packets = await decode(recording.file, join(folder, 'keys'));
      for (const { frame, complaints } of packets) assert.deepEqual([frame, complaints], [frame, []]);
      checkIke(packets, esp.includes('modp'));
      checkEsp(packets, mode, !/gcm|esn/.test(esp));
    });
});

/** Payload types of a message without those inside its SA payload. */
function payloads({ fields }: TsharkPacket): string[] {
  return (fields.get('isakmp.typepayload') ?? []).filter(type => !transforms.includes(type));
}

function checkIke(packets: readonly TsharkPacket[], pfs: boolean): void {
  const messages = packets.filter(({ protocols }) => protocols.includes('isakmp'));
  const { sa, ke, id, hash, nonce, notify, vendor, natD } = payload;
  const withoutVendors = messages.map(message => payloads(message).filter(type => type !== vendor));
  const keyExchange = pfs ? [ke] : [];
  assert.deepEqual(withoutVendors.slice(0, 9), [
    [sa],
    [sa],
    [ke, nonce, natD, natD],
    [ke, nonce, natD, natD],
    [id, hash, notify],
    [id, hash],
    [hash, sa, nonce, ...keyExchange, id, id],
    [hash, sa, nonce, ...keyExchange, id, id],
    [hash],
  ]);
  assert.deepEqual(messages[4]?.fields.get('isakmp.id.data.ipv4_addr'), [ourAddress]);
  assert.deepEqual(messages[5]?.fields.get('isakmp.id.data.ipv4_addr'), [theirAddress]);
}

/** `provable`: neither a combined-mode cipher nor extended sequence numbers, whose ICVs tshark does not check. */
function checkEsp(packets: readonly TsharkPacket[], mode: Mode, provable: boolean): void {
  const inner = packets.filter(({ protocols }) => protocols[2] === 'esp');
  const head = ['eth', 'ip', 'esp', ...(mode === 'tunnel' ? ['ip'] : [])];
  const count = (protocol: string) =>
    inner.filter(({ protocols }) => protocols[head.length] === protocol).length;
  assert.equal(count('icmp'), 12);
  assert.ok(count('tcp') >= 6, `${count('tcp')} TCP packets`);
  assert.equal(count('icmp') + count('tcp'), inner.length);
  assert.equal(
    packets.filter(({ protocols }) => protocols.includes('isakmp')).length + inner.length,
    packets.length,
  );
  for (const { protocols, fields, frame } of inner) {
    assert.deepEqual(protocols.slice(0, head.length), head);
    if (provable) assert.deepEqual([frame, fields.get('esp.icv_good')], [frame, ['1']]);
  }
}
