/** The kernel as engine: what it leaves, what it tells, and what becomes of packets. Runs inside User Mode Linux. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { DriverEvent, DriverFilter, PairId, SaPair } from '../../../src/driver/api.js';
import { waitFor } from '../../lab/command.js';
import { ping } from '../../lab/traffic.js';
import { DriverOnHost } from '../../support/driver-on-host.js';
import {
  insides,
  one,
  one6,
  oneInside,
  other,
  other6,
  otherInside,
  selector,
} from '../../support/driver-suite.js';
import { createPair, type HostPair } from '../../support/namespaces.js';
import { secureFilter, staticEnds } from '../../support/static-pair.js';

const connection = {
  name: 'x',
  one,
  other,
  mode: 'transport',
  esp: { encryption: 'aes128', hash: 'sha1' },
} as const;

describe('xfrm driver on a host', { timeout: 400_000 }, () => {
  let hosts: HostPair;
  let a: DriverOnHost;
  before(async () => {
    hosts = await createPair({
      prefix: 'xdr',
      a: [`${one}/24`, `${one6}/64`],
      b: [`${other}/24`, `${other6}/64`],
    });
    hosts.a.run('ip', 'address', 'add', `${oneInside}/24`, 'dev', 'lo');
    hosts.b.run('ip', 'address', 'add', `${otherInside}/24`, 'dev', 'lo');
    // Another daemon's.
    hosts.a.run(
      'ip',
      'xfrm',
      'policy',
      'add',
      'src',
      '10.9.0.0/16',
      'dst',
      '10.8.0.0/16',
      'dir',
      'out',
      'action',
      'block',
    );
    hosts.a.run(
      ...([
        'ip',
        'xfrm',
        'state',
        'add',
        'src',
        one,
        'dst',
        '10.8.0.1',
        'proto',
        'esp',
        'spi',
        '0x999',
        'reqid',
        '1',
      ] as const),
      ...(['mode', 'tunnel', 'aead', 'rfc4106(gcm(aes))', `0x${'11'.repeat(20)}`, '128'] as const),
    );
  });
  after(async () => {
    await a?.stop();
    await hosts?.destroy();
  });

  /** All that a driver makes in the kernel. */
  const traces = () =>
    [
      'ip xfrm policy',
      'ip xfrm state',
      'ip rule',
      'ip route show table all',
      'sysctl net.core.xfrm_larval_drop',
    ]
      .map(command => hosts.a.run(...(command.split(' ') as [string, ...string[]])))
      .join('\n')
      .replaceAll(/^.*(fe80|ff00|::1|unreachable.*dev lo).*\n/gm, '');

  async function eventOf<K extends DriverEvent['kind']>(kind: K): Promise<DriverEvent & { kind: K }> {
    return waitFor(`the event ${kind}`, async () =>
      (await a.events()).find((event): event is DriverEvent & { kind: K } => event.kind === kind),
    );
  }

  test('stop leaves no trace, and what others have is theirs', async () => {
    const clean = traces();
    assert.match(clean, /10\.9\.0\.0/);
    a = await DriverOnHost.start(hosts.a, [], 'xfrm');
    await a.setFilters([{ ...secureFilter('t', 'outbound', insides), tunnelEndpoint: other }]);
    assert.match(traces(), /10\.72\.0\.0\/24 dev eth0 table 50052/);
    await a.install(staticEnds(connection, 1).one.pair);
    await a.stop();
    assert.equal(traces(), clean);
  });

  test('killed, it leaves secured traffic stopped until the next has filters in force', async () => {
    const clean = traces();
    const driver = await DriverOnHost.start(hosts.a, [], 'xfrm');
    await driver.setFilters([
      secureFilter('s', 'outbound', selector(one, other)),
      secureFilter('s6', 'outbound', selector(one6, other6)),
    ]);
    await driver.kill();
    const answers = async (address: string, waitSeconds = 5) =>
      (await ping(hosts.a, address, { count: 1, waitSeconds }).catch(() => ({ received: 0 }))).received;
    assert.deepEqual([await answers(other, 1), await answers(other6, 1)], [0, 0]);
    a = await DriverOnHost.start(hosts.a, [], 'xfrm');
    assert.deepEqual([await answers(other, 1), await answers(other6, 1)], [0, 0], 'it knows no filters yet');
    await a.setFilters([]);
    assert.deepEqual(
      [await answers(other), await answers(other6)],
      [1, 1],
      'no filter of the killed one is left',
    );
    hosts.a.run('sysctl', '-q', 'net.core.xfrm_larval_drop=1');
    assert.deepEqual(
      traces()
        .split('\n')
        .filter(line => line.includes('reqid') && !line.includes('reqid 1 ')),
      clean.split('\n').filter(line => line.includes('reqid') && !line.includes('reqid 1 ')),
    );
    hosts.a.run('sysctl', '-q', 'net.core.xfrm_larval_drop=0');
  });

  test('a packet waits for its SA, and goes when there is one', async () => {
    const ends = staticEnds(connection, 2);
    await a.setFilters(ends.one.filters);
    await a.events();
    const b = await DriverOnHost.start(hosts.b, [], 'xfrm');
    try {
      const pinging = ping(hosts.a, other, { count: 1 });
      const event = await eventOf('acquire');
      assert.deepEqual([event.filterId, event.local, event.peer], [ends.one.filters[0]?.id, one, other]);
      await b.install(ends.other.pair);
      await a.install(ends.one.pair);
      assert.equal((await pinging).received, 1);
      await eventOf('inboundUsed');
      const [pair] = (await a.report()).pairs;
      assert.deepEqual([pair?.packetsSent, pair?.packetsReceived], [1, 1]);
      await a.remove(ends.one.pair.id);
    } finally {
      await b.stop();
    }
  });

  test('when a negotiation fails, what waits is thrown away, and the next packet asks anew', async () => {
    const filter = secureFilter('f', 'outbound', selector(one, other));
    await a.setFilters([filter]);
    await a.events();
    for (let round = 0; round < 2; round++) {
      const pinging = ping(hosts.a, other, { count: 1, waitSeconds: 2 });
      await eventOf('acquire');
      await a.negotiationFailed(filter.id, other);
      assert.equal((await pinging).received, 0);
    }
    await a.setFilters([]);
    assert.equal((await ping(hosts.a, other, { count: 1 })).received, 1, 'the refusal is gone');
  });

  test('a soft SA lets packets of its filter pass in clear, and only while it is there', async () => {
    const [out, back] = [selector(one, other), selector(other, one)];
    const filters = [secureFilter('o', 'outbound', out), secureFilter('i', 'inbound', back)].map(
      (filter): DriverFilter => ({ ...filter, allowFallback: true }),
    );
    await a.setFilters(filters);
    const soft = { filterId: filters[0]?.id ?? ('' as never), local: one, peer: other };
    await a.addSoftSa(soft);
    assert.equal((await ping(hosts.a, other, { count: 2 })).received, 2);
    const [statistics] = await a.softSaStatistics();
    assert.ok((statistics?.packetsReceived ?? 0) > 0, JSON.stringify(statistics));
    await a.removeSoftSa(soft);
    const { driver } = await a.report();
    assert.equal((await ping(hosts.b, one, { count: 1, waitSeconds: 1 })).received, 0);
    assert.equal((await a.report()).driver.drops['clear-but-secured'] - driver.drops['clear-but-secured'], 1);
  });

  test('a filter of LAN adapters holds on a cable, one of dial-up adapters does not', async () => {
    const block = { ...secureFilter('b', 'outbound', selector(one, other)), action: 'block' } as const;
    await a.setFilters([{ ...block, connectionType: 'dialup' }]);
    assert.equal((await ping(hosts.a, other, { count: 1 })).received, 1);
    await a.setFilters([{ ...block, connectionType: 'lan' }]);
    // The kernel tells the program that it may not.
    await assert.rejects(ping(hosts.a, other, { count: 1 }), /not permitted/);
    const arriving = { ...secureFilter('c', 'inbound', selector(other, one)), action: 'block' } as const;
    await a.setFilters([{ ...arriving, connectionType: 'lan' }]);
    assert.equal((await ping(hosts.a, other, { count: 1, waitSeconds: 1 })).received, 0);
    await a.setFilters([]);
  });

  test('lifetimes end, soft and hard, and are told once', async () => {
    // Far apart: a kernel that is late tells of the hard limit only.
    const pair: SaPair = {
      ...staticEnds(connection, 3).one.pair,
      lifetime: { softSeconds: 1, hardSeconds: 4, softKilobytes: 0, hardKilobytes: 0 },
    };
    await a.setFilters(staticEnds(connection, 3).one.filters);
    await a.events();
    await a.install(pair);
    const seen: DriverEvent[] = [];
    await waitFor('both limits', async () => {
      seen.push(...(await a.events()));
      return seen.some(({ kind }) => kind === 'hardExpired');
    });
    const limits = seen.filter(({ kind }) => kind.endsWith('Expired'));
    assert.deepEqual(limits, [
      { kind: 'softExpired', pairId: pair.id, cause: 'seconds' },
      { kind: 'hardExpired', pairId: pair.id, cause: 'seconds' },
    ]);
    assert.equal((await a.report()).pairs[0]?.outboundActive, false);
    await a.remove(pair.id);
  });

  test('a peer that moved behind its NAT is followed', async () => {
    const ends = staticEnds({ ...connection, udpEncapsulation: true }, 4);
    await a.setFilters(ends.one.filters);
    await a.install(ends.one.pair);
    await a.events();
    const b = await DriverOnHost.start(hosts.b, [], 'xfrm');
    try {
      await b.setFilters(ends.other.filters);
      await b.install({ ...ends.other.pair, udpEncapsulation: { localPort: 4567, peerPort: 4500 } });
      await ping(hosts.b, one, { count: 1 });
      assert.deepEqual((await eventOf('peerMoved')).peer, { address: other, port: 4567 });
      assert.match(hosts.a.run('ip', 'xfrm', 'state'), /espinudp sport 4500 dport 4567/);
    } finally {
      await b.stop();
    }
    await a.remove(ends.one.pair.id);
  });

  test('a second client behind the NAT of a first one is refused', async () => {
    const [first, second] = [5, 6].map(seed => staticEnds({ ...connection, udpEncapsulation: true }, seed));
    assert.ok(first !== undefined && second !== undefined);
    await a.setFilters(first.one.filters);
    await a.install(first.one.pair);
    const udpEncapsulation = { localPort: 4500, peerPort: 4567 };
    await assert.rejects(a.install({ ...second.one.pair, id: 'second' as PairId, udpEncapsulation }), {
      code: 'UNSUPPORTED',
      message: /second client behind the NAT/,
    });
    assert.equal(hosts.a.run('ip', 'xfrm', 'state').match(/dport 4567/), null);
    await a.remove(first.one.pair.id);
  });

  test('a peer that cuts its ICV is found out, and so is one whose SA is not there', async () => {
    const cut = { ...connection, esp: { encryption: 'aes128', hash: 'sha256' } } as const;
    const ends = staticEnds(cut, 7);
    const short = (halves: SaPair['inbound']) => halves.map(half => ({ ...half, icvBytes: 12 }));
    const { pair } = ends.other;
    await a.setFilters(ends.one.filters);
    await a.install(ends.one.pair);
    await a.events();
    const b = await DriverOnHost.start(hosts.b, [], 'xfrm');
    const stream = hosts.b.spawn('ping', ['-n', '-q', '-i', '0.25', one], { stdio: 'ignore' });
    try {
      await b.setFilters(ends.other.filters);
      await b.install({ ...pair, inbound: short(pair.inbound), outbound: short(pair.outbound) });
      await waitFor('the note', async () => (await a.report()).pairs[0]?.lastNote !== undefined);
      const { pairs } = await a.report();
      assert.equal(pairs[0]?.lastNote, 'the peer truncates HMAC-SHA-256 to 96 bits, this side to 128');
      assert.ok((pairs[0]?.drops['not-authenticated'] ?? 0) > 0, JSON.stringify(pairs[0]?.drops));
      await a.remove(ends.one.pair.id);
      const spi = pair.outbound[0]?.spi;
      assert.deepEqual(await eventOf('unknownSpi'), {
        ...{ kind: 'unknownSpi', protocol: 'esp', spi },
        ...{ local: { address: one, port: 500 }, peer: { address: other, port: 500 } },
      });
      // The packet is seen just before the kernel counts it.
      await waitFor('the count', async () => (await a.report()).driver.drops['bad-spi'] > 0);
      const { recentDrops } = await a.report();
      const told = (reason: string) => recentDrops.filter(drop => drop.reason === reason);
      assert.equal(told('not-authenticated')[0]?.note, pairs[0]?.lastNote);
      assert.equal(told('bad-spi')[0]?.packet?.spi, spi);
    } finally {
      stream.kill();
      await b.stop();
    }
  });
});
