import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aliceAddress, bobAddress, ping, tunnelTo, twoStations } from '../support/station.js';

test('a trace tells of pairs, filters and packets, by the calendar', async () => {
  const { network, clock, alice, bob, pass } = await twoStations(51);
  await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
  await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
  // Everything protected arrives twice.
  network.transit = packet => (packet[9] === 50 ? [packet, packet] : [packet]);
  alice.tun.inject([ping(aliceAddress, bobAddress)]);
  await pass(300);
  clock.calendarAheadMs = 5_000_000;

  const trace = await bob.agent.dropTrace();
  assert.deepEqual([trace.driver, trace.toldReasons, trace.drops.replay], ['memory', undefined, 1]);
  const [pair, ...others] = trace.pairs;
  assert.ok(pair);
  assert.deepEqual(others, []);
  assert.deepEqual([pair.peer, pair.drops, pair.packetsReceived], [aliceAddress, { replay: 1 }, 1]);
  assert.deepEqual(pair.lastDrop?.packet?.spi, pair.inboundSpis[0]);
  assert.deepEqual(pair.lastDrop, trace.lastByReason.replay);
  assert.deepEqual(trace.recent, [pair.lastDrop]);
  const atMs = pair.lastDrop?.atMs ?? 0;
  assert.ok(atMs > 5_000_000 + clock.nowMs() - 1_000 && atMs <= 5_000_000 + clock.nowMs());
  assert.equal(bob.agent.pairStatistics()[0]?.lastDrop?.atMs, atMs, 'in "sa list" too');
});

test('a packet in clear is told with the filter that wanted it secured', async () => {
  const { network, alice, bob, pass } = await twoStations(52);
  await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
  await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
  network.transit = packet => [packet[9] === 50 ? ping(aliceAddress, bobAddress) : packet];
  alice.tun.inject([ping(aliceAddress, bobAddress)]);
  await pass(300);
  const trace = await bob.agent.dropTrace();
  assert.equal(trace.drops['clear-but-secured'], 1);
  assert.deepEqual(
    trace.filters.map(({ reason, packets, direction }) => ({ reason, packets, direction })),
    [{ reason: 'clear-but-secured', packets: 1, direction: 'inbound' }],
  );
  assert.equal(trace.lastByReason['clear-but-secured']?.packet?.source, aliceAddress);
});
