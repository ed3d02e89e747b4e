/** Somebody sets the calendar while SAs are up. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { aliceAddress, bobAddress, ping, tunnelTo, twoStations } from '../support/station.js';

const day = 86_400_000;

describe('the calendar jumps', () => {
  for (const [name, jumpMs] of [
    ['ten days ahead', 10 * day],
    ['ten days back', -10 * day],
  ] as const)
    test(name, async () => {
      const { clock, alice, bob, pass } = await twoStations(51);
      await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
      await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
      const arrives = async () => {
        alice.tun.inject([ping(aliceAddress, bobAddress)]);
        await pass(500);
        return bob.tun.takeWritten().length === 1;
      };
      assert.ok(await arrives());
      const [before] = alice.agent.quickModes();
      assert.ok(before?.expiresAtMs);

      clock.calendarAheadMs = jumpMs;
      await pass(60_000);
      assert.ok(await arrives());
      const [after] = alice.agent.quickModes();
      assert.equal(after?.pair.id, before.pair.id, 'nothing expired, nothing was renewed');
      assert.equal(after?.expiresAtMs, before.expiresAtMs + jumpMs, 'people read the new calendar');
      assert.deepEqual(alice.failures(), []);

      // A negotiation under way goes on, and events bear the new date.
      await alice.agent.setSources([]);
      await pass(1_000);
      await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
      assert.ok(await arrives());
      const ended = alice.audits().filter(({ id }) => id === 542);
      assert.equal(ended.length, 1);
      assert.ok(Math.abs((ended[0]?.atMs ?? 0) - clock.calendarMs(clock.nowMs())) < 10_000);
      // Renewed when its own clock says so.
      await pass(3_600_000);
      assert.ok(await arrives());
    });
});
