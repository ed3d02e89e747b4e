import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PolicySource } from '../../src/agent/active-policy.js';
import type { MemoryNetwork } from '../../src/driver/userspace/memory.js';
import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { decodeIpv4, ipv4ToNumber } from '../../src/wire/ip/packet.js';
import { aliceAddress, bobAddress, ping, type Station, tunnelTo, twoStations } from '../support/station.js';

interface Requesting {
  readonly allowFallback?: boolean;
  readonly acceptUnsecured?: boolean;
  readonly softSaSeconds?: number;
  readonly presharedKey?: string;
}

/** All traffic with a peer, secured where that is possible: Request Security, between two hosts. */
function request(local: IpAddress, peer: IpAddress, options: Requesting = {}): PolicySource {
  const { allowFallback = true, acceptUnsecured = false, softSaSeconds, presharedKey = 'secret' } = options;
  const source = tunnelTo(local, peer, { presharedKey });
  const rules = source.policy.rules.map(rule => ({
    ...rule,
    action:
      rule.action.kind === 'negotiate' ? { ...rule.action, allowFallback, acceptUnsecured } : rule.action,
  }));
  const { keyExchange } = source.policy;
  return {
    ...source,
    policy: {
      ...source.policy,
      rules,
      keyExchange: { ...keyExchange, ...(softSaSeconds === undefined ? {} : { softSaSeconds }) },
    },
  };
}

/** Pings seen on the wire, unprotected, by their sender. */
function watchClear(network: MemoryNetwork): IpAddress[] {
  const seen: IpAddress[] = [];
  network.transit = packet => {
    const { protocol, source } = decodeIpv4(packet);
    if (protocol === 1) seen.push(source === ipv4ToNumber(aliceAddress) ? aliceAddress : bobAddress);
    return [packet];
  };
  return seen;
}

const softOf = ({ agent }: Station) => agent.softAssociations();
const spoken = (station: Station) =>
  station.audits().map(event => (event.id === 542 ? `${event.id} ${event.reason}` : `${event.id}`));

/** Alice asks for security, Bob's host knows nothing of IPsec but answers pings. */
async function silentPeer(seed: number, options: Requesting = {}) {
  const stations = await twoStations(seed);
  const { alice, network } = stations;
  const clear = watchClear(network);
  // Nobody listens on Bob's IKE ports.
  const transit = network.transit;
  network.transit = (packet, from) => {
    const { protocol, destination } = decodeIpv4(packet);
    return protocol === 17 && destination === ipv4ToNumber(bobAddress) ? [] : transit(packet, from);
  };
  await alice.agent.setSources([request(aliceAddress, bobAddress, options)]);
  const listen = () => {
    network.transit = transit;
  };
  return { ...stations, clear, listen };
}

