/**
 * What any driver does on real devices: two hosts, keys installed by hand, real traffic between them. The same tests for
 * every engine.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { DriverFilter } from '../../src/driver/api.js';
import { waitFor } from '../lab/command.js';
import { answersTcp, ping, transfer } from '../lab/traffic.js';
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
import { createPair, type HostPair } from './namespaces.js';
import { type StaticConnection, secureFilter, staticEnds } from './static-pair.js';

/** Counts what two hosts send each other, secured and clear. */
export interface CableWitness {
  /** Packets since the last call, for which it waits a while until there are so many secured ones. */
  take(
    atLeast?: number,
  ):
    | Promise<{ readonly secured: number; readonly clear: number }>
    | { readonly secured: number; readonly clear: number };
  stop?(): Promise<void>;
}

/** What differs between engines. */
export interface EngineUnderTest {
  readonly engine: 'userspace' | 'xfrm';
  readonly skip: string | false;
  readonly witness: (hosts: HostPair) => Promise<CableWitness>;
  /** Whether the connections of IPv6 are tried too. */
  readonly ipv6: boolean;
  /** Whether the engine counts the packets of each filter. */
  readonly countsFilters: boolean;
  /** Connections that are tried with TCP too; in a slow machine it costs seconds. */
  readonly withTcp: (title: string) => boolean;
  /** Further tests with the same two drivers. */
  readonly more?: (bench: () => Bench) => void;
}

/** Two hosts with a driver each. */
export interface Bench {
  readonly hosts: HostPair;
  readonly a: DriverOnHost;
  readonly b: DriverOnHost;
}

/** Between IPv6 addresses. */
const ends6 = { one: one6, other: other6 };

const connections: readonly (StaticConnection & { readonly title: string })[] = [
  { title: 'transport ESP 3DES-SHA1', mode: 'transport', esp: { encryption: '3des', hash: 'sha1' } },
  { title: 'transport ESP AES128-GCM', mode: 'transport', esp: { encryption: 'aes128gcm' } },
  { title: 'transport AH SHA1', mode: 'transport', ah: { hash: 'sha1' } },
  {
    title: 'transport AH SHA1 over ESP AES128',
    mode: 'transport',
    esp: { encryption: 'aes128' },
    ah: { hash: 'sha1' },
  },
  {
    title: 'transport ESP 3DES-MD5 in UDP',
    mode: 'transport',
    esp: { encryption: '3des', hash: 'md5' },
    udpEncapsulation: true,
  },
  {
    title: 'tunnel ESP AES256-SHA256',
    mode: 'tunnel',
    selector: insides,
    esp: { encryption: 'aes256', hash: 'sha256' },
  },
  {
    title: 'transport ESP AES256-GCM, extended sequence numbers across 2^32',
    mode: 'transport',
    esp: { encryption: 'aes256gcm' },
    extendedSequence: true,
    sequence: 2 ** 32 - 3,
  },
  {
    title: 'tunnel ESP AES256-GCM in UDP',
    mode: 'tunnel',
    selector: insides,
    esp: { encryption: 'aes256gcm' },
    udpEncapsulation: true,
  },
  {
    title: 'tunnel AH SHA256 over ESP 3DES',
    mode: 'tunnel',
    selector: insides,
    esp: { encryption: '3des' },
    ah: { hash: 'sha256' },
  },
  {
    title: 'IPv6 transport ESP 3DES-SHA1',
    ...ends6,
    mode: 'transport',
    esp: { encryption: '3des', hash: 'sha1' },
  },
  {
    title: 'IPv6 transport AH SHA256 over ESP AES128',
    ...ends6,
    mode: 'transport',
    esp: { encryption: 'aes128' },
    ah: { hash: 'sha256' },
  },
  {
    title: 'IPv6 transport ESP AES128-GCM in UDP',
    ...ends6,
    mode: 'transport',
    esp: { encryption: 'aes128gcm' },
    udpEncapsulation: true,
  },
  { title: 'IPv6 tunnel AH SHA1', ...ends6, mode: 'tunnel', selector: insides6, ah: { hash: 'sha1' } },
  {
    title: 'IPv4 in an IPv6 tunnel ESP AES128-SHA1',
    ...ends6,
    mode: 'tunnel',
    selector: insides,
    esp: { encryption: 'aes128', hash: 'sha1' },
  },
  {
    title: 'IPv6 in an IPv4 tunnel ESP 3DES-MD5 in UDP',
    mode: 'tunnel',
    selector: insides6,
    esp: { encryption: '3des', hash: 'md5' },
    udpEncapsulation: true,
  },
].map(
  connection =>
    ({ name: connection.title, one, other, ...connection }) as StaticConnection & { title: string },
);

