/**
 * What any driver does on a gateway: a host behind it, and another gateway with a network of its own on the other end of a
 * tunnel. The same tests for every engine.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { DriverFilter } from '../../src/driver/api.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { type Selector, subnetRange } from '../../src/wire/ip/selector.js';
import { waitFor } from '../lab/command.js';
import { type PingResult, ping } from '../lab/traffic.js';
import type { CableWitness } from './driver-behaviour.js';
import { DriverOnHost } from './driver-on-host.js';
import {
  insides,
  insides6,
  one,
  one6,
  oneInside,
  oneInside6,
  other,
  other6,
  otherInside,
  otherInside6,
  selector,
} from './driver-suite.js';
import { createHost, type Host, type HostPair, joinHosts } from './namespaces.js';
import { type StaticConnection, secureFilter, staticEnds } from './static-pair.js';

const alice = ipAddress('10.71.0.2');
const alice6 = ipAddress('fd71::2');
const everybody = subnetRange(ipAddress('0.0.0.0'), 0);
const everything: Selector = selector(one, other, { source: everybody, destination: everybody });

/** Here the filter for what arrives is on all traffic, also on what comes from the inside to go into the tunnel. */
const wideTitle = 'two networks, all that arrives to be secured';

const ends = { name: 'gateways', one, other, mode: 'tunnel', selector: insides } as const;
const tunnel: StaticConnection = {
  ...ends,
  esp: { encryption: 'aes128', hash: 'sha1' },
};
const connections: readonly (StaticConnection & { readonly title: string })[] = [
  { ...tunnel, title: 'two networks' },
  { ...ends, title: 'two networks by AH', ah: { hash: 'sha1' } },
  { ...tunnel, title: 'two networks of IPv6 over IPv4', selector: insides6 },
  { ...tunnel, title: wideTitle },
];

