import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WireError } from '../../src/wire/bytes.js';
import { type CapturedPacket, ipPacketOf, linkTypes } from '../../src/wire/captured-packet.js';
import { flowOfPacket } from '../../src/wire/ip/flow-of-packet.js';
import { readCapture } from '../../src/wire/pcap.js';
import { type CaptureOptions, pcapFile, pcapngFile } from '../support/captures.js';
import { ipPacket, tcpPacket, udpPacket } from '../support/packets.js';
import { SeededRandom } from '../support/random.js';

const ends = { source: '192.0.2.1', destination: '198.51.100.7' };
const tcp = tcpPacket({ ...ends, sourcePort: 1025, destinationPort: 80 });
const udp = udpPacket({ ...ends, sourcePort: 53, destinationPort: 4000 });
const read = (file: Uint8Array) => [...readCapture(file)];
const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex');

describe('captures', () => {
  const variants: readonly (readonly [string, CaptureOptions])[] = [
    ['little-endian', {}],
    ['big-endian', { bigEndian: true }],
    ['nanoseconds', { nanoseconds: true }],
    ['cut packets', { snapBytes: 30 }],
  ];
  for (const [name, options] of variants)
    for (const [format, write] of [
      ['pcap', pcapFile],
      ['pcapng', pcapngFile],
    ] as const)
      test(`${format}, ${name}`, () => {
        const packets = read(write([tcp, udp], linkTypes.RAW, options));
        assert.deepEqual(
          packets.map(({ bytes, wireBytes, linkType }) => [hex(bytes), wireBytes, linkType]),
          [tcp, udp].map(packet => [
            hex(packet.subarray(0, options.snapBytes ?? packet.length)),
            packet.length,
            linkTypes.RAW,
          ]),
        );
      });

  test('an empty capture has no packets', () => {
    assert.deepEqual(read(pcapFile([], linkTypes.RAW)), []);
    assert.deepEqual(read(pcapngFile([], linkTypes.RAW)), []);
  });

  test('simple packet blocks, and blocks that are no packets', () => {
    assert.deepEqual(
      read(pcapngFile([tcp], linkTypes.RAW, { simple: true, strangeBlocks: true })).map(({ bytes }) =>
        hex(bytes),
      ),
      [hex(tcp)],
    );
  });
});

describe('link types', () => {
  const behind = (linkType: number, header: readonly number[], packet = tcp): CapturedPacket => {
    const bytes = Uint8Array.from([...header, ...packet]);
    return { linkType, bytes, wireBytes: bytes.length, offset: 24 };
  };
  const zeros = (count: number) => Array.from({ length: count }, () => 0);
  const cases: readonly (readonly [string, CapturedPacket])[] = [
    ['Ethernet', behind(linkTypes.ETHERNET, [...zeros(12), 8, 0])],
    [
      'Ethernet with VLAN tags',
      behind(linkTypes.ETHERNET, [...zeros(12), 0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0]),
    ],
    ['raw', behind(linkTypes.RAW, [])],
    ['Linux cooked', behind(linkTypes.LINUX_SLL, [...zeros(14), 8, 0])],
    ['Linux cooked 2', behind(linkTypes.LINUX_SLL2, [8, 0, ...zeros(18)])],
    ['loopback', behind(linkTypes.NULL, [2, 0, 0, 0])],
  ];
  for (const [name, captured] of cases) test(name, () => assert.equal(hex(ipPacketOf(captured)), hex(tcp)));

  test('what is no IP is left out', () => {
    assert.equal(ipPacketOf(behind(linkTypes.ETHERNET, [...zeros(12), 8, 6])), undefined);
    assert.equal(ipPacketOf(behind(linkTypes.RAW, [0x20])), undefined);
    assert.equal(
      ipPacketOf({ linkType: linkTypes.ETHERNET, bytes: new Uint8Array(3), wireBytes: 3, offset: 0 }),
      undefined,
    );
  });

  test('a link type nobody knows is an error', () => {
    assert.throws(
      () => ipPacketOf(behind(147, [])),
      (error: unknown) => error instanceof WireError && error.reason === 'unsupported' && error.offset === 24,
    );
  });
});