/** The addresses between which its traffic goes. */
function endsOf({ mode, one: near, other: far, selector: traffic }: StaticConnection): [string, string] {
  if (mode === 'transport') return [near, far];
  return traffic === insides6 ? [oneInside6, otherInside6] : [oneInside, otherInside];
}

const isIpv6 = ({ one: near, selector: traffic }: StaticConnection) => near === one6 || traffic === insides6;

/** Declares the tests. */
export function driverBehaviour(title: string, under: EngineUnderTest): void {
  const { countsFilters: counts } = under;
  describe(title, { skip: under.skip, timeout: 300_000 }, () => {
    let hosts: HostPair;
    let witness: CableWitness;
    let a: DriverOnHost;
    let b: DriverOnHost;

    before(async () => {
      hosts = await createPair({
        prefix: 'drv',
        a: [`${one}/24`, `${one6}/64`],
        b: [`${other}/24`, `${other6}/64`],
      });
      hosts.a.run('ip', 'address', 'add', `${oneInside6}/64`, 'dev', 'lo');
      hosts.b.run('ip', 'address', 'add', `${otherInside6}/64`, 'dev', 'lo');
      hosts.a.run('ip', 'address', 'add', `${oneInside}/24`, 'dev', 'lo');
      hosts.b.run('ip', 'address', 'add', `${otherInside}/24`, 'dev', 'lo');
      witness = await under.witness(hosts);
      a = await DriverOnHost.start(hosts.a, [], under.engine);
      b = await DriverOnHost.start(hosts.b, [], under.engine);
    });

    after(async () => {
      await a?.stop();
      await b?.stop();
      await witness?.stop?.();
      await hosts?.destroy();
    });

    /** Puts a connection in force on both hosts, and only it. */
    async function connect(connection: StaticConnection): Promise<void> {
      const ends = staticEnds(connection, 1);
      await a.setFilters(ends.one.filters);
      await b.setFilters(ends.other.filters);
      await a.install(ends.one.pair);
      await b.install(ends.other.pair);
      await witness.take();
    }

    for (const connection of connections) {
      if (isIpv6(connection) && !under.ipv6) continue;
      test(`${connection.title}: ping and TCP both ways, nothing in clear`, async () => {
        await connect(connection);
        const withTcp = under.withTcp(connection.title);
        const least = withTcp ? 100 : 3;
        const [near, far] = endsOf(connection);
        try {
          const { received } = await ping(hosts.a, far, { count: 3, intervalSeconds: 0.05 });
          assert.equal(received, 3);
          // Too long for one packet: must be protected whole and cut, or cut first, and come together again.
          assert.equal((await ping(hosts.a, far, { count: 1, bytes: 5000 })).received, 1);
          if (withTcp) {
            await transfer(hosts.a, hosts.b, far, { bytes: 300_000 });
            await transfer(hosts.b, hosts.a, near, { bytes: 300_000 });
          }
          // Three, and at least one more for the long one, each way.
          const seen = await witness.take(withTcp ? least : 8);
          assert.equal(seen.clear, 0, 'packets in clear on the cable');
          assert.ok(seen.secured > least, `${seen.secured} secured packets`);
          const [report] = (await b.report()).pairs;
          assert.ok((report?.packetsReceived ?? 0) > least, JSON.stringify(report));
          assert.deepEqual(report?.drops, {});
        } finally {
          await a.remove(connection.name as never);
          await b.remove(connection.name as never);
        }
      });
    }

    test('a clear packet that should have been secured is dropped and counted', async () => {
      const [out, back] = [selector(one, other), selector(other, one)];
      await a.setFilters([]);
      await b.setFilters([secureFilter('in', 'inbound', out), secureFilter('out', 'outbound', back)]);
      const before = await b.report();
      const lost = { count: 3, intervalSeconds: 0.05, waitSeconds: 1 };
      assert.equal((await ping(hosts.a, other, lost)).received, 0);
      const after = await b.report();
      const dropped = (report: typeof after) => report.driver.drops['clear-but-secured'];
      assert.equal(dropped(after) - dropped(before), 3);
      if (counts) assert.equal(new Map(after.filters).get('in'), 3);
    });

    test('"accept unsecured" lets it pass, and the answer asks for a negotiation', async () => {
      const [out, back] = [selector(one, other), selector(other, one)];
      await b.events();
      await b.setFilters([
        { ...secureFilter('in', 'inbound', out), acceptUnsecured: true },
        secureFilter('out', 'outbound', back),
      ]);
      await ping(hosts.a, other, { count: 1, waitSeconds: 1 });
      const event = await waitFor('an acquire', async () =>
        (await b.events()).find(({ kind }) => kind === 'acquire'),
      );
      assert.equal(event.kind === 'acquire' && event.peer, one);
    });

    test('the first filter that matches decides: permit one port, block the rest', async () => {
      await b.setFilters([]);
      const tcp = selector(one, other, { protocol: 6 });
      const permit: DriverFilter = {
        ...secureFilter('p', 'outbound', { ...tcp, destinationPort: 7001 }),
        action: 'permit',
      };
      const block: DriverFilter = { ...secureFilter('b', 'outbound', selector(one, other)), action: 'block' };
      await a.setFilters([permit, block]);
      assert.equal(await answersTcp(hosts.a, other, 7001), true);
      assert.equal(await answersTcp(hosts.a, other, 7002), false);
      await a.setFilters([block, permit]);
      assert.equal(await answersTcp(hosts.a, other, 7001), false);
      // Some engines tell the program that it may not.
      for (let i = 0; i < 2; i++)
        assert.equal(
          (await ping(hosts.a, other, { count: 1, waitSeconds: 1 }).catch(() => ({ received: 0 }))).received,
          0,
        );
      const { filters, driver } = await a.report();
      if (counts) assert.ok((new Map(filters).get('b') ?? 0) >= 2);
      assert.ok(driver.drops.blocked >= 2);
    });

    test('what a pair brings passes the filters before its own, too', async () => {
      const connection = connections[0];
      assert.ok(connection !== undefined);
      await connect(connection);
      const { filters } = staticEnds(connection, 1).other;
      const pings = secureFilter('pings', 'inbound', selector(one, other, { protocol: 1 }));
      for (const [title, first, expected] of [
        ['blocked', [{ ...pings, action: 'block' }], 0],
        ['of other SAs', [pings], 0],
        ['let in even in clear', [{ ...pings, action: 'permit' }], 1],
        ['its own', [], 1],
      ] as const) {
        await b.setFilters([...first, ...filters]);
        assert.equal((await ping(hosts.a, other, { count: 1, waitSeconds: 1 })).received, expected, title);
      }
      await a.remove(connection.name as never);
      await b.remove(connection.name as never);
    });

    test('packets too long for the way are answered, and sent shorter after that', async () => {
      const connection = connections[0];
      assert.ok(connection !== undefined);
      await connect(connection);
      const probe = ['-M', 'do', '-c', '1', '-W', '5', '-s'];
      const tooLong = await hosts.a.execute('ping', [...probe, '1472', other]);
      assert.match(tooLong.stdout + tooLong.stderr, /mtu ?= ?14\d\d/i);
      assert.equal((await hosts.a.execute('ping', [...probe, '1400', other])).status, 0);
      assert.equal((await ping(hosts.a, other, { count: 1, bytes: 20_000 })).received, 1);
      await a.remove(connection.name as never);
      await b.remove(connection.name as never);
    });

    test('strict reverse path filtering does not lose what the driver opened', async () => {
      const connection = connections[5];
      assert.equal(connection?.mode, 'tunnel');
      if (connection === undefined) return;
      await connect(connection);
      for (const host of [hosts.a, hosts.b]) host.run('sysctl', '-q', 'net.ipv4.conf.all.rp_filter=1');
      try {
        assert.equal((await ping(hosts.a, otherInside, { count: 2, intervalSeconds: 0.05 })).received, 2);
      } finally {
        for (const host of [hosts.a, hosts.b]) host.run('sysctl', '-q', 'net.ipv4.conf.all.rp_filter=0');
        await a.remove(connection.name as never);
        await b.remove(connection.name as never);
      }
    });

    under.more?.(() => ({ hosts, a, b }));
  });
}
