/**
 * Our packet engine against the kernel's with keys and SPIs by hand: the bundle and the transforms that strongSwan
 * does not negotiate in IKEv1.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { subnetRange } from '../../../src/wire/ip/selector.js';
import { ping, transfer } from '../../lab/traffic.js';
import { DriverOnHost } from '../../support/driver-on-host.js';
import { type StaticConnection, staticEnds } from '../../support/static-pair.js';
import {
  insideNetworks,
  insideNetworks6,
  type Mode,
  ourAddress,
  ourAddress6,
  type PeerHosts,
  target,
  theirAddress,
  theirAddress6,
} from '../lab.js';
import { flushXfrm, installAtPeer } from './xfrm.js';

type Transforms = Pick<StaticConnection, 'esp' | 'ah' | 'extendedSequence'>;

interface Case extends Transforms {
  readonly modes: readonly Mode[];
  readonly tcp?: true;
  /** Of the hosts, and of what a tunnel carries; IPv4 when absent. */
  readonly outside?: 4 | 6;
  readonly inside?: 4 | 6;
}

const cases: readonly Case[] = [
  {
    esp: { encryption: '3des', hash: 'sha1' },
    ah: { hash: 'sha1' },
    modes: ['transport', 'tunnel'],
    tcp: true,
  },
  { esp: { encryption: 'aes128gcm' }, ah: { hash: 'sha256' }, modes: ['transport', 'tunnel'] },
  { ah: { hash: 'md5' }, modes: ['transport'] },
  { ah: { hash: 'sha256' }, modes: ['tunnel'] },
  { ah: { hash: 'sha384' }, modes: ['transport'] },
  { ah: { hash: 'sha512' }, modes: ['tunnel'] },
  { esp: { encryption: 'null', hash: 'sha1' }, modes: ['transport'] },
  { esp: { encryption: 'des', hash: 'sha1' }, modes: ['tunnel'] },
  { esp: { encryption: 'aes128' }, modes: ['transport'] },
  { esp: { encryption: 'aes192', hash: 'sha384' }, modes: ['tunnel'] },
  { esp: { encryption: 'aes256', hash: 'sha512' }, modes: ['transport'] },
  { esp: { encryption: 'aes192gcm' }, modes: ['tunnel'] },
  { esp: { encryption: 'aes256gcm' }, modes: ['transport'] },
  {
    ...{ outside: 6, inside: 6, modes: ['transport', 'tunnel'], tcp: true },
    esp: { encryption: '3des', hash: 'sha1' },
  },
  { outside: 6, inside: 6, modes: ['transport', 'tunnel'], ah: { hash: 'sha256' } },
  {
    ...{ outside: 6, inside: 6, modes: ['transport'] },
    esp: { encryption: 'aes128gcm' },
    ah: { hash: 'sha1' },
  },
  { outside: 6, modes: ['tunnel'], esp: { encryption: 'aes256', hash: 'sha256' } },
  { inside: 6, modes: ['tunnel'], esp: { encryption: 'aes128', hash: 'sha1' } },
  { inside: 6, modes: ['tunnel'], ah: { hash: 'sha1' } },
  { modes: ['tunnel'], extendedSequence: true, esp: { encryption: 'aes128', hash: 'sha256' } },
  { modes: ['transport'], extendedSequence: true, esp: { encryption: 'aes128gcm' }, tcp: true },
  {
    modes: ['transport'],
    extendedSequence: true,
    esp: { encryption: '3des', hash: 'sha1' },
    ah: { hash: 'md5' },
  },
  { modes: ['transport', 'tunnel'], extendedSequence: true, ah: { hash: 'sha1' } },
  { outside: 6, inside: 6, modes: ['transport'], extendedSequence: true, ah: { hash: 'sha256' } },
];

/** Three pings from here cross 2^32. */
const nearTheEnd = 2 ** 32 - 3;

const name = ({ esp, ah, extendedSequence, outside = 4, inside = 4 }: Case) =>
  [
    ...(outside === inside ? (outside === 6 ? ['IPv6'] : []) : [`IPv${inside} in IPv${outside}`]),
    ...(esp ? [`ESP ${esp.encryption}${esp.hash ? `-${esp.hash}` : ''}`] : []),
    ...(ah ? [`AH ${ah.hash}`] : []),
    ...(extendedSequence ? ['extended sequence numbers across 2^32'] : []),
  ].join(' + ');