describe('falling back to clear', () => {
  test('waits three seconds, then sends what is queued and lets the answers in', async () => {
    const { alice, bob, pass, clear } = await silentPeer(31);
    bob.sendClear(ping(bobAddress, aliceAddress));
    await pass(10);
    assert.equal(alice.tun.takeWritten().length, 0, 'clear packets are refused before');
    clear.length = 0;
    alice.tun.inject([ping(aliceAddress, bobAddress), ping(aliceAddress, bobAddress)]);
    await pass(2_900);
    assert.deepEqual(clear, [], 'nothing yet');
    await pass(200);
    assert.deepEqual(clear, [aliceAddress, aliceAddress]);
    assert.equal(bob.tun.takeWritten().length, 2);
    bob.sendClear(ping(bobAddress, aliceAddress));
    await pass(10);
    assert.deepEqual(alice.tun.takeWritten(), [ping(bobAddress, aliceAddress)]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(10);
    assert.equal(bob.tun.takeWritten().length, 1, 'at once from now on');

    assert.equal(alice.agent.statistics().ike.softAssociations, 1);
    const [soft, ...others] = softOf(alice);
    assert.deepEqual(others, []);
    assert.deepEqual([soft?.local, soft?.peer, soft?.idleSeconds], [aliceAddress, bobAddress, 300]);
    const [audit] = alice.audits();
    assert.ok(audit?.id === 541 && audit.mode === 'quick');
    assert.match(audit.peerIdentity, /does not answer IKE.*soft SA/);
    assert.deepEqual([audit.parameters.esp, audit.parameters.ah], ['None', 'None']);
  });

  test('is not done where the rule forbids it', async () => {
    const { alice, pass, clear } = await silentPeer(32, { allowFallback: false });
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(120_000);
    assert.deepEqual(clear, []);
    assert.equal(alice.failures()[0]?.reason, 'no-response');
    assert.equal(alice.agent.statistics().ike.softAssociations, 0);
  });

  test('is not done when the peer answers, whatever it says', async () => {
    const { alice, bob, pass, network } = await twoStations(33);
    const clear = watchClear(network);
    await alice.agent.setSources([request(aliceAddress, bobAddress)]);
    await bob.agent.setSources([request(bobAddress, aliceAddress, { presharedKey: 'another' })]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(60_000);
    assert.equal(alice.failures()[0]?.reason, 'preshared-keys-differ');
    // A peer without any policy for us refuses, too.
    await bob.agent.setSources([]);
    for (let i = 0; i < 10; i++) {
      alice.tun.inject([ping(aliceAddress, bobAddress)]);
      await pass(5_000);
    }
    assert.deepEqual([clear, softOf(alice)], [[], []]);
  });

  test('one datagram on the IKE port is an answer', async () => {
    const { alice, pass, clear, network, bob } = await silentPeer(34);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(1_000);
    bob.driver.sendIke({
      local: { address: bobAddress, port: 500 },
      peer: { address: aliceAddress, port: 500 },
      bytes: new Uint8Array(28).fill(0xa5),
    });
    network.run();
    await pass(90_000);
    assert.deepEqual([clear, softOf(alice)], [[], []]);
  });

  test('ends without traffic, and starts over with the next packet', async () => {
    const { alice, bob, pass } = await silentPeer(35, { softSaSeconds: 60 });
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(3_500);
    for (let i = 0; i < 10; i++) {
      // Only the peer speaks, which is traffic as well.
      bob.sendClear(ping(bobAddress, aliceAddress));
      await pass(30_000);
    }
    assert.equal(alice.tun.takeWritten().length, 10);
    assert.equal(softOf(alice).length, 1);
    await pass(80_000);
    assert.deepEqual(softOf(alice), []);
    assert.ok(spoken(alice).includes('542 soft SA: no traffic for the time the policy allows'));
    bob.sendClear(ping(bobAddress, aliceAddress));
    await pass(10);
    assert.equal(alice.tun.takeWritten().length, 0, 'the way in is closed again');
    bob.tun.takeWritten();
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(2_000);
    assert.equal(bob.tun.takeWritten().length, 0);
    await pass(1_500);
    assert.equal(bob.tun.takeWritten().length, 1);
    assert.equal(alice.agent.statistics().ike.softAssociations, 2);
  });

  test('gives way to hard SAs when the peer starts IKE', async () => {
    const { alice, bob, pass, listen, clear } = await silentPeer(36);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(100_000);
    assert.equal(softOf(alice).length, 1, 'the end of the attempt changes nothing');
    listen();
    await bob.agent.setSources([request(bobAddress, aliceAddress)]);
    clear.length = 0;
    bob.tun.takeWritten();
    bob.tun.inject([ping(bobAddress, aliceAddress)]);
    await pass(1_000);
    assert.equal(alice.tun.takeWritten().length, 1);
    assert.deepEqual(softOf(alice), []);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(100);
    assert.equal(bob.tun.takeWritten().length, 1);
    assert.deepEqual(clear, [], 'all of it was protected');
    assert.ok(spoken(alice).includes('542 soft SA: the peer has negotiated security'));
  });

  test('does not outlive a peer that speaks IKE but agrees to nothing', async () => {
    const { alice, bob, pass, listen, clear } = await silentPeer(37);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(4_000);
    listen();
    await bob.agent.setSources([request(bobAddress, aliceAddress, { presharedKey: 'another' })]);
    bob.tun.inject([ping(bobAddress, aliceAddress)]);
    await pass(15_000);
    assert.deepEqual(softOf(alice), []);
    clear.length = 0;
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(30_000);
    assert.deepEqual(clear, []);
  });

  test('ends with the policy, and with the agent', async () => {
    const { alice, pass, clear } = await silentPeer(38);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(4_000);
    assert.equal(softOf(alice).length, 1);
    clear.length = 0;
    await alice.agent.setSources([request(aliceAddress, bobAddress, { allowFallback: false })]);
    assert.deepEqual(softOf(alice), []);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(10_000);
    assert.deepEqual(clear, []);
    assert.ok(spoken(alice).includes('542 soft SA: the policy changed'));

    await alice.agent.setSources([request(aliceAddress, bobAddress)]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(120_000);
    assert.equal(softOf(alice).length, 1);
    const stopped = alice.agent.stop();
    await pass(1_000);
    await stopped;
    assert.deepEqual(softOf(alice), []);
    assert.equal(spoken(alice).at(-1), '542 soft SA: the policy agent stops');
  });

  test('is for one peer only', async () => {
    const third = ipAddress('192.0.2.3');
    const { alice, bob, pass, listen } = await silentPeer(39);
    await alice.agent.setSources([
      request(aliceAddress, bobAddress),
      request(aliceAddress, third, { allowFallback: false }),
    ]);
    alice.tun.inject([ping(aliceAddress, bobAddress), ping(aliceAddress, third)]);
    await pass(4_000);
    assert.deepEqual(
      softOf(alice).map(({ peer }) => peer),
      [bobAddress],
    );
    listen();
    assert.equal(bob.tun.takeWritten().length, 1);
  });
});

describe('accepting unsecured packets', () => {
  test('a clear packet is answered secured', async () => {
    const { alice, bob, pass, network } = await twoStations(41);
    const clear = watchClear(network);
    // The peer would only respond: its first packet is in clear.
    bob.sendClear(ping(bobAddress, aliceAddress));
    const inpass = request(aliceAddress, bobAddress, { acceptUnsecured: true, allowFallback: false });
    await alice.agent.setSources([inpass]);
    await pass(10);
    assert.deepEqual([clear.length, alice.tun.takeWritten().length], [1, 1]);
    await bob.agent.setSources([request(bobAddress, aliceAddress)]);
    alice.tun.inject([ping(aliceAddress, bobAddress)]);
    await pass(1_000);
    assert.equal(bob.tun.takeWritten().length, 1);
    assert.deepEqual(clear, [bobAddress], 'the answer was not in clear');
    assert.equal(alice.agent.quickModes().length, 1);
  });
});
