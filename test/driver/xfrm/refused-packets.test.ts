import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DriverEvent } from '../../../src/driver/api.js';
import type { WatchedPacket } from '../../../src/driver/userspace/packet-watch.js';
import { PairRecord } from '../../../src/driver/xfrm/pair-book.js';
import { RefusedPackets } from '../../../src/driver/xfrm/refused-packets.js';
import { statesOf } from '../../../src/driver/xfrm/states.js';
import { pairStatisticsOf } from '../../../src/driver/xfrm/statistics.js';
import type { XfrmStateReport } from '../../../src/wire/netlink/xfrm-state.js';
import { connect, left, makePair, right, twoHosts } from '../../support/engine-pair.js';
import { ipPacket, udpPacket } from '../../support/packets.js';
import { SeededRandom } from '../../support/random.js';

const ends = { source: left, destination: right };
const espPacket = (spi: number) =>
  ipPacket(ends, 50, Uint8Array.of(0, 0, spi >>> 8, spi & 0xff, 0, 0, 0, 9, ...new Uint8Array(40)));

/** What a packet of the pair's left end looks like on the wire. */
function sentWith(pair: ReturnType<typeof makePair>): Uint8Array {
  const sender = twoHosts({ seed: 6 });
  connect(sender, pair);
  let wire = new Uint8Array();
  sender.network.transit = packet => {
    wire = Uint8Array.from(packet);
    return [packet];
  };
  sender.left.send(udpPacket({ ...ends }));
  sender.network.run();
  return wire;
}

/** A kernel whose counters and packets are the test's. It has seen packets up to the number `seen`. */
function kernel(records: readonly PairRecord[] = [], states: readonly number[] = [], seen = 0) {
  const counters = new Map<string, number>();
  const events: DriverEvent[] = [];
  let watcher: ((packets: readonly WatchedPacket[]) => void) | undefined;
  let watches = 0;
  let wrongIcvs = 0;
  const report = (record: PairRecord): XfrmStateReport[] =>
    statesOf(record, 'inbound').map(state => ({
      ...state,
      replay: { window: 64, outbound: 0, inbound: seen, bitmap: [0, 0] },
      usage: { bytes: 0, packets: 0, addedAtSeconds: 1, usedAtSeconds: 0 },
      replayed: 0,
      integrityFailed: wrongIcvs,
    }));
  const refused = new RefusedPackets({
    counters: () => new Map(counters),
    localAddresses: () => [right],
    pairs: () => records,
    reports: () => new Map(records.map(record => [record.requestId, report(record)])),
    receivingWith: (protocol, spi) =>
      records.find(({ pair }) => pair.inbound.some(half => half.protocol === protocol && half.spi === spi)),
    hasState: ({ spi }) => states.includes(spi),
    watch: onPackets => {
      watcher = onPackets;
      watches++;
      return {
        drops: () => 0,
        close: () => {
          watcher = undefined;
        },
      };
    },
    emit: event => events.push(event),
  });
  return {
    refused,
    events,
    report,
    watches: () => watches,
    isWatched: () => watcher !== undefined,
    /** The kernel counts something, and it is looked at. */
    count(name: string, packets = 1) {
      counters.set(name, (counters.get(name) ?? 0) + packets);
      if (name === 'XfrmInStateProtoError') wrongIcvs += packets;
      refused.look();
    },
    arrive(bytes: Uint8Array, direction: WatchedPacket['direction'] = 'inbound', timestampNs = 0n) {
      watcher?.([{ bytes, timestampNs, device: 'eth0', direction }]);
    },
  };
}

