import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SaPair } from '../../../src/driver/api.js';
import { espSequence } from '../../../src/wire/esp.js';
import {
  connect,
  left,
  makePair,
  right,
  type Suite,
  suiteName,
  twoHosts,
} from '../../support/engine-pair.js';
import { udpPacket } from '../../support/packets.js';

const suites: readonly Suite[] = [
  { esp: { encryption: '3des', hash: 'sha1' } },
  { esp: { encryption: 'aes128', hash: 'sha256' } },
  { esp: { encryption: 'aes256gcm' } },
  { ah: 'sha1' },
  { ah: 'sha256', esp: { encryption: 'aes128' } },
  { ah: 'sha1', esp: { encryption: 'aes128gcm' } },
];

/** Both ends of a pair whose numbers stand at `sequence` in both directions. */
function usedPair(hosts: ReturnType<typeof twoHosts>, suite: Suite, sequence: number) {
  const pair = makePair(hosts.random, { suite, extra: { extendedSequence: true } });
  const used = (end: SaPair): SaPair => ({
    ...end,
    inbound: end.inbound.map(half => ({ ...half, sequence })),
    outbound: end.outbound.map(half => ({ ...half, sequence })),
  });
  return { left: used(pair.left), right: used(pair.right) };
}

const packet = (n: number) =>
  udpPacket({ source: left, destination: right, data: Buffer.from(`packet ${n}`) });

describe('extended sequence numbers', () => {
  for (const suite of suites)
    test(`${suiteName(suite)}: 2^32 is crossed under loss, duplication and reordering, and no limit is reached`, () => {
      const hosts = twoHosts({ seed: 4304 });
      const { network, random } = hosts;
      connect(hosts, usedPair(hosts, suite, 2 ** 32 - 60));
      let lost = 0;
      let doubled = 0;
      let late: Uint8Array[] = [];
      network.transit = wire => {
        if (random.chance(0.2)) {
          lost++;
          return [];
        }
        if (random.chance(0.2)) {
          late.push(wire);
          return [];
        }
        const overtaken = late;
        late = [];
        if (!random.chance(0.2)) return [wire, ...overtaken];
        doubled++;
        return [wire, wire, ...overtaken];
      };
      for (let at = 0; at < 120; at += 5)
        hosts.left.send(...Array.from({ length: 5 }, (_, i) => packet(at + i)));
      network.run();
      hosts.right.host.receive(late);
      assert.ok(lost > 5 && doubled > 5, `${lost} lost, ${doubled} doubled`);
      assert.equal(hosts.right.received().length, 120 - lost);
      const { drops } = hosts.right.engine.statistics();
      assert.deepEqual([drops.replay, drops['not-authenticated']], [doubled, 0]);
      assert.deepEqual(hosts.left.eventKinds(), []);
      assert.deepEqual(hosts.right.eventKinds(), ['inboundUsed']);
    });

  test('a packet of the last round, sent again, is a replay; changed to look new it is not genuine', () => {
    const hosts = twoHosts();
    connect(hosts, usedPair(hosts, { esp: { encryption: 'aes128', hash: 'sha1' } }, 2 ** 32 - 2));
    const wire: Uint8Array[] = [];
    hosts.network.transit = sent => {
      wire.push(Uint8Array.from(sent));
      return [sent];
    };
    for (let i = 0; i < 5; i++) hosts.left.send(packet(i));
    hosts.network.run();
    assert.deepEqual(
      wire.map(sent => espSequence(sent.subarray(20))),
      [0xffff_ffff, 0, 1, 2, 3],
    );
    assert.equal(hosts.right.received().length, 5);
    hosts.right.host.receive(wire.slice(0, 2));
    const second = Uint8Array.from(wire[1] ?? []);
    second[27] = 9;
    hosts.right.host.receive([second]);
    const { drops } = hosts.right.engine.statistics();
    assert.deepEqual([drops.replay, drops['not-authenticated']], [2, 1]);
    assert.equal(hosts.right.received().length, 0);
  });

  test('nearly 2^32 packets may be lost in a row', () => {
    const hosts = twoHosts();
    const pair = usedPair(hosts, { esp: { encryption: 'aes128gcm' } }, 1000);
    const ahead = {
      ...pair.left,
      outbound: pair.left.outbound.map(half => ({ ...half, sequence: 2 ** 32 + 900 })),
    };
    connect(hosts, { left: ahead, right: pair.right });
    hosts.left.send(packet(1));
    hosts.network.run();
    assert.equal(hosts.right.received().length, 1);
  });

  for (const suite of suites)
    test(`${suiteName(suite)}: more than 2^32 packets lost in a row are noticed by the wrong ICVs, and made up for`, () => {
      const hosts = twoHosts();
      const pair = usedPair(hosts, suite, 1000);
      const ahead = {
        ...pair.left,
        outbound: pair.left.outbound.map(half => ({ ...half, sequence: 3 * 2 ** 32 + 2000 })),
      };
      connect(hosts, { left: ahead, right: pair.right });
      for (let i = 0; i < 140; i++) {
        hosts.left.send(packet(i));
        hosts.network.run();
      }
      // Each of the two protocols of a bundle that has an ICV finds out for itself.
      const isBundle = suite.ah !== undefined && suite.esp?.encryption === 'aes128gcm';
      const failed = isBundle ? 2 * 63 : 63;
      assert.equal(hosts.right.engine.statistics().drops['not-authenticated'], failed);
      assert.equal(hosts.right.received().length, 140 - failed);
    });

  test('a peer that cuts the ICV to another length is still named', () => {
    const hosts = twoHosts();
    const pair = usedPair(hosts, { esp: { encryption: 'aes128', hash: 'sha256' } }, 2 ** 32 + 7);
    const cut = { ...pair.left, outbound: pair.left.outbound.map(half => ({ ...half, icvBytes: 12 })) };
    connect(hosts, { left: cut, right: pair.right });
    hosts.left.send(packet(1));
    hosts.network.run();
    const [statistics] = hosts.right.engine.pairStatistics();
    assert.match(statistics?.lastNote ?? '', /truncates HMAC-SHA-256 to 96 bits/);
  });
});
