/** 10,000 negotiations and deletions leave nothing behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { aliceAddress, bobAddress, ping, type Station, tunnelTo, twoStations } from '../support/station.js';

const negotiations = 10_000;
/** Memory is compared from here on: caches are full and the code is compiled. */
const warm = 2_000;
const rounds = 2_000;
/** What later rounds may hold more than the warm ones, for all that the runtime keeps to itself. */
const slackBytes = 3_000_000;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

test(`${negotiations} negotiations and deletions leave no SA, timer, request or memory`, async () => {
  const { clock, alice, bob, pass } = await twoStations(41);
  const fromAlice = tunnelTo(aliceAddress, bobAddress);
  await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
  const timersBefore = clock.pending;
  const heap: number[] = [];
  for (let round = 1; round <= negotiations; round++) {
    await alice.agent.setSources([fromAlice]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(300);
    assert.equal(bob.tun.takeWritten().length, 1, `round ${round}: the packet arrives`);
    await alice.agent.setSources([]);
    await pass(100);
    for (const station of [alice, bob]) {
      station.events.length = 0;
      station.driver.filterChanges.length = 0;
    }
    if (round >= warm && round % rounds === 0) {
      collectGarbage();
      heap.push(process.memoryUsage().heapUsed);
    }
  }
  // What was still to be answered, repeated or remembered for a while has its time.
  await pass(200_000);
  for (const station of [alice, bob]) assert.deepEqual(left(station), nothing);
  // An engine looks at its pairs once more when the first of them would have expired.
  await pass(3_600_000);
  assert.equal(clock.pending, timersBefore, 'timers');
  const [first = 0, ...later] = heap;
  console.log(
    `heap after ${warm} and every ${rounds} more: ${heap.map(bytes => `${(bytes / 1e6).toFixed(1)} MB`)}`,
  );
  for (const bytes of later) assert.ok(bytes < first + slackBytes, `${bytes} bytes after ${first}`);
});

const nothing = {
  mainModes: 0,
  quickModes: 0,
  pairs: 0,
  isadb: 0,
  connections: 0,
  acquires: 0,
  associations: 0,
};

function left({ agent }: Station): typeof nothing {
  const { ike, driver } = agent.statistics();
  return {
    mainModes: agent.mainModes().length,
    quickModes: agent.quickModes().length,
    pairs: agent.pairStatistics().length,
    isadb: ike.isadbListSize,
    connections: ike.connectionListSize,
    acquires: ike.activeAcquire,
    associations: driver.activeAssociations,
  };
}
