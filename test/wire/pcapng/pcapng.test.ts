import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { WireError } from '../../../src/wire/bytes.js';
import { linkTypes } from '../../../src/wire/captured-packet.js';
import { readCapture } from '../../../src/wire/pcap.js';
import {
  enhancedPacket,
  interfaceDescription,
  interfaceStatistics,
  sectionHeader,
} from '../../../src/wire/pcapng/writer.js';
import { run } from '../../lab/command.js';
import { needs } from '../../lab/needs.js';
import { tcpPacket } from '../../support/packets.js';
import { SeededRandom } from '../../support/random.js';

const tcp = tcpPacket({
  source: '192.0.2.1',
  destination: '198.51.100.7',
  sourcePort: 1025,
  destinationPort: 80,
});

const joined = (blocks: readonly Uint8Array[]) => Uint8Array.from(Buffer.concat(blocks));
const header = sectionHeader({ application: 'ipseckit test', os: 'Linux', comment: 'a capture' });
const wire = interfaceDescription({ name: 'eth0', description: 'wire', linkType: linkTypes.RAW });
const inner = interfaceDescription({ name: 'ipseckit0', linkType: linkTypes.RAW });

/** Any number of packets on two interfaces, the second one described in the middle. */
function randomPackets(random: SeededRandom) {
  return Array.from({ length: random.between(1, 20) }, (_, i) => {
    const bytes = random.bytes(random.between(0, 200));
    return {
      interfaceId: i < 3 ? 0 : random.between(0, 1),
      timestampNs:
        BigInt(random.between(0, 2 ** 32)) * 1_000_000_000n + BigInt(random.between(0, 999_999_999)),
      bytes,
      wireBytes: bytes.length + random.between(0, 9),
      ...(random.between(0, 1) === 0 ? {} : { direction: 'inbound' as const }),
      comments: Array.from({ length: random.between(0, 3) }, (_, k) => `comment ${'é'.repeat(k)}`),
    };
  });
}

function written(packets: ReturnType<typeof randomPackets>): Uint8Array[] {
  return [
    header,
    wire,
    ...packets.slice(0, 3).map(enhancedPacket),
    inner,
    ...packets.slice(3).map(enhancedPacket),
    interfaceStatistics({ interfaceId: 0, timestampNs: 7n, received: 3, dropped: 1 }),
  ];
}

describe('pcapng', () => {
  test('what is written is read again', () => {
    const seed = 20_261_124;
    const random = new SeededRandom(seed);
    for (let round = 0; round < 200; round++) {
      const packets = randomPackets(random);
      const read = [...readCapture(joined(written(packets)))];
      assert.deepEqual(
        read.map(({ offset, comments = [], ...packet }) => ({
          ...packet,
          comments,
          bytes: Buffer.from(packet.bytes),
          isBehindHeader: offset > 0,
        })),
        packets.map(({ interfaceId, ...packet }) => ({
          ...packet,
          bytes: Buffer.from(packet.bytes),
          linkType: linkTypes.RAW,
          device: interfaceId === 0 ? 'eth0' : 'ipseckit0',
          isBehindHeader: true,
        })),
        `seed ${seed}, round ${round}`,
      );
    }
  });

  test('a file that ends early gives its whole packets, then the place where it ends', () => {
    const packet = enhancedPacket({ interfaceId: 0, timestampNs: 1n, bytes: tcp, comments: ['one'] });
    const file = joined([header, wire, packet, packet]);
    const lastBlock = file.length - packet.length;
    for (let length = lastBlock + 1; length < file.length; length++) {
      let read = 0;
      assert.throws(
        () => {
          for (const _ of readCapture(file.subarray(0, length))) read++;
        },
        (error: unknown) =>
          error instanceof WireError && error.reason === 'truncated' && error.offset === lastBlock,
      );
      assert.equal(read, 1);
    }
  });

  test('options that reach beyond their block are an error with its place', () => {
    const packet = enhancedPacket({ interfaceId: 0, timestampNs: 1n, bytes: tcp, comments: ['one'] });
    // The length of the comment, which is the only option.
    const at = 8 + 20 + tcp.length + ((4 - (tcp.length % 4)) % 4) + 2;
    packet[at] = 200;
    const file = joined([header, wire, packet]);
    assert.throws(
      () => [...readCapture(file)],
      (error: unknown) => error instanceof WireError && error.offset === file.length - 4,
    );
  });

  test('every unit of time', () => {
    const cases = [
      [6, 1_000n],
      [9, 1n],
      [3, 1_000_000n],
      [0x80 | 1, 500_000_000n],
    ] as const;
    for (const [resolution, unitNs] of cases) {
      const described = Uint8Array.from(wire);
      const resolutionAt = Buffer.from(described).lastIndexOf(Buffer.from([9, 0, 1, 0, 9])) + 4;
      described[resolutionAt] = resolution;
      const [packet] = readCapture(
        joined([header, described, enhancedPacket({ interfaceId: 0, timestampNs: 77n, bytes: tcp })]),
      );
      assert.equal(packet?.timestampNs, 77n * unitNs);
    }
  });
});

describe('pcapng and Wireshark', { skip: needs('tshark', 'capinfos') }, () => {
  test('capinfos and tshark read what is written', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ipseckit-pcapng-'));
    try {
      const file = join(folder, 'test.pcapng');
      const timestampNs = 1_700_000_000_123_456_789n;
      writeFileSync(
        file,
        joined([
          header,
          wire,
          inner,
          enhancedPacket({
            interfaceId: 1,
            timestampNs,
            bytes: tcp,
            direction: 'outbound',
            comments: ['chosen: 3DES'],
          }),
          enhancedPacket({ interfaceId: 0, timestampNs: timestampNs + 1n, bytes: tcp, wireBytes: 1400 }),
          interfaceStatistics({ interfaceId: 0, timestampNs, received: 1, dropped: 5 }),
        ]),
      );
      const facts = await run(['capinfos', '-M', file]);
      assert.match(facts, /Number of packets:\s+2/);
      assert.match(facts, /Number of interfaces in file:\s+2/);
      assert.match(facts, /ipseckit test/);
      const fields = ['frame.comment', 'frame.time_epoch', 'frame.interface_name', 'frame.len'];
      const lines = await run([
        'tshark',
        '-r',
        file,
        '-T',
        'fields',
        ...fields.flatMap(name => ['-e', name]),
      ]);
      assert.deepEqual(
        lines
          .trimEnd()
          .split('\n')
          .map(line => line.split('\t')),
        [
          ['chosen: 3DES', '1700000000.123456789', 'ipseckit0', String(tcp.length)],
          ['', '1700000000.123456790', 'eth0', '1400'],
        ],
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
