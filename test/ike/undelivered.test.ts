/** ICMP errors about our messages: told, never believed. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Undelivered } from '../../src/ike/undelivered.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { type Host, type Simulation, twoHosts } from './harness.js';

const router = ipAddress('198.51.100.1');
const told = (host: Host) => host.steps.filter(({ undelivered }) => undelivered !== undefined);

function report(net: Simulation, to: Host, from: Host, more: Partial<Undelivered> = {}): void {
  const peer = { address: from.address, port: 500 };
  net.apply(
    to,
    to.engine.undelivered({ peer, reporter: peer.address, reason: 'no-listener', ...more }, net.nowMs),
  );
}

/** One that has sent main mode 1 to a host that is silent. */
function waiting() {
  const { net, a, b } = twoHosts(1);
  net.translate = () => undefined;
  net.acquire(a);
  return { net, a, b };
}

describe('ICMP errors about main mode 1', () => {
  test('are told once each, and explain the silence in the end', () => {
    const { net, a, b } = waiting();
    for (let i = 0; i < 3; i++) report(net, a, b);
    assert.deepEqual(
      told(a).map(({ direction, message, detail }) => `${direction} ${message} ${detail}`),
      [`received ICMP from ${b.address} about UDP port 500: port unreachable, nothing listens on that port`],
    );
    report(net, a, b, { reporter: router, reason: 'prohibited' });
    assert.equal(told(a).length, 2);
    assert.ok(net.run(200_000, () => a.failures.length > 0));
    assert.match(
      a.failures[0]?.text ?? '',
      /did not answer main mode 1 \(ICMP from 198\.51\.100\.1 about UDP port 500: administratively prohibited/,
    );
  });

  test('end nothing: the negotiation goes on when the peer answers after all', () => {
    const { net, a, b } = waiting();
    for (let i = 0; i < 100; i++) report(net, a, b);
    net.translate = datagram => datagram;
    assert.ok(net.run(10_000, () => a.current !== undefined));
    assert.deepEqual(a.failures, []);
  });

  test('name this host when it is the one that says so', () => {
    const { net, a, b } = waiting();
    report(net, a, b, { reporter: a.address, reason: 'no-host' });
    assert.match(told(a)[0]?.detail ?? '', /^from this host about UDP port 500: host unreachable/);
  });

  test('of another host or port are nobody’s', () => {
    const { net, a, b } = waiting();
    report(net, a, b, { peer: { address: router, port: 500 } });
    report(net, a, b, { peer: { address: b.address, port: 4500 } });
    assert.deepEqual(told(a), []);
  });

  test('come in floods: few are told', () => {
    const { net, a, b } = waiting();
    for (let i = 1; i < 250; i++) report(net, a, b, { reporter: ipAddress(`203.0.113.${i}`) });
    assert.equal(told(a).length, 10);
  });
});

test('what was said before the peer was heard again explains nothing', () => {
  const { net, a, b } = twoHosts(1);
  net.acquire(a);
  assert.ok(net.run(5_000, () => a.current !== undefined));
  report(net, a, b);
  assert.equal(told(a).length, 1);
  net.run(1_000);
  net.apply(b, b.engine.closePair(b.current?.id ?? assert.fail('no pair'), net.nowMs, 'a test'));
  net.run(1_000);
  report(net, a, b);
  assert.equal(told(a).length, 2, 'it is news again');
});
