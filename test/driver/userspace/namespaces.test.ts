/**
 * The whole user-space driver on real devices: two hosts, keys installed by hand, real traffic between them. Needs root,
 * or a machine where users may make namespaces.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { ping } from '../../lab/traffic.js';
import { type Bench, driverBehaviour } from '../../support/driver-behaviour.js';
import { DriverOnHost, DriverRefusal } from '../../support/driver-on-host.js';
import { driverSuiteSkip, one, other, selector, Witness } from '../../support/driver-suite.js';
import { secureFilter } from '../../support/static-pair.js';

driverBehaviour('user-space driver between two hosts', {
  engine: 'userspace',
  skip: driverSuiteSkip(),
  witness: async hosts => new Witness(hosts.b),
  ipv6: true,
  countsFilters: true,
  withTcp: () => true,
  more: ownTests,
});

/** What only this engine has. */
function ownTests(bench: () => Bench): void {
  test('traffic that no filter matches never enters the driver', async () => {
    const elsewhere = secureFilter('elsewhere', 'outbound', selector(one, ipAddress('10.66.0.77')));
    const { hosts, a } = bench();
    await a.setFilters([elsewhere]);
    assert.equal((await ping(hosts.a, other, { count: 2, intervalSeconds: 0.05 })).received, 2);
    const [, sent] = /TX:.*\n\s*\d+\s+(\d+)/.exec(hosts.a.run('ip', '-s', 'link', 'show', 'ipseckit0')) ?? [];
    await ping(hosts.a, other, { count: 2, intervalSeconds: 0.05 });
    const [, later] =
      /TX:.*\n\s*\d+\s+(\d+)/.exec(hosts.a.run('ip', '-s', 'link', 'show', 'ipseckit0')) ?? [];
    assert.equal(later, sent);
  });

  test('a second driver in the namespace is refused by name', async () => {
    const { hosts } = bench();
    await assert.rejects(DriverOnHost.start(hosts.a), (error: unknown) => {
      assert.ok(error instanceof DriverRefusal);
      assert.equal(error.code, 'ENVIRONMENT');
      assert.match(error.message, /runs already .* \(pid \d+\) holds the device ipseckit0/);
      return true;
    });
    assert.equal((await ping(hosts.a, other, { count: 1 })).received, 1, 'and has broken nothing');
  });
}
