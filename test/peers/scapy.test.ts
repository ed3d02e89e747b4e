/** Our ESP and AH against scapy's, packet by packet and in both directions. Needs no privilege. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex, toHex } from '../../src/wire/bytes.js';
import { decodeIpv4 } from '../../src/wire/ip/packet.js';
import { mirrorSelector } from '../../src/wire/ip/selector.js';
import {
  connect,
  filter,
  hostSelector,
  left,
  makePair,
  netSelector,
  right,
  type Suite,
  suiteName,
  twoHosts,
} from '../support/engine-pair.js';
import { tcpPacket, udpPacket } from '../support/packets.js';
import type { SeededRandom } from '../support/random.js';
import { askScapy, lacksScapy, type Question, suites } from './scapy.js';

const nets = netSelector('10.1.0.0', '10.2.0.0');
const modes = [
  { name: 'transport', tunnel: false, udp: false },
  { name: 'tunnel', tunnel: true, udp: false },
  { name: 'transport in UDP', tunnel: false, udp: true },
  { name: 'tunnel in UDP', tunnel: true, udp: true },
] as const;

const outerOf = ({ tunnel }: { readonly tunnel: boolean }) =>
  tunnel ? ({ outer: [left, right] } as const) : {};

/** Packets of several sizes, one with options; identification 0 would be filled in on the way. */
function traffic(random: SeededRandom, tunnel: boolean): Uint8Array[] {
  const where = tunnel
    ? { source: '10.1.0.7', destination: '10.2.0.9' }
    : { source: left, destination: right };
  return [0, 1, 7, 200, 1300].map((bytes, i) =>
    (i % 2 === 0 ? udpPacket : tcpPacket)({
      ...where,
      data: random.bytes(bytes),
      header: { identification: 100 + i, tos: i === 3 ? 0x28 : 0, dontFragment: i === 1 },
      ...(i === 2 ? { options: fromHex('94040000 0707040000000000 00 000000') } : {}),
    }),
  );
}

/** Behind UDP a transport mode packet's own header is not on the wire: what is in it does not come out. */
function comparable(packet: Uint8Array, mode: (typeof modes)[number]): string {
  const { headerBytes } = decodeIpv4(packet);
  return toHex(mode.udp && !mode.tunnel ? packet.subarray(headerBytes) : packet);
}

describe('scapy', { skip: lacksScapy() }, () => {
  for (const mode of modes) {
    const usable = suites.filter(suite => !mode.udp || suite.ah === undefined);

    function setUp(suite: Suite, seed: number) {
      const hosts = twoHosts({ seed });
      if (mode.tunnel) {
        const back = mirrorSelector(nets);
        hosts.left.engine.setFilters([filter({ id: 'there', selector: nets, tunnelEndpoint: right })], 0);
        hosts.right.engine.setFilters([filter({ id: 'back', selector: back, tunnelEndpoint: left })], 0);
      }
      const pair = makePair(hosts.random, {
        suite,
        mode: mode.tunnel ? 'tunnel' : 'transport',
        selector: mode.tunnel ? nets : hostSelector(left, right),
        extra: mode.udp ? { udpEncapsulation: { localPort: 4500, peerPort: 4500 } } : {},
        extraRight: mode.udp ? { natOriginal: { peer: left, local: right } } : {},
      });
      connect(hosts, pair);
      return { hosts, halves: pair.left.outbound };
    }

    test(`${mode.name}: scapy opens what we protect`, () => {
      const expected: string[] = [];
      const questions: Question[] = [];
      usable.forEach((suite, i) => {
        const { hosts, halves } = setUp(suite, 100 + i);
        const sent = traffic(hosts.random, mode.tunnel);
        hosts.network.transit = wire => {
          questions.push({ op: 'open', packet: wire, halves, udp: mode.udp, ...outerOf(mode) });
          return [];
        };
        // One vector of all, then each by itself: both ways through the engine.
        hosts.left.send(...sent);
        for (const packet of sent) hosts.left.send(packet);
        hosts.network.run();
        expected.push(...[...sent, ...sent].map(packet => comparable(packet, mode)));
      });
      assert.equal(questions.length, expected.length);
      const opened = askScapy(questions).map(packet => comparable(packet, mode));
      opened.forEach((packet, i) => {
        const suite = usable[Math.floor(i / 10)];
        assert.equal(packet, expected[i], `${suite && suiteName(suite)}, packet ${i % 10}`);
      });
    });

    test(`${mode.name}: we open what scapy protects, in any order`, () => {
      const runs = usable.map((suite, i) => ({ suite, ...setUp(suite, 200 + i) }));
      const sent = runs.map(({ hosts }) => traffic(hosts.random, mode.tunnel));
      const questions = runs.flatMap(({ halves }, run) =>
        (sent[run] ?? []).map((packet, i) => ({
          op: 'protect' as const,
          packet,
          halves,
          udp: mode.udp,
          ...outerOf(mode),
          sequence: i + 1,
        })),
      );
      const wire = askScapy(questions);
      runs.forEach(({ suite, hosts }, run) => {
        const packets = wire.slice(run * 5, run * 5 + 5).map((packet, i) => ({ packet, i }));
        packets.sort(() => (hosts.random.chance(0.5) ? 1 : -1));
        for (const { packet } of packets.slice(0, 2)) hosts.right.host.receive([packet]);
        hosts.right.host.receive(packets.slice(2).map(({ packet }) => packet));
        const received = hosts.right.received().map(packet => comparable(packet, mode));
        const expected = packets.map(({ i }) => comparable(sent[run]?.[i] ?? new Uint8Array(0), mode));
        assert.deepEqual(received, expected, suiteName(suite));
      });
    });
  }
});