const anyPorts = { protocol: 0, sourcePort: 0, destinationPort: 0 };
const insides = {
  4: {
    source: subnetRange(ipAddress('10.1.0.0'), 24),
    destination: subnetRange(ipAddress('10.2.0.0'), 24),
    ...anyPorts,
  },
  6: {
    source: subnetRange(ipAddress('fd71::'), 64),
    destination: subnetRange(ipAddress('fd72::'), 64),
    ...anyPorts,
  },
} as const;

const hostAddresses = {
  4: { ours: ourAddress, theirs: theirAddress },
  6: { ours: ourAddress6, theirs: theirAddress6 },
} as const;

export function keysByHandTests(hosts: () => PeerHosts): void {
  describe('keys by hand', () => {
    let driver: DriverOnHost;

    before(async () => {
      driver = await DriverOnHost.start(hosts().ours);
      // No daemon there looks after routes: without one, tunnelled packets get no source address.
      hosts().theirs.run('ip', 'route', 'add', '10.1.0.0/24', 'dev', 'eth0', 'src', '10.2.0.1');
      hosts().theirs.run('ip', 'route', 'add', 'fd71::/64', 'dev', 'eth0', 'src', 'fd72::1');
    });

    after(async () => {
      await driver?.stop();
      hosts().theirs.run('ip', 'route', 'del', '10.1.0.0/24');
      hosts().theirs.run('ip', 'route', 'del', 'fd71::/64');
    });

    cases.forEach((one, index) => {
      for (const mode of one.modes)
        test(`${name(one)}, ${mode} mode`, async () => {
          const { ours, theirs } = hosts();
          const { outside = 4, inside = 4 } = one;
          const ends = hostAddresses[outside];
          const connection: StaticConnection = {
            ...{
              name: `pair ${index} ${mode}`,
              one: ipAddress(ends.ours),
              other: ipAddress(ends.theirs),
              mode,
            },
            ...(mode === 'tunnel' ? { selector: insides[inside] } : {}),
            ...(one.esp ? { esp: one.esp } : {}),
            ...(one.ah ? { ah: one.ah } : {}),
            ...(one.extendedSequence ? { extendedSequence: true, sequence: nearTheEnd } : {}),
          };
          const { filters, pair } = staticEnds(connection, index + 1).one;
          const tunnelled = inside === 4 ? insideNetworks : insideNetworks6;
          const networks = mode === 'tunnel' ? tunnelled : ends;
          await driver.setFilters(filters);
          await driver.install(pair);
          try {
            installAtPeer(theirs, pair, networks);
            const [there, here] = [target('theirs', mode, inside), target('ours', mode, inside)];
            const options = { count: 3, intervalSeconds: 0.05 };
            const [forth, back] = [await ping(ours, there, options), await ping(theirs, here, options)];
            const all = { sent: 3, received: 3 };
            const report = await driver.report();
            const counted = JSON.stringify([report.driver.drops, report.pairs]);
            assert.deepEqual({ forth, back }, { forth: all, back: all }, counted);
            if (one.tcp) await transfer(ours, theirs, there, { bytes: 1_000_000 });
          } finally {
            flushXfrm(theirs);
            await driver.remove(pair.id);
          }
        });
    });

    test('a kernel that cuts HMAC-SHA-256 to 96 bits is named as one', async () => {
      const { theirs } = hosts();
      const { filters, pair } = staticEnds(
        {
          ...{ name: 'cut', one: ipAddress(ourAddress), other: ipAddress(theirAddress), mode: 'transport' },
          esp: { encryption: 'aes128', hash: 'sha256' },
        },
        96,
      ).one;
      const cut = (halves: typeof pair.inbound) => halves.map(half => ({ ...half, icvBytes: 12 }));
      await driver.setFilters(filters);
      await driver.install(pair);
      try {
        const theirPair = { ...pair, inbound: cut(pair.inbound), outbound: cut(pair.outbound) };
        installAtPeer(theirs, theirPair, { ours: ourAddress, theirs: theirAddress });
        await ping(theirs, ourAddress, { count: 3, intervalSeconds: 0.05 });
        const [statistics] = (await driver.report()).pairs;
        assert.deepEqual(statistics?.drops, { 'not-authenticated': 3 });
        assert.equal(statistics?.lastNote, 'the peer truncates HMAC-SHA-256 to 96 bits, this side to 128');
      } finally {
        flushXfrm(theirs);
        await driver.remove(pair.id);
      }
    });
  });
}