describe('packets that the kernel refuses', () => {
  test('nothing is watched while nothing of the kind is counted', () => {
    const k = kernel();
    k.refused.look();
    k.count('XfrmInNoPols');
    assert.equal(k.watches(), 0);
  });

  test('one for an SPI without a state is told, once a sample, and remembered', () => {
    const k = kernel([], [0x777]);
    k.count('XfrmInNoStates', 2);
    k.arrive(espPacket(0x666), 'outbound');
    k.arrive(ipPacket({ ...ends, destination: '203.0.113.9' }, 50, new Uint8Array(48).fill(7)));
    for (const spi of [0x777, 0x666, 0x666]) k.arrive(espPacket(spi));
    assert.deepEqual(k.events, [
      {
        kind: 'unknownSpi',
        protocol: 'esp',
        spi: 0x666,
        local: { address: right, port: 500 },
        peer: { address: left, port: 500 },
      },
    ]);
    const { lastByReason, recent, told } = k.refused.history();
    assert.deepEqual(told, ['bad-spi', 'not-authenticated']);
    const { number, packet } = lastByReason['bad-spi'] ?? {};
    assert.deepEqual([number, packet?.spi, packet?.sequence, recent.length], [3, 0x666, 9, 1]);
    k.refused.close();
  });

  test('one in UDP has the ports of its NAT; IKE and keep-alives are neither', () => {
    const k = kernel();
    k.count('XfrmInNoStates');
    const inUdp = (data: Uint8Array) =>
      udpPacket({ ...ends, sourcePort: 61_000, destinationPort: 4500, data });
    k.arrive(inUdp(Uint8Array.of(0xff)));
    k.arrive(inUdp(new Uint8Array(40)));
    k.arrive(inUdp(espPacket(0x666).subarray(20)));
    const [event] = k.events;
    assert.equal(k.events.length, 1);
    assert.deepEqual(event?.kind === 'unknownSpi' && event.peer, { address: left, port: 61_000 });
    assert.deepEqual(k.refused.history().recent[0]?.packet?.sourcePort, 61_000);
    k.refused.close();
  });

  test('a sample ends when enough was found, and the next one comes later', () => {
    const k = kernel();
    k.count('XfrmInNoStates');
    for (let spi = 0x1000; spi < 0x1100; spi++) k.arrive(espPacket(spi));
    assert.deepEqual([k.isWatched(), k.events.length], [false, 16]);
    k.count('XfrmInNoStates');
    assert.equal(k.watches(), 1);
    k.refused.close();
  });

  for (const [name, suite] of [
    ['ESP', { esp: { encryption: 'aes128', hash: 'sha256' } }],
    ['AH', { ah: 'sha256' }],
  ] as const)
    test(`a peer that truncates the ICV of ${name} to 96 bits`, () => {
      const ours = makePair(new SeededRandom(8), { suite }).right;
      const theirs = makePair(new SeededRandom(8), { suite, icvBytes: 12 });
      const record = new PairRecord(ours, 99, 0);
      const k = kernel([record]);
      k.count('XfrmInStateProtoError');
      k.arrive(sentWith(theirs));
      assert.deepEqual(k.events, []);
      const { lastNote, lastDrop, drops } = pairStatisticsOf(record, k.report(record));
      assert.equal(lastNote, 'the peer truncates HMAC-SHA-256 to 96 bits, this side to 128');
      assert.deepEqual([lastDrop?.reason, lastDrop?.note], ['not-authenticated', lastNote]);
      assert.deepEqual(drops, { 'not-authenticated': 1 });
      k.refused.close();
    });

  test('what came while a pair was still there is not told, when that has gone meanwhile', () => {
    const suite = { ah: 'sha256' } as const;
    const pair = makePair(new SeededRandom(8), { suite });
    const k = kernel();
    k.count('XfrmInNoStates');
    const nowNs = BigInt(Date.now()) * 1_000_000n;
    k.refused.removed(pair.right);
    k.arrive(sentWith(pair), 'inbound', nowNs);
    assert.deepEqual(k.events, []);
    k.arrive(sentWith(pair), 'inbound', nowNs + 10n ** 9n);
    assert.deepEqual(
      k.events.map(({ kind }) => kind),
      ['unknownSpi'],
    );
    k.refused.close();
  });

  for (const [name, suite] of [
    ['ESP', { esp: { encryption: 'aes128', hash: 'sha256' } }],
    ['AH', { ah: 'sha256' }],
  ] as const)
    for (const seen of [0, 2 ** 32 + 7])
      test(`${name}: genuine packets behind number ${seen} are not blamed for what another has counted`, () => {
        const pair = makePair(new SeededRandom(8), { suite, extra: { extendedSequence: seen > 0 } });
        const outbound = pair.left.outbound.map(half => ({ ...half, sequence: seen }));
        const record = new PairRecord(pair.right, 99, 0);
        const k = kernel([record], [], seen);
        k.count('XfrmInStateProtoError');
        k.arrive(sentWith({ ...pair, left: { ...pair.left, outbound } }));
        assert.deepEqual(k.refused.history().recent, []);
        assert.equal(pairStatisticsOf(record, []).lastNote, undefined);
        k.refused.close();
      });
});
