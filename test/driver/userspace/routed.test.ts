/** The user-space driver between more than two hosts: as a gateway, and behind routers. Needs root or user namespaces. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { subnetRange } from '../../../src/wire/ip/selector.js';
import { ping, transfer } from '../../lab/traffic.js';
import { DriverOnHost } from '../../support/driver-on-host.js';
import {
  driverSuiteSkip,
  insides,
  one,
  oneInside,
  other,
  otherInside,
  selector,
  Witness,
} from '../../support/driver-suite.js';
import { createHost, type Host, joinHosts } from '../../support/namespaces.js';
import { type StaticConnection, secureFilter, staticEnds } from '../../support/static-pair.js';

const skip = driverSuiteSkip();

describe('gateways with the user-space driver', { skip, timeout: 60_000 }, () => {
  const hosts: Host[] = [];
  const drivers: DriverOnHost[] = [];
  after(async () => {
    for (const driver of drivers) await driver.stop();
    for (const host of hosts) await host.destroy();
  });

  test('carry TCP between two networks in a tunnel, and tell senders what is too long', async () => {
    const [alice, left, right, bob] = [
      await createHost('drv-alice'),
      await createHost('drv-left'),
      await createHost('drv-right'),
      await createHost('drv-bob'),
    ];
    hosts.push(alice, left, right, bob);
    const cable = (host: Host, device: string, address: string) => ({ host, device, addresses: [address] });
    joinHosts(cable(alice, 'eth0', '10.71.0.2/24'), cable(left, 'inside', `${oneInside}/24`));
    joinHosts(cable(left, 'eth0', `${one}/24`), cable(right, 'eth0', `${other}/24`));
    joinHosts(cable(right, 'inside', `${otherInside}/24`), cable(bob, 'eth0', '10.72.0.2/24'));
    alice.run('ip', 'route', 'add', 'default', 'via', oneInside);
    bob.run('ip', 'route', 'add', 'default', 'via', otherInside);
    for (const gateway of [left, right]) gateway.run('sysctl', '-q', 'net.ipv4.ip_forward=1');

    const connection: StaticConnection = {
      name: 'gateways',
      one,
      other,
      mode: 'tunnel',
      selector: insides,
      esp: { encryption: 'aes128', hash: 'sha1' },
    };
    const ends = staticEnds(connection, 2);
    const witness = new Witness(right);
    for (const [gateway, end] of [
      [left, ends.one],
      [right, ends.other],
    ] as const) {
      const driver = await DriverOnHost.start(gateway);
      drivers.push(driver);
      await driver.setFilters(end.filters);
      await driver.install(end.pair);
    }
    await transfer(alice, bob, '10.72.0.2', { bytes: 1_000_000 });
    await transfer(bob, alice, '10.71.0.2', { bytes: 1_000_000 });
    const seen = witness.take();
    assert.equal(seen.clear, 0);
    assert.ok(seen.secured > 700, `${seen.secured} secured packets`);

    const tooLong = await alice.execute('ping', [
      '-M',
      'do',
      '-c',
      '1',
      '-W',
      '1',
      '-s',
      '1472',
      '10.72.0.2',
    ]);
    assert.match(tooLong.stdout + tooLong.stderr, /mtu ?= ?14\d\d/i);
    assert.equal((await ping(alice, '10.72.0.2', { count: 1, bytes: 4000 })).received, 1, 'in fragments');

    // NAT on the way into our device: what no filter covers any more is dropped, not sent in clear.
    witness.take();
    const nat = 'table ip masq; add chain ip masq out { type nat hook postrouting priority srcnat; }';
    left.run('nft', `add ${nat}; add rule ip masq out ip saddr 10.71.0.2 oifname != "inside" snat to ${one}`);
    assert.equal((await ping(alice, '10.72.0.2', { count: 2, intervalSeconds: 0.05 })).received, 0);
    assert.equal(witness.take().clear, 0);
    assert.equal((await drivers[0]?.report())?.driver.drops['clear-but-secured'], 2);
    left.run('nft', 'delete table ip masq');

    // The other network's traffic in clear, from next to the gateway, is not let in.
    left.run('ip', 'route', 'add', '10.72.0.0/24', 'via', other);
    left.run('nft', 'delete', 'table', 'inet', 'ipseckit');
    assert.equal((await ping(alice, '10.72.0.2', { count: 1 })).received, 0);
  });
});

describe('a narrow link between two hosts with the user-space driver', { skip, timeout: 60_000 }, () => {
  const hosts: Host[] = [];
  const drivers: DriverOnHost[] = [];
  after(async () => {
    for (const driver of drivers) await driver.stop();
    for (const host of hosts) await host.destroy();
  });

  test('is learned of from its router, whose message no filter stops, and TCP adapts', async () => {
    const [alice, router, bob] = [
      await createHost('drv-alice'),
      await createHost('drv-router'),
      await createHost('drv-bob'),
    ];
    hosts.push(alice, router, bob);
    const far = ipAddress('10.67.0.2');
    const cable = (host: Host, device: string, address: string) => ({ host, device, addresses: [address] });
    joinHosts(cable(alice, 'eth0', `${one}/24`), cable(router, 'eth0', `${other}/24`));
    joinHosts(cable(router, 'narrow', '10.67.0.1/24'), cable(bob, 'eth0', `${far}/24`), { mtu: 1200 });
    alice.run('ip', 'route', 'add', 'default', 'via', other);
    bob.run('ip', 'route', 'add', 'default', 'via', '10.67.0.1');
    // Bob's own link must not give the secret away by what his TCP announces.
    bob.run('ip', 'link', 'set', 'eth0', 'mtu', '1500');
    router.run('sysctl', '-q', 'net.ipv4.ip_forward=1');

    const connection: StaticConnection = {
      name: 'narrow',
      one,
      other: far,
      mode: 'transport',
      esp: { encryption: 'aes128gcm' },
    };
    const ends = staticEnds(connection, 3);
    for (const [host, end] of [
      [alice, ends.one],
      [bob, ends.other],
    ] as const) {
      const driver = await DriverOnHost.start(host);
      drivers.push(driver);
      // Also what comes from the router itself would have to be secured.
      const everybody = { ...selector(other, one), source: subnetRange(ipAddress('10.0.0.0'), 8) };
      await driver.setFilters([...end.filters, secureFilter('everybody', 'inbound', everybody)]);
      await driver.install(end.pair);
    }
    await transfer(alice, bob, far, { bytes: 300_000, timeoutSeconds: 15 });
    const probe = await alice.execute('ping', ['-M', 'do', '-c', '1', '-W', '1', '-s', '1300', far]);
    assert.match(probe.stdout + probe.stderr, /mtu ?= ?11\d\d/i, 'what remains of 1200');
  });
});

describe('a hub with the user-space driver', { skip, timeout: 60_000 }, () => {
  const hosts: Host[] = [];
  const drivers: DriverOnHost[] = [];
  after(async () => {
    for (const driver of drivers) await driver.stop();
    for (const host of hosts) await host.destroy();
  });

  test('opens what comes out of one tunnel and secures it for the other', async () => {
    const [left, hub, right] = [
      await createHost('drv-left'),
      await createHost('drv-hub'),
      await createHost('drv-right'),
    ];
    hosts.push(left, hub, right);
    const hubRight = ipAddress('10.67.0.1');
    const far = ipAddress('10.67.0.2');
    const cable = (host: Host, device: string, address: string) => ({ host, device, addresses: [address] });
    joinHosts(cable(left, 'eth0', `${one}/24`), cable(hub, 'left', `${other}/24`));
    joinHosts(cable(hub, 'right', `${hubRight}/24`), cable(right, 'eth0', `${far}/24`));
    left.run('ip', 'address', 'add', `${oneInside}/24`, 'dev', 'lo');
    right.run('ip', 'address', 'add', `${otherInside}/24`, 'dev', 'lo');
    hub.run('sysctl', '-q', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=1');

    const tunnel = { mode: 'tunnel', selector: insides, esp: { encryption: 'aes128gcm' } } as const;
    const first = staticEnds({ ...tunnel, name: 'first', one, other }, 4);
    const second = staticEnds({ ...tunnel, name: 'second', one: hubRight, other: far }, 5);
    for (const [host, ends] of [
      [left, [first.one]],
      [hub, [first.other, second.one]],
      [right, [second.other]],
    ] as const) {
      const driver = await DriverOnHost.start(host);
      drivers.push(driver);
      await driver.setFilters(ends.flatMap(end => end.filters));
      for (const end of ends) await driver.install(end.pair);
    }
    await transfer(left, right, otherInside, { bytes: 300_000 });
    await transfer(right, left, oneInside, { bytes: 300_000 });
  });
});
