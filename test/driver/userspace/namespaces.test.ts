/**
 * The whole user-space driver on real devices: two hosts, keys installed by hand, real traffic between them. Needs root,
 * or a machine where users may make namespaces.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { DriverFilter } from '../../../src/driver/api.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { ping, transfer } from '../../lab/traffic.js';
import { DriverOnHost, DriverRefusal } from '../../support/driver-on-host.js';
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
import { createPair, type HostPair } from '../../support/namespaces.js';
import { type StaticConnection, secureFilter, staticEnds } from '../../support/static-pair.js';

const skip = driverSuiteSkip();

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
].map(
  connection =>
    ({ name: connection.title, one, other, ...connection }) as StaticConnection & { title: string },
);

describe('user-space driver between two hosts', { skip, timeout: 120_000 }, () => {
  let hosts: HostPair;
  let witness: Witness;
  let a: DriverOnHost;
  let b: DriverOnHost;

  before(async () => {
    hosts = await createPair({ prefix: 'drv', a: [`${one}/24`], b: [`${other}/24`] });
    hosts.a.run('ip', 'address', 'add', `${oneInside}/24`, 'dev', 'lo');
    hosts.b.run('ip', 'address', 'add', `${otherInside}/24`, 'dev', 'lo');
    witness = new Witness(hosts.b);
    a = await DriverOnHost.start(hosts.a);
    b = await DriverOnHost.start(hosts.b);
  });

  after(async () => {
    await a?.stop();
    await b?.stop();
    await hosts?.destroy();
  });

  /** Puts a connection in force on both hosts, and only it. */
  async function connect(connection: StaticConnection): Promise<void> {
    const ends = staticEnds(connection, 1);
    await a.setFilters(ends.one.filters);
    await b.setFilters(ends.other.filters);
    await a.install(ends.one.pair);
    await b.install(ends.other.pair);
    witness.take();
  }

  for (const connection of connections) {
    test(`${connection.title}: ping and TCP both ways, nothing in clear`, async () => {
      await connect(connection);
      const [near, far] = connection.mode === 'tunnel' ? [oneInside, otherInside] : [one, other];
      try {
        const { received } = await ping(hosts.a, far, { count: 3, intervalSeconds: 0.05 });
        assert.equal(received, 3);
        // Too long for one packet: must be protected whole and cut, or cut first, and come together again.
        assert.equal((await ping(hosts.a, far, { count: 1, bytes: 5000 })).received, 1);
        await transfer(hosts.a, hosts.b, far, { bytes: 300_000 });
        await transfer(hosts.b, hosts.a, near, { bytes: 300_000 });
        const seen = witness.take();
        assert.equal(seen.clear, 0, 'packets in clear on the cable');
        assert.ok(seen.secured > 200, `${seen.secured} secured packets`);
        const [report] = (await b.report()).pairs;
        assert.ok((report?.packetsReceived ?? 0) > 200, JSON.stringify(report));
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
    assert.equal((await ping(hosts.a, other, { count: 3, intervalSeconds: 0.05 })).received, 0);
    const after = await b.report();
    const dropped = (report: typeof after) => report.driver.drops['clear-but-secured'];
    assert.equal(dropped(after) - dropped(before), 3);
    assert.equal(new Map(after.filters).get('in'), 3);
  });

  test('"accept unsecured" lets it pass, and the answer asks for a negotiation', async () => {
    const [out, back] = [selector(one, other), selector(other, one)];
    await b.events();
    await b.setFilters([
      { ...secureFilter('in', 'inbound', out), acceptUnsecured: true },
      secureFilter('out', 'outbound', back),
    ]);
    await ping(hosts.a, other, { count: 1 });
    const [event] = await b.events();
    assert.deepEqual(
      { kind: event?.kind, peer: event?.kind === 'acquire' && event.peer },
      { kind: 'acquire', peer: one },
    );
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
    await transfer(hosts.a, hosts.b, other, { bytes: 1000, port: 7001 });
    await assert.rejects(transfer(hosts.a, hosts.b, other, { bytes: 1000, port: 7002, timeoutSeconds: 2 }));
    await a.setFilters([block, permit]);
    await assert.rejects(transfer(hosts.a, hosts.b, other, { bytes: 1000, port: 7001, timeoutSeconds: 2 }));
    const { filters, driver } = await a.report();
    assert.ok((new Map(filters).get('b') ?? 0) >= 2);
    assert.ok(driver.drops.blocked >= 2);
  });

  test('traffic that no filter matches never enters the driver', async () => {
    const elsewhere = secureFilter('elsewhere', 'outbound', selector(one, ipAddress('10.66.0.77')));
    await a.setFilters([elsewhere]);
    assert.equal((await ping(hosts.a, other, { count: 2, intervalSeconds: 0.05 })).received, 2);
    const [, sent] = /TX:.*\n\s*\d+\s+(\d+)/.exec(hosts.a.run('ip', '-s', 'link', 'show', 'ipseckit0')) ?? [];
    await ping(hosts.a, other, { count: 2, intervalSeconds: 0.05 });
    const [, later] =
      /TX:.*\n\s*\d+\s+(\d+)/.exec(hosts.a.run('ip', '-s', 'link', 'show', 'ipseckit0')) ?? [];
    assert.equal(later, sent);
  });

  test('packets too long for the way are answered, and sent shorter after that', async () => {
    const connection = connections[0];
    assert.ok(connection !== undefined);
    await connect(connection);
    const probe = ['-M', 'do', '-c', '1', '-W', '1', '-s'];
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

  test('a second driver in the namespace is refused by name', async () => {
    await assert.rejects(DriverOnHost.start(hosts.a), (error: unknown) => {
      assert.ok(error instanceof DriverRefusal);
      assert.equal(error.code, 'ENVIRONMENT');
      assert.match(error.message, /runs already .* \(pid \d+\) holds the device ipseckit0/);
      return true;
    });
    assert.equal((await ping(hosts.a, other, { count: 1 })).received, 1, 'and has broken nothing');
  });
});
