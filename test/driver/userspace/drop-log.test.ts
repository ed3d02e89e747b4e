import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DropRecord, FilterId, SaPair } from '../../../src/driver/api.js';
import { fragmentIpv4 } from '../../../src/wire/ip/fragment.js';
import { mirrorSelector } from '../../../src/wire/ip/selector.js';
import {
  connect,
  type EngineHost,
  filter,
  hostSelector,
  left,
  makePair,
  netSelector,
  right,
  twoHosts,
} from '../../support/engine-pair.js';
import { ipPacket, tcpPacket, udpPacket } from '../../support/packets.js';

const suite = { esp: { encryption: 'aes128', hash: 'sha1' } } as const;
const secret = new Uint8Array(30).fill(0x41);
const hello = udpPacket({ source: left, destination: right, data: secret });

/** Two hosts with one pair, and what `left` sent to the wire. */
function connected(pair: Partial<Parameters<typeof makePair>[1]> = {}) {
  const hosts = twoHosts({ seed: 7 });
  const ends = makePair(hosts.random, { suite, ...pair });
  connect(hosts, ends);
  const wire: Uint8Array[] = [];
  hosts.network.transit = packet => {
    wire.push(packet);
    return [packet];
  };
  return { ...hosts, ends, wire };
}

const recent = ({ engine }: EngineHost) => engine.dropHistory().recent;
const only = (host: EngineHost): DropRecord => {
  const [record, ...more] = recent(host);
  assert.ok(record);
  assert.deepEqual(more, []);
  return record;
};
const spiOf = (pair: SaPair) => pair.outbound[0]?.spi;

describe('what is remembered of a dropped packet', () => {
  test('a replayed one: SA, addresses, sequence number, length', () => {
    const { left: l, right: r, network, ends, wire, clock } = connected();
    l.send(hello);
    network.run();
    clock.nowMs = 2_000;
    const [packet] = wire;
    assert.ok(packet);
    r.engine.processInboundIp([packet], clock.nowMs);
    const expected: DropRecord = {
      number: 1,
      packets: 1,
      reason: 'replay',
      atMs: 2_000,
      direction: 'inbound',
      pairId: ends.right.id,
      packet: {
        source: left,
        destination: right,
        protocol: 50,
        bytes: packet.length,
        ...{ spi: spiOf(ends.left) ?? 0, sequence: 1 },
      },
    };
    assert.deepEqual(only(r), expected);
    assert.deepEqual(r.engine.dropHistory().lastByReason, { replay: expected });
    assert.deepEqual(r.engine.pairStatistics()[0]?.lastDrop, expected);
  });

  test('one for an SA that is not here', () => {
    const { right: r, clock } = connected();
    const esp = ipPacket({ source: left, destination: right }, 50, Uint8Array.of(0, 0, 9, 9, 0, 0, 0, 4, 1));
    r.engine.processInboundIp([esp], clock.nowMs);
    const { reason, pairId, packet } = only(r);
    assert.deepEqual([reason, pairId, packet?.spi, packet?.sequence], ['bad-spi', undefined, 0x909, 4]);
  });

  test('one that was opened and is not of its SA: what was inside it', () => {
    const nets = netSelector('10.1.0.0', '10.2.0.0');
    const { left: l, right: r, network, ends, clock } = connected({ mode: 'tunnel', selector: nets });
    l.engine.setFilters([filter({ id: 'out', selector: nets, tunnelEndpoint: right })], clock.nowMs);
    r.engine.removePair(ends.right.id);
    r.engine.installInbound(
      { ...ends.right, selector: mirrorSelector(netSelector('10.1.0.0', '10.3.0.0')) },
      0,
    );
    l.send(tcpPacket({ source: '10.1.0.5', destination: '10.2.0.6', sourcePort: 1025, destinationPort: 80 }));
    network.run();
    const { reason, packet, inner } = only(r);
    assert.deepEqual([reason, packet?.source, packet?.protocol], ['selector-mismatch', left, 50]);
    assert.deepEqual(
      [inner?.source, inner?.destination, inner?.sourcePort, inner?.destinationPort, inner?.protocol],
      ['10.1.0.5', '10.2.0.6', 1025, 80, 6],
    );
  });

  test('one in UDP: the ports it came from and to', () => {
    const { right: r, clock } = connected();
    const payload = Uint8Array.of(1, 2, 3, 4, 0, 0, 0, 9, 5);
    const datagram = {
      local: { address: right, port: 4500 },
      peer: { address: left, port: 61_000 },
      payload,
    };
    r.engine.processDatagrams([datagram], clock.nowMs);
    assert.deepEqual(only(r).packet, {
      source: left,
      destination: right,
      protocol: 17,
      sourcePort: 61_000,
      destinationPort: 4500,
      spi: 0x01020304,
      sequence: 9,
      bytes: payload.length,
    });
  });

  test('one whose headers cannot be read, with what is wrong', () => {
    const { right: r, clock } = connected();
    r.engine.processInboundIp([Uint8Array.of(0x45, 0, 0)], clock.nowMs);
    const { reason, packet, note } = only(r);
    assert.deepEqual([reason, packet], ['malformed', undefined]);
    assert.match(note ?? '', /truncated/);
  });

  test('one too big for its path, with what the sender was told', () => {
    const { left: l } = connected();
    l.send(
      ipPacket(
        { source: left, destination: right, header: { dontFragment: true } },
        17,
        new Uint8Array(1_480),
      ),
    );
    const { reason, direction, note, packet } = only(l);
    assert.deepEqual([reason, direction, packet?.source], ['too-big', 'outbound', left]);
    assert.match(note ?? '', /at most 14\d\d bytes/);
  });

  test('nothing of what it carried', () => {
    const { left: l, right: r, network, wire } = connected();
    l.send(hello);
    network.run();
    for (const packet of wire) r.engine.processInboundIp([packet], 0);
    assert.doesNotMatch(JSON.stringify(recent(r)), /AAAA|65,65|41414141/);
  });
});

