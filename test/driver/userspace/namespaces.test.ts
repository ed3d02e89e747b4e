/**
 * The whole user-space driver on real devices: two hosts, keys installed by hand, real traffic between them. Needs root,
 * or a machine where users may make namespaces.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import type { DriverFilter, FilterId } from '../../../src/driver/api.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { hostRange, type Selector, subnetRange } from '../../../src/wire/ip/selector.js';
import { waitFor } from '../../lab/command.js';
import { needs } from '../../lab/needs.js';
import { ping, transfer } from '../../lab/traffic.js';
import { DriverOnHost, DriverRefusal } from '../../support/driver-on-host.js';
import {
  createHost,
  createPair,
  type Host,
  type HostPair,
  joinHosts,
  runAsNamespaceRoot,
} from '../../support/namespaces.js';
import { type StaticConnection, secureFilter, staticEnds } from '../../support/static-pair.js';

const mayMakeHosts = runAsNamespaceRoot();
const skip = mayMakeHosts ? needs('nft', 'ping') : needsRoot();

const one = ipAddress('10.66.0.1');
const other = ipAddress('10.66.0.2');
/** Networks behind the two, for tunnels. */
const oneInside = ipAddress('10.71.0.1');
const otherInside = ipAddress('10.72.0.1');

function needsRoot(): string {
  if (process.env.CI === 'true') throw new Error('neither root nor user namespaces');
  return 'needs root, or user namespaces';
}

function selector(source: string, destination: string, more: Partial<Selector> = {}): Selector {
  return {
    source: hostRange(ipAddress(source)),
    destination: hostRange(ipAddress(destination)),
    protocol: 0,
    sourcePort: 0,
    destinationPort: 0,
    ...more,
  };
}

const insides: Selector = {
  ...selector(oneInside, otherInside),
  source: subnetRange(oneInside, 24),
  destination: subnetRange(otherInside, 24),
};

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

/** Counts what arrives on a host's cable, secured and clear (later fragments go with their first). It stands before everything the driver does. */
class Witness {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
    host.run(
      'nft',
      `table inet witness {
        counter secured { }
        counter clear { }
        chain seen {
          type filter hook prerouting priority raw;
          iifname != "eth0" accept
          meta l4proto { esp, ah } counter name secured accept
          udp dport 4500 counter name secured accept
          ip frag-off & 0x1fff != 0 accept
          ip saddr { 10.66.0.0/24, 10.71.0.0/24, 10.72.0.0/24 } counter name clear
        }
      }`,
    );
  }

  /** Packets since the last call. */
  take(): { readonly secured: number; readonly clear: number } {
    const text = this.#host.run('nft', 'reset', 'counters', 'table', 'inet', 'witness');
    const count = (name: string) =>
      Number(new RegExp(`counter ${name} \\{\\s*packets (\\d+)`).exec(text)?.[1]);
    return { secured: count('secured'), clear: count('clear') };
  }
}

/** Sends one UDP datagram of `bytes` bytes, and gives the error code if the kernel refused it. */
async function sendUdp(host: Host, address: string, port: number, bytes = 8): Promise<string> {
  const script = `
    const socket = require('dgram').createSocket('udp4');
    socket.send(Buffer.alloc(${bytes}), ${port}, '${address}', error => {
      console.log(error ? error.code : 'sent'); socket.close();
    });`;
  return (await host.execute(process.execPath, ['-e', script])).stdout.trim();
}

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
    const elsewhere = secureFilter('elsewhere', 'outbound', selector(one, '10.66.0.77'));
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

