/** The two engines against each other: ours out here, the kernel's on the machine. Keys by hand. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { subnetRange } from '../../../src/wire/ip/selector.js';
import { ping } from '../../lab/traffic.js';
import { DriverOnHost } from '../../support/driver-on-host.js';
import { selector } from '../../support/driver-suite.js';
import { type StaticConnection, staticEnds } from '../../support/static-pair.js';
import { ourAddress, type PeerHosts, target, theirAddress } from '../lab.js';

const [one, other] = [ipAddress(ourAddress), ipAddress(theirAddress)];
const [near, far] = [ipAddress(target('ours', 'tunnel')), ipAddress(target('theirs', 'tunnel'))];
const insides = selector(near, far, { source: subnetRange(near, 24), destination: subnetRange(far, 24) });

const cases: readonly Omit<StaticConnection, 'one' | 'other'>[] = [
  { name: 'transport ESP 3DES-SHA1', mode: 'transport', esp: { encryption: '3des', hash: 'sha1' } },
  { name: 'transport AH over ESP', mode: 'transport', esp: { encryption: 'aes128' }, ah: { hash: 'sha1' } },
  { name: 'tunnel ESP AES256-GCM', mode: 'tunnel', selector: insides, esp: { encryption: 'aes256gcm' } },
  {
    ...{ name: 'tunnel ESP in UDP', mode: 'tunnel', selector: insides, udpEncapsulation: true },
    esp: { encryption: 'aes128', hash: 'sha256' },
  },
  {
    ...{ name: 'transport ESP AES128-SHA1, extended sequence numbers across 2^32', mode: 'transport' },
    ...{ esp: { encryption: 'aes128', hash: 'sha1' }, extendedSequence: true, sequence: 2 ** 32 - 3 },
  },
  {
    ...{ name: 'tunnel AH SHA256 over ESP AES128, extended sequence numbers across 2^32', mode: 'tunnel' },
    ...{ selector: insides, esp: { encryption: 'aes128' }, ah: { hash: 'sha256' } },
    ...{ extendedSequence: true, sequence: 2 ** 32 - 3 },
  },
];

export function engineTests(hosts: () => PeerHosts): void {
  describe('userspace and xfrm', () => {
    let ours: DriverOnHost;
    let theirs: DriverOnHost;
    before(async () => {
      ours = await DriverOnHost.start(hosts().ours);
      theirs = await DriverOnHost.start(hosts().theirs, [], 'xfrm');
    });
    after(async () => {
      await ours?.stop();
      await theirs?.stop();
    });

    for (const [index, connection] of cases.entries())
      test(connection.name, async () => {
        const ends = staticEnds({ one, other, ...connection }, index);
        await ours.setFilters(ends.one.filters);
        await theirs.setFilters(ends.other.filters);
        await ours.install(ends.one.pair);
        await theirs.install(ends.other.pair);
        const three = { sent: 3, received: 3 };
        const options = { count: 3, intervalSeconds: 0.05 };
        assert.deepEqual(await ping(hosts().ours, target('theirs', connection.mode), options), three);
        assert.deepEqual(
          await ping(hosts().theirs, target('ours', connection.mode), { ...options, bytes: 3000 }),
          three,
        );
        const [pair] = (await theirs.report()).pairs;
        assert.deepEqual([pair?.packetsReceived, pair?.drops], [6, {}]);
        await ours.remove(ends.one.pair.id);
        await theirs.remove(ends.other.pair.id);
      });
  });
}