describe('flows', () => {
  test('TCP, UDP, other protocols and later fragments', () => {
    assert.deepEqual(flowOfPacket(tcp), {
      ...ends,
      protocol: 6,
      sourcePort: 1025,
      destinationPort: 80,
      laterFragment: false,
    });
    assert.equal(flowOfPacket(udp)?.destinationPort, 4000);
    const gre = flowOfPacket(ipPacket(ends, 47, new Uint8Array(8)));
    assert.deepEqual([gre?.protocol, gre?.sourcePort], [47, 0]);
    const later = flowOfPacket(ipPacket({ ...ends, header: { fragmentOffset: 8 } }, 6, new Uint8Array(8)));
    assert.deepEqual([later?.laterFragment, later?.sourcePort], [true, 0]);
  });

  test('IPv6, behind extension headers and in fragments', () => {
    const header = (next: number, payload: readonly number[]) =>
      Uint8Array.from([
        ...[0x60, 0, 0, 0, 0, payload.length, next, 64],
        ...Buffer.from(`20010db8${'0'.repeat(23)}1`, 'hex'),
        ...Buffer.from(`20010db8${'0'.repeat(23)}2`, 'hex'),
        ...payload,
      ]);
    const ports = [0x10, 0, 0, 80];
    const flow = flowOfPacket(header(6, ports));
    assert.deepEqual([flow?.source, flow?.destination], ['2001:db8::1', '2001:db8::2']);
    const hopByHop = flowOfPacket(header(0, [17, 0, 0, 0, 0, 0, 0, 0, ...ports]));
    assert.deepEqual([hopByHop?.protocol, hopByHop?.sourcePort], [17, 4096]);
    const later = flowOfPacket(header(44, [6, 0, 0, 8, 0, 0, 0, 1, ...ports]));
    assert.deepEqual([later?.laterFragment, later?.protocol], [true, 6]);
  });

  test('too little of a packet has no flow', () => {
    for (let length = 0; length < 24; length++)
      assert.equal(flowOfPacket(tcp.subarray(0, length)), undefined);
    assert.ok(flowOfPacket(tcp.subarray(0, 24)));
  });
});

describe('hostile files', () => {
  const files = [
    pcapFile([tcp, udp], linkTypes.ETHERNET),
    pcapngFile([tcp, udp], linkTypes.ETHERNET, { strangeBlocks: true }),
  ];
  const survive = (file: Uint8Array) => {
    try {
      for (const packet of readCapture(file)) {
        const bytes = ipPacketOf(packet);
        if (bytes) flowOfPacket(bytes);
      }
    } catch (error) {
      assert.ok(error instanceof WireError, `${error}`);
      assert.ok(error.offset <= file.length);
    }
  };

  test('every cut is an error or a shorter capture', () => {
    for (const file of files)
      for (let length = 0; length < file.length; length++) survive(file.subarray(0, length));
    assert.throws(() => read(new Uint8Array(0)), WireError);
    assert.throws(() => read(files[0]?.subarray(0, -1) ?? new Uint8Array(0)), /truncated/);
  });

  test('random changes end in WireError at worst', t => {
    const seed = Number(process.env.SEED ?? 20_261_128);
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    for (const file of files)
      for (let round = 0; round < 2_000; round++) {
        const changed = Uint8Array.from(file);
        for (let i = 0; i < 3; i++) changed[random.int(changed.length)] = random.u32();
        survive(changed);
      }
  });

  test('lengths that lie are named', () => {
    const file = pcapFile([tcp], linkTypes.RAW);
    new DataView(file.buffer).setUint32(24 + 8, 0xffff_fff0, true);
    assert.throws(() => read(file), /captured packet of 4294967280 bytes \(bad-length at offset 24\)/);
    const blocks = pcapngFile([tcp], linkTypes.RAW);
    new DataView(blocks.buffer).setUint32(4, 27, true);
    assert.throws(() => read(blocks), /pcapng block of 27 bytes \(bad-length at offset 4\)/);
    assert.throws(() => read(Uint8Array.from([1, 2, 3, 4])), /neither a pcap nor a pcapng file/);
  });
});
