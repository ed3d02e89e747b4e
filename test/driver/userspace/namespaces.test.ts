/**
 * The whole user-space driver on real devices: two hosts, keys installed by hand, real traffic between them. Needs root,
 * or a machine where users may make namespaces.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { waitFor } from '../../lab/command.js';
import { ping } from '../../lab/traffic.js';
import { type Bench, driverBehaviour } from '../../support/driver-behaviour.js';
import { DriverOnHost, DriverRefusal } from '../../support/driver-on-host.js';
import { driverSuiteSkip, one, other, other6, selector, Witness } from '../../support/driver-suite.js';
import { secureFilter, staticEnds } from '../../support/static-pair.js';

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

  test('a forged "fragmentation needed" about ESP that is not ours changes nothing', async () => {
    const { hosts, a, b } = bench();
    const ends = staticEnds(
      { name: 'mtu', one, other, mode: 'transport', esp: { encryption: 'aes128gcm' } },
      4,
    );
    for (const [driver, end] of [
      [a, ends.one],
      [b, ends.other],
    ] as const) {
      await driver.setFilters(end.filters);
      await driver.install(end.pair);
    }
    const long = ['-M', 'do', '-c', '1', '-W', '2', '-s', '1400', other];
    assert.equal((await hosts.a.execute('ping', long)).status, 0);
    hosts.b.run('python3', '-c', forgedTooBig, one, other);
    // What was asked of the route is remembered for a while.
    await new Promise(resolve => setTimeout(resolve, 5_100));
    assert.equal((await hosts.a.execute('ping', long)).status, 0);
    for (const driver of [a, b]) await driver.remove('mtu' as never);
  });

  test('IPv6 packets with more extension headers than can be read are counted', async () => {
    const { hosts, b } = bench();
    await b.setFilters([]);
    const before = (await b.report()).driver.drops.malformed;
    hosts.a.run('python3', '-c', longOptions, other6);
    await waitFor('the count', async () => (await b.report()).driver.drops.malformed === before + 1);
  });

  test('a second driver in the namespace is refused by name', async () => {
    const { hosts, a, b } = bench();
    for (const driver of [a, b]) await driver.setFilters([]);
    await assert.rejects(DriverOnHost.start(hosts.a), (error: unknown) => {
      assert.ok(error instanceof DriverRefusal);
      assert.equal(error.code, 'ENVIRONMENT');
      assert.match(error.message, /runs already .* \(pid \d+\) holds the device ipseckit0/);
      return true;
    });
    assert.equal((await ping(hosts.a, other, { count: 1 })).received, 1, 'and has broken nothing');
  });
}

/** Says that ESP of SPI 0x12345678 from one host to another must be no longer than 700 bytes. Arguments: the two. */
const forgedTooBig = `
import socket, struct, sys
one, other = map(socket.inet_aton, sys.argv[1:])
quoted = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 1400, 1, 0x4000, 64, 50, 0, one, other) + bytes.fromhex('1234567800000001')
def message(checksum): return struct.pack('>BBHHH', 3, 4, checksum, 0, 700) + quoted
words = sum(struct.unpack('>%dH' % (len(message(0)) // 2), message(0)))
words = (words >> 16) + (words & 0xffff)
checksum = ~((words >> 16) + words) & 0xffff
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).sendto(message(checksum), (sys.argv[1], 0))
`;

/** Sends ESP behind 264 bytes of destination options. Argument: to whom. */
const longOptions = `
import socket, sys
options = bytes([59, 32]) + bytes([0x1e, 254]) + bytes(254) + bytes([1, 4]) + bytes(4)
sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 50)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, options)
sock.sendto(bytes.fromhex('1234567800000001') + bytes(32), (sys.argv[1], 0))
`;