describe('every drop is counted', () => {
  test('packets that waited for a negotiation which failed, one record each', () => {
    const hosts = twoHosts();
    hosts.left.engine.setFilters([filter({ id: 'out', selector: hostSelector(left, right) })], 0);
    hosts.left.send(hello, hello);
    hosts.left.engine.negotiationFailed('out' as FilterId, right, 5_000);
    assert.deepEqual(
      recent(hosts.left).map(({ number, reason, packet }) => [number, reason, packet?.protocol]),
      [
        [1, 'negotiation-failed', 17],
        [2, 'negotiation-failed', 17],
      ],
    );
  });

  test('fragments that overlap, that stay alone, and that give way to others', () => {
    const hosts = twoHosts();
    const { engine, clock } = hosts.left;
    engine.setFilters([filter({ id: 'out', selector: hostSelector(left, right) })], 0);
    const pieces = (identification: number) =>
      fragmentIpv4(
        ipPacket(
          { source: left, destination: right, header: { identification, dontFragment: false } },
          17,
          new Uint8Array(3_000),
        ),
        1_500,
      );
    const [first] = pieces(1);
    assert.ok(first);
    const another = Uint8Array.from(first, (byte, at) => (at === first.length - 1 ? byte ^ 1 : byte));
    engine.processOutbound([first, another], clock.nowMs);
    assert.equal(engine.statistics().drops.fragment, 1, 'overlapping');
    for (let identification = 2; identification < 67; identification++) {
      const [lonely] = pieces(identification);
      assert.ok(lonely);
      engine.processOutbound([lonely], clock.nowMs);
    }
    assert.equal(engine.statistics().drops.fragment, 2, 'no room for a 65th');
    engine.tick(clock.nowMs + 15_000);
    assert.equal(engine.statistics().drops.fragment, 66, 'and the rest in time');
    assert.equal(recent(hosts.left).at(-1)?.packet?.destination, right);
  });

  test('the newest are kept, in bounded memory, and the count says how many there were', () => {
    const { right: r, clock } = connected();
    const esp = ipPacket({ source: left, destination: right }, 50, Uint8Array.of(0, 0, 9, 9, 0, 0, 0, 4, 1));
    for (let i = 0; i < 1_000; i++) r.engine.processInboundIp([esp], clock.nowMs + i);
    const kept = recent(r);
    assert.equal(kept.length, 256);
    assert.deepEqual(
      [kept[0]?.number, kept.at(-1)?.number, kept.at(-1)?.atMs],
      [745, 1_000, clock.nowMs + 999],
    );
    assert.equal(r.engine.statistics().drops['bad-spi'], 1_000);
  });

  test('by the filter that dropped, before and after filters change', () => {
    const hosts = twoHosts();
    const { engine } = hosts.right;
    const into = hostSelector(left, right);
    const filters = [
      filter({ id: 'no ping', direction: 'inbound', action: 'block', selector: { ...into, protocol: 1 } }),
      filter({ id: 'secured', direction: 'inbound', selector: into }),
    ];
    engine.setFilters(filters, 0);
    const pinged = ipPacket({ source: left, destination: right }, 1, new Uint8Array(8));
    engine.processInboundClear([pinged, hello, hello], 0);
    engine.setFilters(filters, 0);
    engine.processInboundClear([hello], 0);
    assert.deepEqual(Object.fromEntries(engine.dropHistory().byFilter), { 'no ping': 1, secured: 3 });
    assert.deepEqual(
      recent(hosts.right).map(({ reason }) => reason),
      ['blocked', 'clear-but-secured', 'clear-but-secured', 'clear-but-secured'],
    );
  });
});
