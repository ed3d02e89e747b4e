/** What the user-space driver makes of a host, leaves behind, and says when it cannot run. Needs root or user namespaces. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { FilterId } from '../../../src/driver/api.js';
import { policyUser } from '../../../src/driver/xfrm/marks.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { waitFor } from '../../lab/command.js';
import { ping } from '../../lab/traffic.js';
import { DriverOnHost, DriverRefusal } from '../../support/driver-on-host.js';
import { driverSuiteSkip, insides, one, other, selector } from '../../support/driver-suite.js';
import { createPair, type Host, type HostPair } from '../../support/namespaces.js';
import { secureFilter } from '../../support/static-pair.js';

const skip = driverSuiteSkip();

/** Sends one UDP datagram of `bytes` bytes, and gives the error code if the kernel refused it. */
async function sendUdp(host: Host, address: string, port: number, bytes = 8): Promise<string> {
  const script = `
    const socket = require('dgram').createSocket('udp4');
    socket.send(Buffer.alloc(${bytes}), ${port}, '${address}', error => {
      console.log(error ? error.code : 'sent'); socket.close();
    });`;
  return (await host.execute(process.execPath, ['-e', script])).stdout.trim();
}

describe('user-space driver on one host', { skip, timeout: 300_000 }, () => {
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

  test('what a killed driver stops stays stopped until the next has filters in force', async () => {
    const clean = traces();
    const killed = await DriverOnHost.start(hosts.a);
    await killed.setFilters([secureFilter('s', 'outbound', selector(one, other))]);
    await killed.kill();
    const answers = async () =>
      (await ping(hosts.a, other, { count: 1, waitSeconds: 1 }).catch(() => ({ received: 0 }))).received;
    assert.equal(await answers(), 0);
    assert.notEqual(traces(), clean);
    const next = await DriverOnHost.start(hosts.a);
    assert.equal(await answers(), 0, 'it has started, and knows no filters yet');
    await next.setFilters([]);
    assert.equal(await answers(), 1, 'no filter of the killed one is left');
    await next.stop();
    assert.equal(traces(), clean);
  });

  test('a start that fails opens nothing; a stop without filters removes all that was left', async () => {
    const clean = traces();
    const killed = await DriverOnHost.start(hosts.a);
    await killed.setFilters([secureFilter('s', 'outbound', selector(one, other))]);
    await killed.kill();
    const script = "require('dgram').createSocket('udp4').bind(500, () => console.log('bound'))";
    const squatter = hosts.a.spawn(process.execPath, ['-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    assert.ok(squatter.stdout !== null);
    await once(squatter.stdout, 'data');
    await assert.rejects(DriverOnHost.start(hosts.a), DriverRefusal);
    squatter.kill('SIGKILL');
    const { received } = await ping(hosts.a, other, { count: 1, waitSeconds: 1 }).catch(() => ({
      received: 0,
    }));
    assert.equal(received, 0);
    await (await DriverOnHost.start(hosts.a)).stop();
    assert.equal(traces(), clean);
  });

  test('the first filters replace what the other engine, killed, has left in the kernel, and nothing else', async () => {
    const block = (user: number) => ({
      selector: {
        source: { address: one, length: 32 },
        destination: { address: other, length: 32 },
        ...{ protocol: 0, user },
      },
      ...{ direction: 'out', action: 'block', priority: 9, templates: [] },
    });
    const script = `
      import { XfrmSocket } from './dist/src/driver/xfrm/netlink.js';
      import { xfrmRequests } from './dist/src/wire/netlink/xfrm.js';
      const policies = ${JSON.stringify([block(policyUser(1, 'filter')), block(7)])};
      for (const policy of policies) new XfrmSocket().demand(xfrmRequests.putPolicy(policy), 'a policy');`;
    const { status, stderr } = await hosts.a.execute(process.execPath, ['--input-type=module', '-e', script]);
    assert.equal(status, 0, stderr);
    const policies = () => hosts.a.run('ip', 'xfrm', 'policy').match(/action block/g)?.length;
    assert.equal(policies(), 2);
    const driver = await DriverOnHost.start(hosts.a);
    assert.equal(policies(), 2);
    await driver.setFilters([]);
    assert.equal(policies(), 1);
    await driver.stop();
    hosts.a.run('ip', 'xfrm', 'policy', 'flush');
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

  test('an older table of ours that a firewall puts back does not count as ours', async () => {
    const driver = await DriverOnHost.start(hosts.a);
    await driver.setFilters([]);
    const saved = hosts.a.run('nft', 'list', 'table', 'inet', 'ipseckit');
    const filter = { ...secureFilter('s', 'outbound', selector(one, other)), action: 'block' as const };
    await driver.setFilters([filter]);
    await driver.events();
    const folder = mkdtempSync(join(tmpdir(), 'ipseckit-reload-'));
    writeFileSync(join(folder, 'rules'), `flush ruleset\n${saved}`);
    hosts.a.run('nft', '-f', join(folder, 'rules'));
    rmSync(folder, { recursive: true });
    await waitFor('the rules in force to come back', () =>
      hosts.a.run('nft', 'list', 'table', 'inet', 'ipseckit').includes(`${other} `),
    );
    assert.equal((await ping(hosts.a, other, { count: 1 }).catch(() => ({ received: 0 }))).received, 0);
    assert.equal((await driver.events())[0]?.kind, 'failed');
    await driver.stop();
  });

  test('rules and sets that are deleted out of our table come back, and that is told', async () => {
    const driver = await DriverOnHost.start(hosts.a);
    const filter = { ...secureFilter('s', 'outbound', selector(one, other)), action: 'block' as const };
    await driver.setFilters([filter]);
    const table = () =>
      hosts.a.run('nft', '-s', 'list', 'table', 'inet', 'ipseckit').replace(/generation_\w+/, '');
    const whole = table();
    await driver.events();
    for (const deletion of [
      ['flush', 'chain', 'inet', 'ipseckit', 'outbound'],
      ['delete', 'element', 'inet', 'ipseckit', 'groups', '{ 224.0.0.0/4 }'],
    ] as const) {
      hosts.a.run('nft', ...deletion);
      await waitFor(`what "${deletion.join(' ')}" took away`, () => table() === whole);
      const event = await waitFor('the event', async () => (await driver.events())[0]);
      assert.ok(event.kind === 'failed');
      assert.match(JSON.stringify(event), /removed the nftables table ipseckit, or a part of it/);
    }
    await driver.setFilters([]);
    assert.deepEqual(await driver.events(), [], 'its own changes are no removal');
    await driver.stop();
  });

  test('a firewall mark that another program uses for its own ends passes no filter', async () => {
    const driver = await DriverOnHost.start(hosts.a);
    const filter = { ...secureFilter('s', 'outbound', selector(one, other)), action: 'block' as const };
    await driver.setFilters([filter]);
    // Mullvad's.
    const mark = String(0x6d6f6c65);
    const { stdout } = await hosts.a.execute('ping', ['-n', '-c', '1', '-W', '1', '-m', mark, other]);
    assert.doesNotMatch(stdout, /1 received/);
    await driver.stop();
  });

  test('policy routing that another program deletes comes back, and that is told', async () => {
    const driver = await DriverOnHost.start(hosts.a);
    const filters = [{ ...secureFilter('t', 'outbound', insides), tunnelEndpoint: other }];
    await driver.setFilters(filters);
    const routing = () =>
      ['-4 rule', '-6 rule', '-4 route show table all', '-6 route show table 50051']
        .map(command => hosts.a.run('ip', ...command.split(' ')))
        .join('');
    const whole = routing();
    await driver.events();
    for (const deletion of [
      ['rule', 'del', 'pref', '50'],
      ['-6', 'rule', 'del', 'pref', '32800'],
      ['route', 'flush', 'table', '50051'],
      ['route', 'del', '10.72.0.0/24', 'table', '50052'],
    ]) {
      hosts.a.run('ip', ...deletion);
      await waitFor(`what "ip ${deletion.join(' ')}" took away`, () => routing() === whole);
      const event = await waitFor('the event', async () => (await driver.events())[0]);
      assert.ok(event.kind === 'failed');
      assert.match(JSON.stringify(event), /removed routing rules or routes of ipseckit/);
    }
    await driver.setFilters([]);
    await driver.setFilters(filters);
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
      const peer = ipAddress(`10.80.${i >> 8}.${i & 0xff}`);
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
