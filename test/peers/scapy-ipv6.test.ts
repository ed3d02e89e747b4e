/** Our ESP and AH over IPv6 against scapy's, packet by packet and in both directions. Needs no privilege. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PacketEngine } from '../../src/driver/userspace/engine.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';
import { addressToBigInt, type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { encodeIpv6 } from '../../src/wire/ip/ipv6.js';
import { ipProtocol, writeU16 } from '../../src/wire/ip/packet.js';
import type { Selector } from '../../src/wire/ip/selector.js';
import {
  filter,
  hostSelector,
  makePair,
  netSelector,
  type Suite,
  suiteName,
} from '../support/engine-pair.js';
import { SeededRandom } from '../support/random.js';
import { askScapy, lacksScapy, type Question, suites } from './scapy.js';

const left = ipAddress('2001:db8::1');
const right = ipAddress('2001:db8:1::2');
const nowMs = 1_000;

interface Mode {
  readonly name: 'transport' | 'tunnel';
  readonly selector: Selector;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly ends: Pick<Question, 'outer'>;
}

const modes: readonly Mode[] = [
  {
    name: 'transport',
    selector: hostSelector(left, right),
    source: left,
    destination: right,
    ends: {},
  },
  {
    name: 'tunnel',
    selector: netSelector('fd01::', 'fd02::', 64),
    source: ipAddress('fd01::7'),
    destination: ipAddress('fd02::9'),
    ends: { outer: [left, right] },
  },
];

/** An engine by itself: what it sends, and what it hands over. */
class LoneEngine {
  readonly sent: Uint8Array[] = [];
  readonly delivered: Uint8Array[] = [];
  readonly engine: PacketEngine;

  constructor(random: SeededRandom) {
    const keepIn = (list: Uint8Array[]) => (packets: readonly Uint8Array[]) => {
      list.push(...packets.map(packet => Uint8Array.from(packet)));
      return 0;
    };
    this.engine = new PacketEngine({
      tun: { write: keepIn(this.delivered) },
      sockets: { sendIpPackets: keepIn(this.sent), sendDatagrams: () => 0, pathMtu: () => 1500 },
      random: length => random.bytes(length),
      emit: () => {},
    });
  }
}

function connected(one: Mode, suite: Suite, seed: number) {
  const random = new SeededRandom(seed);
  const pair = makePair(random, { suite, mode: one.name, selector: one.selector });
  const [l, r] = [new LoneEngine(random), new LoneEngine(random)];
  const ends = [
    [l, { ...pair.left, local: left, peer: right }],
    [r, { ...pair.right, local: right, peer: left }],
  ] as const;
  for (const [{ engine }, end] of ends) {
    const { selector, id, peer } = end;
    const tunnelEndpoint = one.name === 'tunnel' ? { tunnelEndpoint: peer } : {};
    engine.setFilters([filter({ id: 'out', selector, ...tunnelEndpoint })], nowMs);
    engine.installInbound(end, nowMs);
    engine.activateOutbound(id, nowMs);
  }
  return { random, left: l, right: r, halves: pair.left.outbound };
}

/** UDP packets of several sizes, one with a hop-by-hop header and one with a flow label and a traffic class. */
function traffic(random: SeededRandom, { source, destination }: Mode): Uint8Array[] {
  return [0, 1, 7, 200, 1300].map((bytes, i) => {
    const udp = random.bytes(8 + bytes);
    writeU16(udp, 4, udp.length);
    const withOptions = i === 2;
    const hopByHop = fromHex('11 00 01 04 00 00 00 00');
    return encodeIpv6(
      {
        tos: i === 3 ? 0x28 : 0,
        flowLabel: i === 3 ? 0xabcde : 0,
        nextHeader: withOptions ? 0 : ipProtocol.udp,
        ttl: 63,
        source: addressToBigInt(source),
        destination: addressToBigInt(destination),
      },
      withOptions ? Buffer.concat([hopByHop, udp]) : udp,
    );
  });
}

describe('scapy over IPv6', { skip: lacksScapy() }, () => {
  for (const mode of modes) {
    test(`${mode.name}: scapy opens what we protect`, () => {
      const questions: Question[] = [];
      const expected: [Suite, string][] = [];
      suites.forEach((suite, seed) => {
        const { random, left: host, halves } = connected(mode, suite, seed);
        const packets = traffic(random, mode);
        host.engine.processOutbound(packets, nowMs);
        questions.push(...host.sent.map(packet => ({ op: 'open' as const, packet, halves, ...mode.ends })));
        expected.push(...packets.map((packet): [Suite, string] => [suite, toHex(packet)]));
      });
      assert.equal(questions.length, expected.length);
      const opened = askScapy(questions);
      for (const [i, [suite, packet]] of expected.entries())
        assert.equal(toHex(opened[i] ?? new Uint8Array(0)), packet, `${suiteName(suite)}, packet ${i % 5}`);
    });

    test(`${mode.name}: we open what scapy protects`, () => {
      const runs = suites.map((suite, seed) => {
        const hosts = connected(mode, suite, 200 + seed);
        return { suite, ...hosts, packets: traffic(hosts.random, mode) };
      });
      const questions = runs.flatMap(({ packets, halves }) =>
        packets.map((packet, i) => ({
          ...{ op: 'protect' as const, packet, halves, sequence: i + 1 },
          ...mode.ends,
        })),
      );
      const wire = askScapy(questions);
      for (const [run, { suite, right: host, packets }] of runs.entries()) {
        host.engine.processInboundIp(wire.slice(run * 5, run * 5 + 5), nowMs);
        assert.deepEqual(host.delivered.map(toHex), packets.map(toHex), suiteName(suite));
      }
    });
  }
});
