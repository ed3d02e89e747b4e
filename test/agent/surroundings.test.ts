/** Filters that depend on what this computer learns: addresses of names, servers, adapters. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PolicySource } from '../../src/agent/active-policy.js';
import type { AddressSpec, HostSpec } from '../../src/policy/model.js';
import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { aliceAddress, bobAddress, ping, type Station, tunnelTo, twoStations } from '../support/station.js';

const elsewhere = ipAddress('192.0.2.77');

/** All traffic with a destination that is not given by address. */
function towards(destination: AddressSpec, tunnelEndpoint?: HostSpec): PolicySource {
  const source = tunnelTo(aliceAddress, bobAddress);
  const rules = source.policy.rules.map(rule => ({
    ...rule,
    ...(tunnelEndpoint === undefined ? {} : { tunnelEndpoint }),
    ...(rule.filterList && {
      filterList: {
        ...rule.filterList,
        filters: rule.filterList.filters.map(filter => ({ ...filter, destination })),
      },
    }),
  }));
  return { ...source, policy: { ...source.policy, rules } };
}

const named = (...addresses: readonly IpAddress[]) =>
  ({ kind: 'dns', name: 'bob.example', addresses }) as const;

const destinations = ({ agent }: Station) =>
  agent
    .filters()
    .filter(({ filter }) => filter.direction === 'outbound')
    .map(({ filter }) => filter.selector.destination.first);

describe('host names', () => {
  test('are looked up when a policy comes, and again every minute; the rest stays up', async () => {
    const { alice, bob, pass } = await twoStations(51);
    alice.names.set('bob.example', [bobAddress]);
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    await alice.agent.setSources([towards(named(elsewhere))]);
    await pass(10);
    assert.deepEqual(destinations(alice), [bobAddress]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(500);
    const [before] = alice.agent.quickModes();
    assert.ok(before);

    const changes = alice.driver.filterChanges.length;
    alice.names.set('bob.example', [bobAddress, elsewhere]);
    await pass(61_000);
    assert.deepEqual(destinations(alice), [bobAddress, elsewhere]);
    assert.equal(alice.driver.filterChanges.length, changes + 1);
    assert.equal(alice.agent.quickModes()[0]?.pair.id, before.pair.id, 'what is still meant stays up');

    alice.names.set('bob.example', [elsewhere, bobAddress]);
    await pass(61_000);
    assert.equal(alice.driver.filterChanges.length, changes + 1, 'the order of an answer means nothing');

    alice.names.set('bob.example', [elsewhere]);
    await pass(61_000);
    assert.deepEqual(destinations(alice), [elsewhere]);
    assert.deepEqual(alice.agent.quickModes(), []);
  });

  test('that cannot be looked up keep their addresses, and it is said once', async () => {
    const { alice, pass } = await twoStations(52);
    await alice.agent.setSources([towards(named(elsewhere))]);
    await pass(200_000);
    assert.deepEqual(destinations(alice), [elsewhere]);
    assert.deepEqual(
      alice.errors().map(({ message }) => message),
      ['bob.example cannot be looked up: no such name'],
    );
    alice.names.set('bob.example', [bobAddress]);
    await pass(61_000);
    assert.deepEqual(destinations(alice), [bobAddress]);
    alice.names.clear();
    await pass(200_000);
    assert.deepEqual(destinations(alice), [bobAddress], 'the last answer counts');
    assert.equal(alice.errors().length, 2, 'it had worked in between');
    await alice.agent.setSources([]);
    alice.names.set('bob.example', [bobAddress]);
    const changes = alice.driver.filterChanges.length;
    await pass(200_000);
    assert.equal(alice.driver.filterChanges.length, changes, 'nobody asks any more');
  });

  test('of tunnel endpoints are followed too; without an address nothing is sent in transport mode', async () => {
    const { alice, pass } = await twoStations(53);
    const subnet = { kind: 'subnet', address: ipAddress('10.2.0.0'), prefixLength: 16 } as const;
    await alice.agent.setSources([towards(subnet, named())]);
    assert.deepEqual(alice.agent.filters(), []);
    assert.match(alice.agent.notes()[0]?.text ?? '', /tunnel endpoint has no address yet/);
    const endpoints = () => alice.agent.filters().map(({ filter }) => filter.tunnelEndpoint);
    alice.names.set('bob.example', [bobAddress]);
    await pass(61_000);
    assert.deepEqual([...new Set(endpoints())], [bobAddress]);
    // An address more is no reason to leave the gateway in use.
    await alice.agent.setSources([towards(subnet, named(bobAddress))]);
    alice.names.set('bob.example', [ipAddress('192.0.2.1'), bobAddress, elsewhere]);
    await pass(61_000);
    assert.deepEqual([...new Set(endpoints())], [bobAddress]);
    alice.names.set('bob.example', [elsewhere]);
    await pass(61_000);
    assert.deepEqual([...new Set(endpoints())], [elsewhere]);
  });
});

test('special addresses follow what this computer is told', async () => {
  const { alice, pass } = await twoStations(54);
  await alice.agent.setSources([towards({ kind: 'special', group: 'dns' })]);
  assert.deepEqual(destinations(alice), []);
  assert.equal(alice.agent.notes().length, 1);
  alice.servers = { dns: [bobAddress, elsewhere] };
  await pass(2_500);
  assert.deepEqual(destinations(alice), [bobAddress, elsewhere]);
  alice.servers = { dns: [elsewhere] };
  await pass(2_500);
  assert.deepEqual(destinations(alice), [elsewhere]);
});

test('a look that fails is told, and the next one counts', async () => {
  const { alice, pass } = await twoStations(55);
  const source = tunnelTo(aliceAddress, bobAddress);
  await alice.agent.setSources([source]);
  const servers = Object.getOwnPropertyDescriptor(alice, 'servers');
  assert.ok(servers);
  let failing = true;
  Object.defineProperty(alice, 'servers', {
    get: () => {
      if (failing) throw new Error('EMFILE: too many open files');
      return {};
    },
  });
  await pass(2_500);
  assert.match(alice.errors()[0]?.message ?? '', /EMFILE/);
  failing = false;
  alice.moveTo(aliceAddress, elsewhere);
  const changes = alice.driver.filterChanges.length;
  await pass(2_500);
  assert.equal(alice.driver.filterChanges.length, changes + 1);
});
