import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FilterId, PairId } from '../../src/driver/api.js';
import type { NegotiationFailure } from '../../src/ike/api.js';
import type { Guid, Rule } from '../../src/policy/model.js';
import { IpseckitError } from '../../src/report/errors.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { aliceAddress, bobAddress, ping, Station, tunnelTo, twoStations } from '../support/station.js';

const outboundFilter = (station: Station): FilterId => {
  const found = station.agent.filters().find(({ filter }) => filter.direction === 'outbound');
  assert.ok(found, 'there is an outbound filter');
  return found.filter.id;
};

describe('two agents on a memory network', () => {
  test('the first packet starts the negotiation and is not lost', async () => {
    const { alice, bob, pass } = await twoStations(11);
    await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(500);
    assert.deepEqual(bob.tun.takeWritten(), [ping(aliceAddress, bobAddress)]);
    bob.tun.inject([ping(bobAddress, aliceAddress)]);
    await pass(10);
    assert.deepEqual(alice.tun.takeWritten(), [ping(bobAddress, aliceAddress)]);
    assert.deepEqual(
      alice.events.flatMap(event => (event.kind === 'audit' ? [event.event.id] : [])),
      [541, 541],
    );
  });

  test('a change of policy deletes only the pairs whose filter reads differently', async () => {
    const { alice, bob, pass } = await twoStations(12);
    const kept = tunnelTo(aliceAddress, bobAddress, { name: 'kept', protocol: 6, remotePort: 80 });
    const gone = tunnelTo(aliceAddress, bobAddress, { name: 'gone', protocol: 17 });
    await alice.agent.setSources([kept, gone]);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    const up: PairId[] = [];
    for (const { filter } of alice.agent.filters().filter(active => active.filter.direction === 'outbound'))
      alice.agent.negotiate(filter.id, aliceAddress, bobAddress).then(pair => up.push(pair));
    await pass(2_000);
    assert.equal(up.length, 2);
    await alice.agent.setSources([kept]);
    await pass(100);
    assert.deepEqual(
      alice.agent.quickModes().map(({ pair }) => pair.selector.destinationPort),
      [80],
    );
    assert.equal(bob.agent.quickModes().length, 1, 'the peer was told');
  });

  test('a main mode ends with the policy it was negotiated under', async () => {
    const { alice, bob, pass } = await twoStations(17);
    const first = tunnelTo(aliceAddress, bobAddress, { protocol: 6 });
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    const mainModes = () => [alice, bob].map(({ agent }) => agent.mainModes().length);
    const negotiate = async () => {
      alice.agent.negotiate(outboundFilter(alice), aliceAddress, bobAddress).catch(() => {});
      await pass(2_000);
      assert.deepEqual(mainModes(), [1, 1]);
    };

    await alice.agent.setSources([first]);
    await negotiate();
    await alice.agent.setSources([first, tunnelTo(aliceAddress, bobAddress, { presharedKey: 'another' })]);
    await pass(1_000);
    assert.deepEqual(mainModes(), [1, 1], 'what it was negotiated under is still in force');
    await alice.agent.setSources([
      tunnelTo(aliceAddress, bobAddress, { protocol: 6, presharedKey: 'another' }),
    ]);
    await pass(1_000);
    assert.deepEqual(mainModes(), [0, 0], 'it was authenticated by a key that counts no longer');

    await alice.agent.setSources([first]);
    await negotiate();
    await alice.agent.setSources([]);
    await pass(1_000);
    assert.deepEqual(mainModes(), [0, 0], 'nothing is to be secured with this peer');
    assert.deepEqual(bob.agent.quickModes(), []);
  });

  test('what comes and goes beside a rule leaves its SAs alone', async () => {
    const { alice, bob, pass } = await twoStations(20);
    const rule = tunnelTo(aliceAddress, bobAddress, { protocol: 6 });
    const failing = tunnelTo(aliceAddress, bobAddress, { name: 'failing', presharedKey: 'another' });
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    await alice.agent.setSources([rule]);
    const pairId = alice.agent.negotiate(outboundFilter(alice), aliceAddress, bobAddress);
    await pass(2_000);
    const before = [alice.agent.mainModes(), alice.agent.quickModes()];
    assert.deepEqual(
      alice.agent.quickModes().map(({ pair }) => pair.id),
      [await pairId],
    );
    await alice.agent.setSources([rule, failing]);
    await pass(1_000);
    await alice.agent.setSources([rule]);
    await pass(1_000);
    assert.deepEqual([alice.agent.mainModes(), alice.agent.quickModes()], before);
  });

  test('a pair ends with the policy its peer was authenticated under, even when that main mode is over', async () => {
    const { alice, bob, pass } = await twoStations(21);
    const short = { mainModeLifetimeSeconds: 60 };
    const old = tunnelTo(aliceAddress, bobAddress, { ...short, protocol: 6 });
    const further = tunnelTo(aliceAddress, bobAddress, { ...short, presharedKey: 'another' });
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    await alice.agent.setSources([old]);
    alice.agent.negotiate(outboundFilter(alice), aliceAddress, bobAddress);
    await pass(40_000);
    // From here on phase 1 is renewed with the key that comes first in the list, which is not the peer's.
    await alice.agent.setSources([further, old]);
    await pass(120_000);
    assert.equal(alice.agent.quickModes().length, 1);
    await alice.agent.setSources([further]);
    await pass(1_000);
    assert.equal(alice.agent.quickModes().length, 0);
  });

  test('a request that waits goes on under the policy as it is, or hears that its filter is gone', async () => {
    const { alice, bob, pass, network } = await twoStations(22);
    network.transit = () => [];
    const wanted = tunnelTo(aliceAddress, bobAddress, { name: 'wanted', protocol: 6 });
    const first = tunnelTo(aliceAddress, bobAddress, {
      name: 'first',
      protocol: 17,
      presharedKey: 'another',
    });
    const filterOf = (protocol: number) => {
      const found = alice.agent
        .filters()
        .find(({ filter }) => filter.direction === 'outbound' && filter.selector.protocol === protocol);
      assert.ok(found);
      return found.filter.id;
    };
    await alice.agent.setSources([first, wanted]);
    const outcomes: string[] = [];
    for (const protocol of [6, 17])
      alice.agent.negotiate(filterOf(protocol), aliceAddress, bobAddress).then(
        () => outcomes.push(`${protocol}: up`),
        (failure: NegotiationFailure) => outcomes.push(`${protocol}: ${failure.reason}`),
      );
    await pass(2_000);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    await alice.agent.setSources([wanted]);
    network.transit = packet => [packet];
    await pass(5_000);
    assert.deepEqual(outcomes, ['17: policy-changed', '6: up']);
  });

  test('what a rule asked for ends without traffic, and the next packet brings it back; a tunnel stays', async () => {
    const { alice, bob, pass } = await twoStations(23);
    const rule = tunnelTo(aliceAddress, bobAddress);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    for (const origin of ['tunnel', 'assigned'] as const) {
      await alice.agent.setSources([{ ...rule, origin }]);
      alice.tun.inject([ping(aliceAddress, bobAddress)]);
      await pass(290_000);
      bob.tun.inject([ping(bobAddress, aliceAddress)]);
      await pass(290_000);
      assert.equal(alice.agent.quickModes().length, 1, 'there was a packet 290 s ago');
      await pass(20_000);
      const left = origin === 'tunnel' ? 1 : 0;
      assert.deepEqual([alice.agent.quickModes().length, bob.agent.quickModes().length], [left, left]);
      bob.tun.takeWritten();
      alice.tun.inject([ping(aliceAddress, bobAddress)]);
      await pass(500);
      assert.equal(bob.tun.takeWritten().length, 1);
      await alice.agent.setSources([]);
      await pass(1_000);
    }
  });

  test('a host that was killed and started anew is reached again within seconds', async () => {
    const { alice, bob, network, clock, pass } = await twoStations(24);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(40_000);
    alice.driver.sendIke = () => {};
    await alice.driver.stop();
    const again = new Station(network, clock, aliceAddress, 99);
    await again.agent.start();
    await again.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
    let arrived = 0;
    for (let i = 0; i < 10; i++) {
      bob.tun.inject([ping(bobAddress, aliceAddress)]);
      await pass(500);
      arrived += again.tun.takeWritten().length;
    }
    assert.ok(arrived >= 8, `${arrived} of 10 packets`);
  });

  test('differing keys are said to differ, and the waiting packet does not leak', async () => {
    const { alice, bob, pass, network } = await twoStations(13);
    const inClear: Uint8Array[] = [];
    network.transit = packet => {
      if (packet[9] === 1) inClear.push(packet);
      return [packet];
    };
    await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress, { presharedKey: 'another' })]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(120_000);
    assert.equal(alice.failures()[0]?.reason, 'preshared-keys-differ');
    assert.deepEqual(inClear, []);
    assert.equal(bob.tun.takeWritten().length, 0);
  });

  test('a silent peer is a failure that a waiter sees', async () => {
    const { alice, pass } = await twoStations(14);
    await alice.agent.setSources([tunnelTo(aliceAddress, ipAddress('192.0.2.99'))]);
    let failure: NegotiationFailure | undefined;
    alice.agent
      .negotiate(outboundFilter(alice), aliceAddress, ipAddress('192.0.2.99'))
      .catch((reason: NegotiationFailure) => {
        failure = reason;
      });
    await pass(130_000);
    assert.equal(failure?.reason, 'no-response');
    assert.match(failure?.message ?? '', /main mode 1/);
  });

  test('the default response rule answers, and protects exactly the peer it answered', async () => {
    const { alice, bob, pass } = await twoStations(15);
    const template = tunnelTo(bobAddress, aliceAddress);
    const [rule] = template.policy.rules;
    assert.ok(rule);
    const { filterList: _, ...responding } = rule;
    const response: Rule = { ...responding, id: '{D}' as Guid };
    await bob.agent.setSources([{ origin: 'assigned', policy: { ...template.policy, rules: [response] } }]);
    await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(500);
    assert.equal(bob.tun.takeWritten().length, 1);
    const filters = bob.driver.filterChanges.at(-1) ?? [];
    assert.deepEqual(
      filters.map(filter => [
        filter.direction,
        filter.selector.source.first,
        filter.selector.destination.first,
      ]),
      [
        ['outbound', bobAddress, aliceAddress],
        ['inbound', aliceAddress, bobAddress],
      ],
    );
    bob.tun.inject([ping(bobAddress, aliceAddress)]);
    await pass(10);
    assert.equal(alice.tun.takeWritten().length, 1, 'the answer goes through the same pair');
    await alice.agent.setSources([]);
    await pass(500);
    assert.deepEqual(bob.driver.filterChanges.at(-1), [], 'the filters go with the pair');
  });

  test('a peer of the default response rule gets nothing that a filter blocks', async () => {
    const { alice, bob, pass } = await twoStations(25);
    const [rule] = tunnelTo(bobAddress, aliceAddress).policy.rules;
    const template = tunnelTo(bobAddress, aliceAddress, { protocol: 6, remotePort: 23 });
    const [telnet] = template.policy.rules;
    assert.ok(rule && telnet);
    const { filterList: _, ...responding } = rule;
    const blocking: Rule = { ...telnet, id: '{B}' as Guid, action: { id: '{A}' as Guid, kind: 'block' } };
    const rules = [blocking, { ...responding, id: '{D}' as Guid }];
    await bob.agent.setSources([{ origin: 'assigned', policy: { ...template.policy, rules } }]);
    await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(500);
    assert.deepEqual(
      bob.driver.filterChanges.at(-1)?.map(({ action, direction }) => `${action} ${direction}`),
      ['block outbound', 'block inbound', 'secure outbound', 'secure inbound'],
    );
  });

  test('before it has a policy, it takes nothing of an earlier run from the driver', async () => {
    const { alice, pass } = await twoStations(27);
    const { driver, agent } = alice;
    alice.moveTo(ipAddress('192.0.2.50'));
    await pass(3_000);
    const set = driver.setFilters.bind(driver);
    driver.setFilters = async () => {
      driver.setFilters = set;
      throw new IpseckitError('ENVIRONMENT', 'no room for rules');
    };
    await assert.rejects(agent.setSources([tunnelTo(aliceAddress, bobAddress)]), /no room for rules/);
    alice.moveTo(aliceAddress);
    await pass(3_000);
    assert.deepEqual(driver.filterChanges, []);
    await agent.setSources([]);
    assert.deepEqual(driver.filterChanges, [[]], 'none is assigned');
  });

  test('a change that the driver refuses leaves all as it was', async () => {
    const { alice, bob, pass } = await twoStations(26);
    const first = tunnelTo(aliceAddress, bobAddress);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    await alice.agent.setSources([first]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(500);
    const { driver, agent } = alice;
    const inForce = driver.filterChanges.at(-1);
    const set = driver.setFilters.bind(driver);
    driver.setFilters = async () => {
      driver.setFilters = set;
      throw new IpseckitError('ENVIRONMENT', 'no room for rules');
    };
    const elsewhere = tunnelTo(aliceAddress, ipAddress('192.0.2.99'));
    await assert.rejects(agent.setSources([elsewhere]), /no room for rules/);
    assert.deepEqual([agent.sources, driver.filterChanges.at(-1)], [[first], inForce]);
    assert.equal(agent.quickModes().length, 1);
    await agent.setSources([elsewhere]);
    await pass(100);
    assert.deepEqual(
      [agent.quickModes(), bob.agent.quickModes()],
      [[], []],
      'what was put back is told apart again',
    );
  });

  test('a new local address is in the filters soon', async () => {
    const { alice, pass } = await twoStations(16);
    const me = tunnelTo(aliceAddress, bobAddress);
    const rules = me.policy.rules.map(rule => ({
      ...rule,
      ...(rule.filterList && {
        filterList: {
          ...rule.filterList,
          filters: rule.filterList.filters.map(filter => ({ ...filter, source: { kind: 'me' as const } })),
        },
      }),
    }));
    await alice.agent.setSources([{ ...me, policy: { ...me.policy, rules } }]);
    assert.equal(alice.agent.filters().length, 2);
    alice.moveTo(aliceAddress, ipAddress('198.51.100.1'));
    await pass(2_500);
    assert.equal(alice.agent.filters().length, 4);
  });

  test('a pair that the driver refuses is deleted at the peer, and the agent goes on', async () => {
    const { alice, bob, pass } = await twoStations(19);
    await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    const install = bob.driver.installInbound.bind(bob.driver);
    let refusals = 0;
    bob.driver.installInbound = pair => {
      if (refusals++ === 0) throw new IpseckitError('INVALID_POLICY', 'a weak key');
      install(pair);
    };
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(500);
    assert.deepEqual([alice.agent.quickModes(), bob.agent.quickModes()], [[], []]);
    assert.ok(bob.events.some(event => event.kind === 'error' && event.error.message === 'a weak key'));
    await pass(2_000);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(500);
    assert.equal(bob.tun.takeWritten().length, 1, 'the next attempt works');
  });

  test('stop deletes every SA at the peer', async () => {
    const { alice, bob, pass } = await twoStations(17);
    await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress)]);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(500);
    assert.equal(bob.agent.quickModes().length, 1);
    const stopped = alice.agent.stop();
    await pass(1_000);
    await stopped;
    assert.deepEqual([bob.agent.quickModes(), bob.agent.mainModes()], [[], []]);
    await alice.agent.stop();
  });

  test('hours of rekeying lose no packet', async () => {
    const { alice, bob, pass } = await twoStations(18);
    const short = { lifetimeSeconds: 120, mainModeLifetimeSeconds: 600 };
    await alice.agent.setSources([tunnelTo(aliceAddress, bobAddress, short)]);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress, short)]);
    let sent = 0;
    let arrived = 0;
    for (let second = 0; second < 3 * 3600; second += 5) {
      alice.tun.inject([ping(aliceAddress, bobAddress)]);
      bob.tun.inject([ping(bobAddress, aliceAddress)]);
      sent += 2;
      await pass(5_000);
      arrived += alice.tun.takeWritten().length + bob.tun.takeWritten().length;
    }
    assert.equal(arrived, sent);
    assert.ok(
      alice.agent.statistics().ike.quickModes > 80,
      `${alice.agent.statistics().ike.quickModes} quick modes`,
    );
    assert.ok(alice.agent.quickModes().length < 4, 'old pairs are gone');
    assert.ok(alice.agent.mainModes().length < 4, 'old main modes are gone');
  });
});
