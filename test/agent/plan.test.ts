import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PolicySource } from '../../src/agent/active-policy.js';
import { isEmptyPlan } from '../../src/agent/plan.js';
import { SeededRandom } from '../support/random.js';
import { randomPolicy } from '../support/random-policy.js';
import { aliceAddress, bobAddress, tunnelTo, twoStations } from '../support/station.js';

describe('a plan', () => {
  test('lists filters that come, go and change, and the SAs that end', async () => {
    const { alice, bob, pass } = await twoStations(31);
    const kept = tunnelTo(aliceAddress, bobAddress, { name: 'kept', protocol: 6, remotePort: 80 });
    const gone = tunnelTo(aliceAddress, bobAddress, { name: 'gone', protocol: 17 });
    const come = tunnelTo(aliceAddress, bobAddress, { name: 'come', protocol: 1 });
    await alice.agent.setSources([kept, gone]);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    for (const { filter } of alice.agent.filters().filter(active => active.filter.direction === 'outbound'))
      alice.agent.negotiate(filter.id, aliceAddress, bobAddress).catch(() => {});
    await pass(2_000);
    assert.equal(alice.agent.quickModes().length, 2);

    const plan = alice.agent.plan([kept, come]);
    assert.deepEqual(plan.filters, { added: 2, removed: 2, changed: 0, unchanged: 2 });
    assert.deepEqual(
      plan.quickModes.map(({ peer, traffic }) => [peer, / proto 17 /.test(traffic)]),
      [[bobAddress, true]],
    );
    assert.equal(alice.agent.quickModes().length, 2, 'nothing was done');

    const other = tunnelTo(aliceAddress, bobAddress, {
      name: 'kept',
      protocol: 6,
      remotePort: 80,
      presharedKey: 'another',
    });
    const rekeyed = alice.agent.plan([other, gone]);
    assert.equal(rekeyed.filters.changed, 2);
    assert.ok(rekeyed.changes[0]?.differs.includes('authentication or main mode settings'));
    assert.doesNotMatch(JSON.stringify(rekeyed), /another|secret/);
    assert.deepEqual(rekeyed.quickModes.length, 1);

    const all = alice.agent.plan([]);
    assert.deepEqual([all.filters.removed, all.mainModes.length, all.quickModes.length], [4, 1, 2]);
  });

  test('is what applying does: afterwards there is nothing left to do', async t => {
    const seed = Number(process.env.SEED ?? 20_261_129);
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const { alice } = await twoStations(32);
    const sourceOf = (): PolicySource => ({
      origin: 'assigned',
      policy: randomPolicy(random, { tunnels: true, rules: 4 }),
    });
    for (let round = 0; round < 30; round++) {
      const before = alice.agent.filters();
      const next = [sourceOf()];
      const { filters, changes } = alice.agent.plan(next);
      assert.equal(filters.removed + filters.changed + filters.unchanged, before.length);
      assert.equal(changes.length, filters.added + filters.removed + filters.changed);
      await alice.agent.setSources(next);
      assert.equal(filters.added + filters.changed + filters.unchanged, alice.agent.filters().length);
      const again = alice.agent.plan(next);
      assert.ok(isEmptyPlan(again), JSON.stringify(again).slice(0, 1500));
    }
  });
});