describe('user-space driver on one host', { skip, timeout: 60_000 }, () => {
  let hosts: HostPair;
  before(async () => {
    hosts = await createPair({ prefix: 'drv1', a: [`${one}/24`], b: [`${other}/24`] });
  });
  after(() => hosts?.destroy());

  /** All that a driver makes in the kernel. */
  const traces = () =>
    ['nft list ruleset', 'ip rule', 'ip route show table all', 'ip -br link']
      .map(command => hosts.a.run(...(command.split(' ') as [string, ...string[]])))
      .join('\n')
      // Addresses of IPv6 come and go with duplicate address detection.
      .replaceAll(/^.*(fe80|ff00|::1|unreachable.*dev lo).*\n/gm, '');

  test('stop leaves no trace', async () => {
    const clean = traces();
    const driver = await DriverOnHost.start(hosts.a);
    const tunnel = { ...secureFilter('t', 'outbound', insides), tunnelEndpoint: other };
    await driver.setFilters([tunnel]);
    assert.match(traces(), /10\.72\.0\.0\/24 dev ipseckit0 table 50052/);
    await driver.stop();
    assert.equal(traces(), clean);
  });

  test('a killed driver stops secured traffic, and the next start cleans up', async () => {
    const clean = traces();
    const killed = await DriverOnHost.start(hosts.a);
    await killed.setFilters([secureFilter('s', 'outbound', selector(one, other))]);
    await killed.kill();
    assert.equal((await ping(hosts.a, other, { count: 1 }).catch(() => ({ received: 0 }))).received, 0);
    assert.notEqual(traces(), clean);
    const next = await DriverOnHost.start(hosts.a);
    assert.equal(
      (await ping(hosts.a, other, { count: 1 })).received,
      1,
      'no filter of the killed one is left',
    );
    await next.stop();
    assert.equal(traces(), clean);
  });

  test('a taken port is an error that names its holder, and leaves no trace', async () => {
    const clean = traces();
    const script = "require('dgram').createSocket('udp4').bind(500, () => console.log('bound'))";
    const squatter = hosts.a.spawn(process.execPath, ['-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    assert.ok(squatter.stdout !== null);
    await once(squatter.stdout, 'data');
    await assert.rejects(DriverOnHost.start(hosts.a), (error: unknown) => {
      assert.ok(error instanceof DriverRefusal);
      assert.equal(error.message, `UDP port 500 is in use by node (pid ${squatter.pid})`);
      assert.match(error.next ?? '', /stop the other IKE service/);
      return true;
    });
    squatter.kill('SIGKILL');
    assert.equal(traces(), clean);
  });

  test('an error while it runs is reported: the device is deleted', async () => {
    const driver = await DriverOnHost.start(hosts.a);
    hosts.a.run('ip', 'link', 'del', 'ipseckit0');
    await sendUdp(hosts.a, other, 9);
    const events = await driver.events();
    assert.deepEqual(
      events.map(event => event.kind),
      ['failed'],
    );
    await driver.stop();
  });

  test('a flushed firewall does not open the way for clear traffic', async () => {
    const driver = await DriverOnHost.start(hosts.a);
    const filter = { ...secureFilter('s', 'outbound', selector(one, other)), action: 'block' as const };
    await driver.setFilters([filter]);
    await driver.events();
    hosts.a.run('nft', 'flush', 'ruleset');
    await waitFor('the table to come back', () => hosts.a.run('nft', 'list', 'tables').includes('ipseckit'));
    assert.equal((await ping(hosts.a, other, { count: 1 }).catch(() => ({ received: 0 }))).received, 0);
    const [event] = await driver.events();
    assert.equal(event?.kind, 'failed');
    await driver.setFilters([]);
    assert.deepEqual(await driver.events(), [], 'its own changes are no removal');
    await driver.stop();
  });

  test('without privileges the error says which are missing', async () => {
    const script = `
      import { UserspaceDriver } from '${process.cwd()}/dist/src/driver/userspace/driver.js';
      try { await new UserspaceDriver().start(() => {}); } catch (error) { console.log(JSON.stringify(error)); }`;
    const result = await hosts.a.execute('setpriv', [
      ...['--bounding-set', '-net_admin,-net_raw', process.execPath],
      ...['--input-type=module', '-e', script],
    ]);
    const error: { code?: string; next?: string } = JSON.parse(result.stdout);
    assert.equal(error.code, 'ACCESS_DENIED');
    assert.match(error.next ?? '', /CAP_NET_ADMIN and CAP_NET_RAW/);
  });

  test('many filters are put in force, and found at once', async () => {
    const driver = await DriverOnHost.start(hosts.a);
    const filters = Array.from({ length: 300 }, (_, i) => {
      const peer = `10.80.${i >> 8}.${i & 0xff}`;
      return { ...secureFilter(`f${i}`, 'outbound', selector(one, peer)), action: 'block' as const };
    });
    await driver.setFilters(filters);
    hosts.a.run('ip', 'route', 'replace', 'default', 'via', other);
    await sendUdp(hosts.a, '10.80.1.2', 9);
    const counted = (await driver.report()).filters.filter(([, packets]) => packets > 0);
    assert.deepEqual(counted, [['f258' as FilterId, 1]]);
    await driver.stop();
  });
});

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
