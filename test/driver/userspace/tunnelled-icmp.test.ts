/** ICMP errors about what goes through a tunnel reach who sent it, and never in clear. Needs root or user namespaces. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { transfer } from '../../lab/traffic.js';
import { DriverOnHost } from '../../support/driver-on-host.js';
import {
  driverSuiteSkip,
  insides,
  insides6,
  one,
  oneInside,
  oneInside6,
  other,
  otherInside,
  otherInside6,
  Witness,
} from '../../support/driver-suite.js';
import { createHost, type Host, joinHosts } from '../../support/namespaces.js';
import { staticEnds } from '../../support/static-pair.js';

const skip = driverSuiteSkip();

const aliceAddress = '10.71.0.2';
const routerAddress = '10.72.0.2';
const bobAddress = '10.72.0.130';
const unreachable = '10.72.0.131';
/** Of the router behind the far gateway, in no network of the tunnel. */
const foreignAddress = '10.73.0.1';

/** The same for IPv6, as far as the router. */
const aliceAddress6 = 'fd71::2';
const routerAddress6 = 'fd72::2';
const unreachable6 = 'fd72::1:1';
const foreignAddress6 = 'fd73::1';

/** alice - left = tunnel = right - router - narrow link - bob */
describe('ICMP errors about what the user-space driver carries in a tunnel', {
  skip,
  timeout: 90_000,
}, () => {
  const hosts: Host[] = [];
  const drivers: DriverOnHost[] = [];
  const witnesses: Witness[] = [];
  let alice: Host;
  let right: Host;
  let router: Host;
  let bob: Host;

  before(async () => {
    const left = await createHost('drv-left');
    alice = await createHost('drv-alice');
    right = await createHost('drv-right');
    router = await createHost('drv-router');
    bob = await createHost('drv-bob');
    hosts.push(alice, left, right, router, bob);
    const cable = (host: Host, device: string, ...addresses: string[]) => ({ host, device, addresses });
    joinHosts(
      cable(alice, 'eth0', `${aliceAddress}/24`, `${aliceAddress6}/64`),
      cable(left, 'inside', `${oneInside}/24`, `${oneInside6}/64`),
    );
    joinHosts(cable(left, 'eth0', `${one}/24`), cable(right, 'eth0', `${other}/24`));
    joinHosts(
      cable(right, 'inside', `${otherInside}/25`, `${otherInside6}/112`),
      cable(router, 'eth0', `${routerAddress}/25`, `${routerAddress6}/112`),
    );
    joinHosts(cable(router, 'narrow', '10.72.0.129/25'), cable(bob, 'eth0', `${bobAddress}/25`), {
      mtu: 1200,
    });
    // Bob's own link must not give the secret away by what his TCP announces.
    bob.run('ip', 'link', 'set', 'eth0', 'mtu', '1500');
    router.run('ip', 'address', 'add', `${foreignAddress}/32`, 'dev', 'lo');
    router.run('ip', 'address', 'add', `${foreignAddress6}/128`, 'dev', 'lo', 'nodad');
    for (const address of [unreachable, unreachable6])
      router.run('ip', 'route', 'add', 'unreachable', address);
    for (const [host, network, via] of [
      [alice, 'default', oneInside],
      [right, '10.72.0.128/25', routerAddress],
      [router, 'default', otherInside],
      [bob, 'default', '10.72.0.129'],
      [alice, 'fd72::/64', oneInside6],
      [right, 'fd72::1:0/112', routerAddress6],
      [router, 'fd71::/64', otherInside6],
    ] as const)
      host.run('ip', 'route', 'add', network, 'via', via);
    for (const host of [left, right, router])
      host.run('sysctl', '-q', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    // Without a limit on how many errors a host sends to the same one.
    for (const host of hosts)
      host.run('sysctl', '-q', 'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0');

    const esp = { encryption: 'aes128', hash: 'sha1' } as const;
    const tunnel = { one, other, mode: 'tunnel', esp } as const;
    const four = staticEnds({ ...tunnel, name: 'four', selector: insides }, 2);
    const six = staticEnds({ ...tunnel, name: 'six', selector: insides6 }, 3);
    for (const [gateway, ends] of [
      [left, [four.one, six.one]],
      [right, [four.other, six.other]],
    ] as const) {
      witnesses.push(new Witness(gateway));
      const driver = await DriverOnHost.start(gateway);
      drivers.push(driver);
      await driver.setFilters(ends.flatMap(end => end.filters));
      for (const { pair } of ends) await driver.install(pair);
    }
  });
  after(async () => {
    for (const driver of drivers) await driver.stop();
    for (const host of hosts) await host.destroy();
  });

  /** Who told `ping` what of its first packets. The kernel paces what a router without a route says. */
  const said = async (host: Host, address: string, hops = 64) => {
    const once = ['-n', '-c', '1', '-W', '1', '-t', String(hops), address];
    for (let attempt = 1; attempt <= 3; attempt++) {
      const { stdout } = await host.execute('ping', once);
      const line =
        /^(?:\d+ bytes from|From) (\S+?):? .*?(Time to live exceeded|Time exceeded: Hop limit|Destination .*|ttl=)/m;
      const match = line.exec(stdout);
      if (match !== null) return match.slice(1);
    }
    return undefined;
  };
  const expired = 'Time to live exceeded';
  const nothingInClear = () =>
    assert.deepEqual(
      witnesses.map(witness => witness.take().clear),
      [0, 0],
    );

  test('every hop tells who it is to a traceroute, from both sides', async () => {
    const there = [oneInside, otherInside, routerAddress];
    const back = ['10.72.0.129', otherInside, oneInside];
    for (const [host, address, path] of [
      [alice, bobAddress, there],
      [bob, aliceAddress, back],
    ] as const) {
      for (const [hop, router] of path.entries())
        assert.deepEqual(
          await said(host, address, hop + 1),
          [router, expired],
          `${host.name}, hop ${hop + 1}`,
        );
      assert.deepEqual(await said(host, address, 4), [address, 'ttl=']);
    }
    nothingInClear();
  });

  test('a host and a port that cannot be reached are told of', async () => {
    assert.deepEqual(await said(alice, unreachable), [routerAddress, 'Destination Host Unreachable']);
    const twice = `exec 3<>/dev/udp/${bobAddress}/9; echo >&3; sleep 0.5; echo >&3`;
    const { stderr } = await alice.execute('bash', ['-c', twice]);
    assert.match(stderr, /refused/);
    nothingInClear();
  });

  test('so is what is too long for a link behind the far gateway, and TCP adapts', async () => {
    await transfer(alice, bob, bobAddress, { bytes: 300_000 });
    assert.match(alice.run('ip', 'route', 'get', bobAddress), /mtu 1200/);
    nothingInClear();
  });

  test('also by a router with an address that no filter covers', async () => {
    router.run('ip', 'route', 'replace', 'default', 'via', otherInside, 'src', foreignAddress);
    right.run('ip', 'route', 'add', '10.71.0.0/24', 'via', one, 'src', other);
    alice.run('ip', 'route', 'flush', 'cache');
    assert.doesNotMatch(alice.run('ip', 'route', 'get', bobAddress), /mtu/);
    assert.deepEqual(await said(alice, bobAddress, 2), [other, expired], 'the far gateway');
    assert.deepEqual(await said(alice, unreachable), [foreignAddress, 'Destination Host Unreachable']);
    await transfer(alice, bob, bobAddress, { bytes: 300_000 });
    assert.match(alice.run('ip', 'route', 'get', bobAddress), /mtu 1200/);
    nothingInClear();
  });

  test('and all that in IPv6', async () => {
    const noRoute = 'Destination unreachable: No route';
    assert.deepEqual(await said(alice, routerAddress6, 2), [otherInside6, 'Time exceeded: Hop limit']);
    assert.deepEqual(await said(alice, unreachable6), [routerAddress6, noRoute]);
    router.run('ip', 'route', 'replace', 'fd71::/64', 'via', otherInside6, 'src', foreignAddress6);
    assert.deepEqual(await said(alice, unreachable6), [foreignAddress6, noRoute]);
    nothingInClear();
  });
});
