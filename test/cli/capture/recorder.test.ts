import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CaptureFile } from '../../../src/cli/capture/capture-file.js';
import { type CaptureFilter, CaptureRecorder } from '../../../src/cli/capture/recorder.js';
import { capturePaths, tsharkCommand } from '../../../src/cli/capture/wireshark-folder.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { subnetRange } from '../../../src/wire/ip/selector.js';
import { readCapture } from '../../../src/wire/pcap.js';
import { ipPacket, tcpPacket, udpPacket } from '../../support/packets.js';

const us = '192.0.2.1';
const peer = '198.51.100.7';
const seen = (bytes: Uint8Array, device = 'eth0', direction: 'inbound' | 'outbound' = 'inbound') => ({
  bytes,
  device,
  direction,
  timestampNs: 5n,
});

function recorded(filter: CaptureFilter, add: (recorder: CaptureRecorder) => void) {
  const blocks: Uint8Array[] = [];
  const recorder = new CaptureRecorder(block => blocks.push(block), 'test', filter);
  add(recorder);
  const interfaces = recorder.finish(9n);
  const packets = [...readCapture(Uint8Array.from(Buffer.concat(blocks)))];
  return { interfaces, packets };
}

describe('what a capture takes', () => {
  const esp = (source: string, destination: string) =>
    ipPacket({ source, destination }, 50, new Uint8Array(16));
  const tcp = (source: string, destination: string) => tcpPacket({ source, destination });

  test('only the peer on the wire, and only what is protected towards it inside', () => {
    const inner = [
      {
        source: subnetRange(ipAddress('10.1.0.0'), 24),
        destination: subnetRange(ipAddress('10.2.0.0'), 24),
        protocol: 0,
        sourcePort: 0,
        destinationPort: 0,
      },
    ];
    const { interfaces } = recorded({ peer: ipAddress(peer), inner }, recorder => {
      assert.ok(recorder.add('wire', seen(esp(us, peer))));
      assert.ok(!recorder.add('wire', seen(esp(us, '203.0.113.9'))));
      assert.ok(recorder.add('inner', seen(tcp('10.1.0.5', '10.2.0.9'), 'ipseckit0')));
      assert.ok(recorder.add('inner', seen(tcp('10.2.0.9', '10.1.0.5'), 'ipseckit0')));
      assert.ok(recorder.add('inner', seen(tcp(peer, us), 'ipseckit0')));
      assert.ok(!recorder.add('inner', seen(tcp('10.1.0.5', '10.3.0.9'), 'ipseckit0')));
      recorder.lost('wire', 4);
    });
    assert.deepEqual(interfaces, [
      { name: 'eth0', side: 'wire', packets: 1, lost: 4 },
      { name: 'ipseckit0', side: 'inner', packets: 3, lost: 0 },
    ]);
  });

  test('a flood from forged addresses is not remembered for ever', () => {
    const from = (source: string, fragmentOffset = 0) =>
      ipPacket({ source, destination: us, header: { fragmentOffset } }, 17, new Uint8Array(8));
    recorded({}, recorder => {
      const forged = (i: number) => `10.1.${i >> 8}.${i & 0xff}`;
      for (let i = 0; i < 12_000; i++) recorder.add('wire', seen(from(forged(i))));
      assert.ok(!recorder.add('wire', seen(from(forged(0), 8))));
      assert.ok(recorder.add('wire', seen(from(forged(11_999), 8))));
    });
  });

  test('later fragments of those who speak IKE, and nothing twice on the loopback device', () => {
    const fragment = ipPacket(
      { source: us, destination: peer, header: { fragmentOffset: 8 } },
      17,
      new Uint8Array(8),
    );
    const { packets } = recorded({}, recorder => {
      assert.ok(!recorder.add('wire', seen(fragment)));
      const ike = udpPacket({ source: us, destination: peer, sourcePort: 500, destinationPort: 500 });
      assert.ok(recorder.add('wire', seen(ike, 'eth0', 'outbound')));
      assert.ok(recorder.add('wire', seen(fragment)));
      assert.ok(!recorder.add('wire', seen(ike, 'lo')));
    });
    assert.deepEqual(
      packets.map(({ device, direction }) => [device, direction]),
      [
        ['eth0', 'outbound'],
        ['eth0', 'inbound'],
      ],
    );
    const { packets: loopback } = recorded({ device: 'lo' }, recorder => {
      recorder.add('wire', seen(esp(us, us), 'lo', 'outbound'));
      recorder.add('wire', seen(esp(us, us), 'lo', 'inbound'));
    });
    assert.equal(loopback.length, 1);
  });
});

test('names of the files, and the command that opens them', () => {
  const now = new Date('2026-11-24T10:00:00Z');
  assert.deepEqual(capturePaths('a/b.pcapng', now), { file: 'a/b.pcapng', keys: 'a/b.keys' });
  assert.equal(capturePaths(undefined, now).file, 'ipseckit-20261124T100000.pcapng');
  assert.equal(
    tsharkCommand({ file: "it's.pcapng", keys: 'k' }, true),
    "WIRESHARK_CONFIG_DIR='k' tshark -r 'it'\\''s.pcapng'",
  );
});

const canMount = process.getuid?.() === 0;

test('a full disk ends it with the last whole block', { skip: canMount ? false : 'needs root' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-full-'));
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'none', disk]);
  assert.equal(mounted.status, 0, String(mounted.stderr));
  try {
    const file = new CaptureFile(join(disk, 'x.pcapng'));
    assert.equal(statSync(file.path).mode & 0o777, 0o600);
    assert.throws(() => new CaptureFile(file.path), { code: 'CONFLICT' });
    const recorder = new CaptureRecorder(block => file.write(block), 'test');
    const packet = tcpPacket({ source: us, destination: peer, data: new Uint8Array(900) });
    let taken = 0;
    assert.throws(
      () => {
        for (; taken < 100; taken++) recorder.add('inner', seen(packet, 'ipseckit0'));
      },
      { code: 'ENVIRONMENT', message: /ENOSPC.*last whole packet/ },
    );
    file.close();
    assert.ok(taken > 5);
    assert.equal([...readCapture(readFileSync(file.path))].length, taken);
  } finally {
    spawnSync('umount', [disk]);
    rmSync(folder, { recursive: true, force: true });
  }
});