/** Declares the tests. */
export function gatewayBehaviour(
  title: string,
  under: {
    readonly engine: 'userspace' | 'xfrm';
    readonly skip: string | false;
    readonly witness: (gateways: HostPair) => Promise<CableWitness>;
  },
): void {
  describe(title, { skip: under.skip, timeout: 400_000 }, () => {
    const hosts: Host[] = [];
    let inside: Host;
    let left: DriverOnHost;
    let right: DriverOnHost;
    let gateways: HostPair;
    let witness: CableWitness;

    before(async () => {
      inside = await createHost('gwy-alice');
      const [a, b] = [await createHost('gwy-left'), await createHost('gwy-right')];
      hosts.push(inside, a, b);
      gateways = { a, b, destroy: async () => {} };
      const cable = (host: Host, device: string, addresses: readonly string[]) => ({
        host,
        device,
        addresses,
      });
      joinHosts(
        cable(inside, 'eth0', [`${alice}/24`, `${alice6}/64`]),
        cable(a, 'inside', [`${oneInside}/24`, `${oneInside6}/64`]),
      );
      joinHosts(
        cable(a, 'eth0', [`${one}/24`, `${one6}/64`]),
        cable(b, 'eth0', [`${other}/24`, `${other6}/64`]),
      );
      for (const address of [`${otherInside}/24`, `${otherInside6}/64`])
        b.run('ip', 'address', 'add', address, 'dev', 'lo', ...(address.includes(':') ? ['nodad'] : []));
      inside.run('ip', 'route', 'add', 'default', 'via', oneInside);
      inside.run('ip', '-6', 'route', 'add', 'default', 'via', oneInside6);
      for (const [host, network, via, source] of [
        [a, '10.72.0.0/24', other, oneInside],
        [b, '10.71.0.0/24', one, otherInside],
        [a, 'fd72::/64', other6, oneInside6],
        [b, 'fd71::/64', one6, otherInside6],
      ] as const)
        host.run('ip', 'route', 'add', network, 'via', via, 'src', source);
      a.run('sysctl', '-q', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
      // Without a limit on how many errors it sends to the same host.
      a.run('sysctl', '-q', 'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0');
      witness = await under.witness(gateways);
      left = await DriverOnHost.start(a, [], under.engine);
      right = await DriverOnHost.start(b, [], under.engine);
    });
    after(async () => {
      await left?.stop();
      await right?.stop();
      await witness?.stop?.();
      for (const host of hosts) await host.destroy();
    });

    const lost = { count: 1, waitSeconds: 1 };
    /** A gateway that tells of a block makes `ping` fail. */
    const arrives = async (asked: Promise<PingResult>) =>
      (await asked.catch(() => ({ received: 0 }))).received > 0;

    for (const connection of connections)
      test(`${connection.title}: carried from both sides, nothing in clear`, async () => {
        const ends = staticEnds(connection, 3);
        const six = connection.selector === insides6;
        const [out, back] = ends.one.filters;
        assert.ok(out !== undefined && back !== undefined);
        const wide = { ...back, selector: everything };
        await left.setFilters([out, connection.title === wideTitle ? wide : back]);
        await right.setFilters(ends.other.filters);
        await left.install(ends.one.pair);
        await right.install(ends.other.pair);
        await witness.take();
        try {
          const forth = await ping(inside, six ? otherInside6 : otherInside, {
            count: 2,
            intervalSeconds: 0.05,
          });
          const back = await ping(gateways.b, six ? alice6 : alice, { count: 2, intervalSeconds: 0.05 });
          assert.deepEqual([forth.received, back.received], [2, 2]);
          const [pair] = (await left.report()).pairs;
          assert.deepEqual([pair?.packetsSent, pair?.packetsReceived], [4, 4]);
          assert.equal((await witness.take(4)).clear, 0);
        } finally {
          await left.remove(connection.name as never);
          await right.remove(connection.name as never);
        }
      });

    for (const { title, selector: inner, target, route } of [
      { title: 'IPv4', selector: insides, target: alice, route: ['10.72.0.0/24', 'via', other, 'src'] },
      { title: 'IPv6', selector: insides6, target: alice6, route: ['fd72::/64', 'via', other6, 'src'] },
    ] as const)
      test(`what a gateway says by ICMP of what came out of the tunnel goes back through it, ${title}`, async () => {
        const ends = staticEnds({ ...tunnel, selector: inner }, 3);
        const six = inner === insides6;
        // Its own address on the cable, which no filter covers.
        hosts[1]?.run('ip', 'route', 'replace', ...route, six ? one6 : one);
        await left.setFilters(ends.one.filters);
        await right.setFilters(ends.other.filters);
        await left.install(ends.one.pair);
        await right.install(ends.other.pair);
        await witness.take();
        try {
          const once = ['-n', '-c', '1', '-W', '1', '-t', '1', target];
          const { stdout } = await gateways.b.execute('ping', once);
          assert.match(stdout, /From .*(Time to live exceeded|Time exceeded: Hop limit)/);
          assert.equal((await witness.take(2)).clear, 0);
        } finally {
          hosts[1]?.run('ip', 'route', 'replace', ...route, six ? oneInside6 : oneInside);
          await left.remove(ends.one.pair.id);
          await right.remove(ends.other.pair.id);
        }
      });

    test('a clear packet out of the tunnel is dropped where it would be forwarded, and counted', async () => {
      await left.setFilters(staticEnds(tunnel, 3).one.filters);
      await right.setFilters([]);
      const dropped = async () => (await left.report()).driver.drops['clear-but-secured'];
      const before = await dropped();
      assert.equal(await arrives(ping(gateways.b, alice, lost)), false);
      await waitFor('the drop', async () => (await dropped()) === before + 1);
    });

    test('a permit before the tunnel opens no way in: clear packets to the inside are dropped, others come', async () => {
      const ends = staticEnds(tunnel, 3);
      const [out, back] = ends.one.filters;
      assert.ok(out !== undefined && back !== undefined);
      const home = { ...everything, destination: insides.source };
      const permit: DriverFilter = { ...secureFilter('home', 'outbound', home), action: 'permit' };
      await left.setFilters([permit, { ...out, selector: everything }, { ...back, selector: everything }]);
      await right.setFilters([]);
      const dropped = async () => (await left.report()).driver.drops['clear-but-secured'];
      const before = await dropped();
      assert.equal(await arrives(ping(gateways.b, alice, lost)), false);
      await waitFor('the drop', async () => (await dropped()) === before + 1);
      await right.setFilters(ends.other.filters);
      await left.install(ends.one.pair);
      await right.install(ends.other.pair);
      try {
        assert.equal(await arrives(ping(gateways.b, alice, { count: 1 })), true);
      } finally {
        await left.remove(ends.one.pair.id);
        await right.remove(ends.other.pair.id);
      }
    });

    test('what is forwarded meets filters that block and permit, the first decides', async () => {
      const filter = (
        id: string,
        direction: DriverFilter['direction'],
        action: DriverFilter['action'],
        protocol = 0,
      ): DriverFilter => {
        const ends =
          direction === 'outbound' ? ([alice, otherInside] as const) : ([otherInside, alice] as const);
        return { ...secureFilter(id, direction, selector(...ends, { protocol })), action };
      };
      await right.setFilters([]);
      await left.setFilters([]);
      const there = () => arrives(ping(inside, otherInside, lost));
      assert.equal(await there(), true, 'no filter, no obstacle');
      for (const direction of ['outbound', 'inbound'] as const) {
        const block = filter('b', direction, 'block');
        const permit = filter('p', direction, 'permit', 1);
        await left.setFilters([block, permit]);
        assert.equal(await there(), false, direction);
        await left.setFilters([permit, block]);
        assert.equal(await there(), true, direction);
      }
    });
  });
}
