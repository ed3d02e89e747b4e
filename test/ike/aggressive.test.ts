/** Aggressive mode between two engines: both outcomes of every step, NAT, loss, floods, and nothing unless asked for. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ipAddress } from '../../src/wire/ip/address.js';
import { decodeMessage } from '../../src/wire/isakmp/message.js';
import { type Host, keysMatch, mainModePolicy, pairsFit, twoHosts } from './harness.js';

const aggressive = (overrides: Parameters<typeof mainModePolicy>[0] = {}) =>
  mainModePolicy({ aggressive: true, ...overrides });

const both = { mainMode: aggressive() };

const exchanges = (host: Host) => host.sent.map(({ bytes }) => bytes[18]);

function fit(a: Host, b: Host): boolean {
  const [own, other] = [a.current, b.current];
  return own !== undefined && other !== undefined && pairsFit(own, other);
}

describe('aggressive mode', () => {
  test('three messages make the ISAKMP SA, and quick mode the pair', () => {
    const { net, a, b } = twoHosts(1, { maxDelayMs: 1 }, both, both);
    net.acquire(a);
    assert.ok(net.run(5_000, () => fit(a, b)));
    assert.deepEqual(exchanges(a), [4, 4, 32, 32]);
    assert.deepEqual(exchanges(b), [4, 32]);
    const kinds = (index: number) => {
      const datagram = net.wire[index];
      assert.ok(datagram);
      return decodeMessage(datagram.bytes).payloads.map(({ payload }) => payload.kind);
    };
    assert.deepEqual(kinds(0).slice(0, 4), ['sa', 'ke', 'nonce', 'id']);
    // No NAT-D in message 1 (RFC 3947 4): the peer's cookie is not known.
    assert.ok(!kinds(0).includes('nat-d'));
    assert.deepEqual(
      kinds(1).filter(kind => kind !== 'vid'),
      ['sa', 'ke', 'nonce', 'id', 'hash', 'nat-d', 'nat-d'],
    );
    // Message 3 is not repeated once the peer has answered anything.
    net.run(60_000);
    assert.equal(exchanges(a).filter(type => type === 4).length, 2);
  });

  test('a responder that keeps it for a shorter time says so afterwards, protected, and both end it then', () => {
    const { net, a, b } = twoHosts(1, {}, both, { mainMode: aggressive({ lifetimeSeconds: 600 }) });
    net.acquire(a);
    net.run(1_000);
    for (const { engine } of [a, b]) {
      const [mainMode] = engine.mainModes();
      const { establishedAtMs = 0, expiresAtMs = 0 } = mainMode ?? {};
      assert.equal(expiresAtMs - establishedAtMs, 600_000);
    }
    const [cookie] = a.engine.mainModes().map(({ initiatorCookie }) => initiatorCookie);
    assert.ok(cookie);
    net.run(601_000);
    for (const { engine } of [a, b])
      assert.ok(engine.mainModes().every(({ initiatorCookie }) => initiatorCookie !== cookie));
    assert.ok(fit(a, b), 'the pair is as it was');
  });

  test('off, it is refused without a trace, and never begun', () => {
    const { net, a, b } = twoHosts(1, {}, both, {});
    net.acquire(a);
    net.run(300_000);
    assert.equal(a.failures[0]?.reason, 'peer-refused');
    assert.match(a.failures[0]?.text ?? '', /UNSUPPORTED-EXCHANGE-TYPE to aggressive mode 1/);
    assert.equal(b.engine.mainModes().length, 0);
    assert.ok(exchanges(b).every(type => type === 5));
    net.acquire(b);
    assert.ok(net.run(5_000, () => fit(a, b)));
    assert.ok(!exchanges(b).includes(4));
  });

  test('a responder that allows it still speaks main mode', () => {
    const { net, a, b } = twoHosts(1, {}, {}, both);
    net.acquire(a);
    assert.ok(net.run(5_000, () => fit(a, b)));
    assert.ok(!exchanges(a).includes(4));
  });

  test('wrong preshared key: the initiator says so, and nothing stays', () => {
    const { net, a, b } = twoHosts(1, {}, { mainMode: aggressive({ psk: 'other' }) }, both);
    net.acquire(a);
    net.run(100_000);
    assert.equal(a.failures[0]?.reason, 'preshared-keys-differ');
    for (const host of net.hosts) assert.equal(host.engine.mainModes().length, 0);
    assert.equal(b.pairs.size, 0);
  });

  test('only methods of one group are offered', () => {
    const methods = [
      { encryption: 'aes128', hash: 'sha1', group: 2 },
      { encryption: '3des', hash: 'sha1', group: 2 },
      { encryption: '3des', hash: 'sha1', group: 1 },
    ] as const;
    const second = { mainMode: aggressive({ methods: methods.slice(1) }) };
    const { net, a, b } = twoHosts(1, {}, { mainMode: aggressive({ methods }) }, second);
    net.acquire(a);
    assert.ok(net.run(5_000, () => fit(a, b)));
    assert.deepEqual(a.engine.mainModes()[0]?.method, methods[1]);
    const [first] = net.wire;
    assert.ok(first);
    const [sa] = decodeMessage(first.bytes).payloads;
    assert.equal(sa?.payload.kind === 'sa' && sa.payload.proposals[0]?.transforms.length, 2);
  });

  test('another identity than expected is refused by either side', () => {
    const named = (name: string, peer: string) => ({
      mainMode: aggressive({
        identity: { kind: 'fqdn', name },
        peerIdentity: { kind: 'fqdn', name: peer },
      }),
    });
    for (const [ours, theirs] of [
      [named('a.example', 'x.example'), named('b.example', 'a.example')],
      [named('a.example', 'b.example'), named('b.example', 'x.example')],
    ] as const) {
      const { net, a } = twoHosts(1, {}, ours, theirs);
      net.acquire(a);
      net.run(200_000);
      assert.equal(a.failures[0]?.reason, 'invalid-id');
    }
    const { net, a, b } = twoHosts(1, {}, named('a.example', 'b.example'), named('b.example', 'a.example'));
    net.acquire(a);
    assert.ok(net.run(5_000, () => fit(a, b)));
    assert.equal(b.engine.mainModes()[0]?.peerIdentity, 'a.example');
  });

  test('a NAT is found from messages 2 and 3, and both sides move to port 4500', () => {
    const { net, a, b } = twoHosts(1, {}, both, { ...both, mode: 'transport' });
    const outside = ipAddress('198.51.100.9');
    net.translate = datagram => {
      if (datagram.local.address === a.address)
        return { ...datagram, local: { address: outside, port: datagram.local.port + 10_000 } };
      const port = datagram.peer.port - 10_000;
      return { ...datagram, peer: { address: a.address, port } };
    };
    net.acquire(a);
    assert.ok(net.run(5_000, () => a.current !== undefined && b.current !== undefined));
    assert.deepEqual(a.engine.mainModes()[0]?.natDetected, { local: true, peer: false });
    assert.deepEqual(b.engine.mainModes()[0]?.natDetected, { local: false, peer: true });
    assert.equal(b.engine.mainModes()[0]?.peerPort, 14_500);
    assert.deepEqual(a.current?.udpEncapsulation, { localPort: 4500, peerPort: 4500 });
  });

  test('300 seeds of 20 % loss, duplication and reordering end with SAs that work both ways', () => {
    const network = { loss: 0.2, duplication: 0.2, maxDelayMs: 400 };
    const reaches = (sender: Host, receiver: Host) => {
      const pair = sender.current;
      return pair !== undefined && [...receiver.pairs.values()].some(other => keysMatch(pair, other));
    };
    for (let seed = 1; seed <= 300; seed++) {
      const { net, a, b } = twoHosts(
        seed,
        network,
        { ...both, traffic: seed % 3 !== 1 },
        { ...both, traffic: seed % 3 !== 0 },
      );
      const done = () => reaches(a, b) && reaches(b, a);
      assert.ok(net.run(600_000, done), `seed ${seed}: no working pair after ten minutes`);
      net.run(70_000);
      assert.ok(done() || net.run(120_000, done), `seed ${seed}: the pair did not last`);
    }
  });

  test('a flood of first messages is bounded in answers a second and in half-open exchanges', () => {
    const { net, a, b } = twoHosts(1, {}, both, { ...both, options: { maxHalfOpen: 10 } });
    net.manual = true;
    net.acquire(a);
    const [first] = net.wire;
    assert.ok(first);
    for (let n = 1; n <= 200; n++) {
      const bytes = Uint8Array.from(first.bytes);
      new DataView(bytes.buffer).setUint32(0, n);
      net.deliver({ ...first, bytes });
    }
    assert.equal(b.sent.length, 50);
    assert.equal(b.engine.mainModes().length, 10);
    net.run(70_000);
    assert.equal(b.engine.mainModes().length, 0);
  });

  test('a forged message 2 does not keep the real one from its effect', () => {
    const { net, a, b } = twoHosts(1, {}, both, both);
    net.manual = true;
    net.acquire(a);
    const [first] = net.wire;
    assert.ok(first);
    net.deliver(first);
    const second = net.wire[1];
    assert.ok(second);
    for (let n = 28; n < second.bytes.length; n += 7) {
      const bytes = Uint8Array.from(second.bytes);
      bytes[n] = (bytes[n] ?? 0) ^ 0x55;
      bytes[15] = (bytes[15] ?? 0) ^ 0x55;
      net.deliver({ ...second, bytes });
      assert.equal(a.engine.mainModes()[0]?.state, 'negotiating');
    }
    net.deliver(second);
    assert.equal(a.engine.mainModes()[0]?.state, 'established');
    assert.equal(b.engine.mainModes()[0]?.state, 'negotiating');
  });

  test('message 3 lost again and again is repeated until the peer has it', () => {
    const { net, a, b } = twoHosts(1, {}, both, both);
    let dropped = 0;
    net.translate = datagram => {
      const last =
        datagram.bytes[18] === 4 && datagram.local.address === a.address && datagram.bytes[15] !== 0;
      return last && dropped++ < 2 ? undefined : datagram;
    };
    net.acquire(a);
    assert.ok(net.run(20_000, () => fit(a, b)));
    assert.equal(dropped >= 3, true);
  });
});
