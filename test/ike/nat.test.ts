import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IkeDatagram, Spi } from '../../src/driver/api.js';
import type { MainModePolicy } from '../../src/ike/api.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { vendorIds } from '../../src/wire/isakmp/vendor-ids.js';
import { credentials, ownCertificate, testCa, testLeaf, testNowMs } from '../support/certificates.js';
import { esp3des, type Host, type HostOptions, mainModePolicy, pairsFit, Simulation } from './harness.js';

const publicAddress = ipAddress('203.0.113.7');

/** A host behind a NAT that talks to one on the Internet; the NAT maps each inner port to one from `firstPort` on. */
function behindNat(inner: HostOptions = {}, outer: HostOptions = {}, seed = 1) {
  const net = new Simulation(seed);
  const client = net.addHost('10.0.0.2', '198.51.100.1', inner);
  const server = net.addHost('198.51.100.1', '203.0.113.7', outer);
  const nat = { firstPort: 30_000, mappings: new Map<number, number>() };
  net.translate = datagram => {
    const { local, peer } = datagram;
    if (local.address === client.address) {
      const mapped = nat.mappings.get(local.port) ?? nat.firstPort + nat.mappings.size;
      nat.mappings.set(local.port, mapped);
      return { ...datagram, local: { address: publicAddress, port: mapped } };
    }
    if (peer.address !== publicAddress) return datagram;
    for (const [port, mapped] of nat.mappings)
      if (mapped === peer.port) return { ...datagram, peer: { address: client.address, port } };
    return undefined;
  };
  return { net, client, server, nat };
}

const portsOf = (host: Host) => host.sent.map(({ local, peer }) => `${local.port}>${peer.port}`);
const isKeepalive = ({ bytes }: IkeDatagram) => bytes.length === 1 && bytes[0] === 0xff;

for (const [name, vendor, encapsulations] of [
  ['RFC 3947', undefined, { transport: 4, tunnel: 3 }],
  ['draft 02', vendorIds.natTRfc3947.bytes, { transport: 61_444, tunnel: 61_443 }],
] as const)
  describe(name, () => {
    for (const mode of ['transport', 'tunnel'] as const)
      test(`${mode} mode from behind a NAT: detection, port 4500, UDP, original addresses`, () => {
        const { net, client, server, nat } = behindNat({ mode, options: { exportKeys: true } }, { mode });
        // Without RFC 3947 in message 2, both sides fall back to the draft.
        const { translate } = net;
        net.translate = datagram => {
          const translated = translate(datagram);
          if (vendor === undefined || translated === undefined) return translated;
          const hidden = toHex(translated.bytes).replace(toHex(vendor), '00'.repeat(16));
          const isSa = translated.bytes[16] === 1;
          return isSa ? { ...translated, bytes: fromHex(hidden) } : translated;
        };
        net.acquire(client);
        net.run(5_000);
        assert.deepEqual(client.failures, []);
        const [ours, theirs] = [client.current, server.current];
        assert.ok(ours && theirs && pairsFit(ours, theirs));
        assert.deepEqual(portsOf(client).slice(0, 5), [
          '500>500',
          '500>500',
          '4500>4500',
          '4500>4500',
          '4500>4500',
        ]);
        assert.deepEqual(ours.udpEncapsulation, { localPort: 4500, peerPort: 4500 });
        assert.deepEqual(theirs.udpEncapsulation, { localPort: 4500, peerPort: nat.mappings.get(4500) });
        assert.equal(theirs.peer, publicAddress);
        assert.deepEqual(client.engine.mainModes()[0]?.natDetected, { local: true, peer: false });
        assert.deepEqual(server.engine.mainModes()[0]?.natDetected, { local: false, peer: true });
        assert.equal(server.engine.mainModes()[0]?.peerIdentity, '10.0.0.2');
        if (mode === 'tunnel') {
          assert.equal(theirs.natOriginal, undefined);
        } else {
          assert.equal(theirs.natOriginal?.peer, '10.0.0.2');
          assert.equal(ours.natOriginal?.peer, '198.51.100.1');
          assert.equal(
            theirs.selector.destination.first,
            publicAddress,
            'the packet address, not the private one',
          );
          // The draft tells only of the sender's own address.
          assert.equal(theirs.natOriginal?.local, vendor ? undefined : '198.51.100.1');
          assert.equal(ours.natOriginal?.local, vendor ? undefined : publicAddress);
        }
        assert.ok(server.steps.some(({ detail }) => detail === 'NAT detected: the peer is behind it'));
        assert.ok(encapsulations[mode] > 2);
      });
  });

test('keepalives from the side behind the NAT, every 20 s on port 4500, until the end', () => {
  const { net, client, server } = behindNat();
  net.acquire(client);
  net.run(125_000);
  assert.equal(client.sent.filter(isKeepalive).length, 6);
  assert.equal(server.sent.filter(isKeepalive).length, 0);
  assert.ok(
    client.sent.filter(isKeepalive).every(({ local, peer }) => local.port === 4500 && peer.port === 4500),
  );
  // While SAs outlive their main mode, the NAT must not forget them.
  const [mainMode] = client.engine.mainModes();
  assert.ok(mainMode);
  net.apply(client, client.engine.closeAll(net.nowMs, 'over'));
  const before = client.sent.filter(isKeepalive).length;
  net.run(100_000);
  assert.equal(client.sent.filter(isKeepalive).length, before);
  assert.equal(client.engine.nextWakeMs(), undefined);
});

test('a renewed mapping: IKE follows authenticated messages, and the driver', () => {
  const { net, client, server, nat } = behindNat();
  net.acquire(client);
  net.run(5_000);
  nat.mappings.clear();
  nat.firstPort = 40_000;
  const pair = client.current;
  assert.ok(pair);
  net.event(client, { kind: 'softExpired', pairId: pair.id, cause: 'seconds' });
  net.run(5_000);
  assert.equal(server.engine.mainModes()[0]?.peerPort, 40_000);
  assert.equal(server.current?.udpEncapsulation?.peerPort, 40_000);
  const serverPair = server.current;
  assert.ok(serverPair);
  net.event(server, {
    kind: 'peerMoved',
    pairId: serverPair.id,
    peer: { address: publicAddress, port: 50_000 },
  });
  assert.equal(server.engine.mainModes()[0]?.peerPort, 50_000);
});

test('a stranger whose certificate is not trusted moves nothing of a client, though it can exchange keys', () => {
  const calendarAheadMs = testNowMs - 1_000_000;
  const authority = 'CN=NAT root';
  const key = 'prime256v1';
  const root = testCa(authority, undefined, { key });
  const policy = (subject: string, issuer = root) =>
    mainModePolicy({
      authentication: [
        { kind: 'certificate', authority },
        { kind: 'certificate', authority: issuer.certificate.subject.text },
      ],
      credentials: credentials({
        own: [ownCertificate(testLeaf(subject, issuer, { key }))],
        trusted: [...new Set([root, issuer])].map(({ certificate }) => certificate),
      }),
    });
  const { net, client, server } = behindNat(
    { mainMode: policy('CN=client'), calendarAheadMs },
    { mainMode: policy('CN=server'), calendarAheadMs },
  );
  const stranger = net.addHost('10.9.9.9', server.address, {
    mainMode: policy('CN=stranger', testCa('CN=nobody knows it', undefined, { key })),
    calendarAheadMs,
  });
  net.acquire(client);
  net.run(5_000);
  const places = () =>
    server.engine
      .mainModes()
      .filter(({ state }) => state === 'established')
      .map(({ peer, peerPort }) => `${peer} ${peerPort}`);
  const before = places();
  const pairBefore = server.current;
  assert.equal(before.length, 1);
  assert.ok(pairBefore?.udpEncapsulation);
  // It writes the client's address into its packets, and its own into those that are encrypted.
  const clientPlace = { address: publicAddress, port: pairBefore.udpEncapsulation.peerPort };
  const strangerPlace = { address: ipAddress('198.18.0.66'), port: 6_666 };
  const { translate } = net;
  const cookies = new Set<string>();
  const cookieOf = ({ bytes }: IkeDatagram) => toHex(bytes.subarray(0, 8));
  net.translate = datagram => {
    if (datagram.local.address === stranger.address) {
      cookies.add(cookieOf(datagram));
      const encrypted = ((datagram.bytes[19] ?? 0) & 1) === 1;
      return {
        ...datagram,
        local: encrypted ? strangerPlace : clientPlace,
        peer: { address: server.address, port: 4_500 },
      };
    }
    if (cookies.has(cookieOf(datagram)))
      return { ...datagram, peer: { address: stranger.address, port: 4_500 } };
    return translate(datagram);
  };
  net.acquire(stranger);
  net.run(5_000);
  assert.ok(server.steps.some(({ detail }) => /main mode 5 .* refused/.test(detail)));
  assert.deepEqual(places(), before);
  net.run(60_000);
  net.event(server, { kind: 'softExpired', pairId: pairBefore.id, cause: 'seconds' });
  net.run(5_000);
  assert.deepEqual([client.active.length, server.active.length], [2, 2], 'the client is still found');
});

describe('two clients behind one NAT', () => {
  /** Each with a mapping of its own, which a test can move; the server only knows the NAT's address. */
  function twoClients(
    policy: Partial<MainModePolicy> = {
      deadPeerDetection: { idleSeconds: 30, retrySeconds: 5, retries: 3 },
    },
  ) {
    const net = new Simulation(3);
    const settings = { mainMode: mainModePolicy(policy), mode: 'tunnel' } as const;
    const clients = ['10.0.0.2', '10.0.0.3'].map(address => net.addHost(address, '198.51.100.1', settings));
    const server = net.addHost('198.51.100.1', publicAddress, settings);
    const firstPorts = [30_000, 40_000];
    const silent = new Set<Host>();
    net.translate = datagram => {
      const { local, peer } = datagram;
      const from = clients.findIndex(({ address }) => address === local.address);
      if (clients.some(client => silent.has(client) && clients[from] === client)) return undefined;
      const mapped = (client: number) => (firstPorts[client] ?? 0) + (local.port === 500 ? 0 : 1);
      if (from >= 0) return { ...datagram, local: { address: publicAddress, port: mapped(from) } };
      const to = firstPorts.findIndex(first => peer.port === first || peer.port === first + 1);
      const client = clients[to];
      if (client === undefined) return undefined;
      const port = peer.port === firstPorts[to] ? 500 : 4500;
      return { ...datagram, peer: { address: client.address, port } };
    };
    for (const client of clients) {
      net.acquire(client);
      net.run(5_000);
    }
    const [one, two] = clients;
    assert.ok(one && two && one.current && two.current);
    assert.equal(server.pairs.size, 2);
    const ports = () => server.engine.mainModes().map(({ peerPort }) => peerPort);
    assert.deepEqual(ports(), [30_001, 40_001]);
    return { net, one, two, server, silent, ports };
  }

  test('a moved mapping of one leaves the other where it is', () => {
    const { net, server, ports } = twoClients();
    const pairOfTwo = [...server.pairs.values()].find(
      ({ udpEncapsulation }) => udpEncapsulation?.peerPort === 40_001,
    );
    assert.ok(pairOfTwo);
    for (const port of [50_001, 60_001]) {
      net.event(server, { kind: 'peerMoved', pairId: pairOfTwo.id, peer: { address: publicAddress, port } });
      assert.deepEqual(ports(), [30_001, port]);
    }
  });

  test('the server renews with the one whose pair it is', () => {
    const { net, one, two, server } = twoClients();
    for (const [client, port] of [
      [one, 30_001],
      [two, 40_001],
    ] as const) {
      const pair = [...server.pairs.values()].find(({ udpEncapsulation: udp }) => udp?.peerPort === port);
      assert.ok(pair);
      const before = client.active.length;
      net.event(server, { kind: 'softExpired', pairId: pair.id, cause: 'seconds' });
      net.run(5_000);
      assert.equal(client.active.length, before + 1);
      assert.ok([...server.pairs.values()].some(other => client.current && pairsFit(client.current, other)));
    }
  });

  const pairAt = (server: Host, port: number) =>
    [...server.pairs.values()].find(({ udpEncapsulation: udp }) => udp?.peerPort === port);

  test('one that has gone is not renewed with the other', () => {
    const { net, one, two, server, silent } = twoClients({ lifetimeSeconds: 60 });
    const pair = pairAt(server, 30_001);
    assert.ok(pair);
    silent.add(one);
    net.run(70_000);
    const before = two.active.length;
    net.event(server, { kind: 'softExpired', pairId: pair.id, cause: 'seconds' });
    // Meanwhile the other makes a new main mode.
    net.run(130_000);
    assert.equal(two.active.length, before);
    assert.equal(server.engine.statistics().activeAcquire, 0);
    assert.ok(server.steps.some(({ detail }) => detail.startsWith('not renewed: no main mode is up')));
  });

  test('one that dies is missed, though the other sends', () => {
    const { net, one, server, silent, ports } = twoClients();
    silent.add(one);
    const other = pairAt(server, 40_001);
    assert.ok(other);
    for (let seconds = 0; seconds < 120; seconds++) {
      server.lastInboundAtMs.set(other.id, net.nowMs);
      net.run(1_000);
    }
    assert.deepEqual(ports(), [40_001]);
    assert.deepEqual([...server.pairs.keys()], [other.id]);
  });

  test('one cannot delete what the other has', () => {
    const { net, one, two, server } = twoClients();
    const [own, others] = [one.current, two.current];
    assert.ok(own && others);
    // Its Delete names the SPI of the other.
    Object.assign(own, { inbound: others.inbound });
    net.apply(one, one.engine.closePair(own.id, net.nowMs, 'over'));
    net.run(5_000);
    assert.ok(pairAt(server, 40_001), 'the pair of the other lives');
  });

  test('a packet for an SA that is not there is told to the one that sent it', () => {
    const { net, one, two, server } = twoClients();
    const ends = (port: number) => ({
      local: { address: server.address, port: 4_500 },
      peer: { address: publicAddress, port },
    });
    for (const [client, port] of [
      [one, 30_001],
      [two, 40_001],
    ] as const) {
      const told = ({ steps }: Host) =>
        steps.filter(step => step.direction === 'received' && step.detail.includes('INVALID-SPI')).length;
      const before = [told(one), told(two)];
      net.apply(
        server,
        server.engine.unknownSpi({ protocol: 'esp', spi: 0x1234_5678 as Spi, ...ends(port) }, net.nowMs),
      );
      net.run(1_000);
      const after = [told(one), told(two)];
      assert.deepEqual(
        after.map((count, i) => count - (before[i] ?? 0)),
        client === one ? [1, 0] : [0, 1],
      );
    }
  });

  test('one that dies takes nothing of the other with it', () => {
    const { net, one, two, server, silent, ports } = twoClients();
    silent.add(one);
    net.run(120_000);
    assert.deepEqual(ports(), [40_001]);
    assert.equal(server.pairs.size, 1);
    const [left] = server.pairs.values();
    assert.ok(left && two.current && pairsFit(two.current, left));
  });
});

test('the side behind the NAT can be found again by the other: it renews too', () => {
  const { net, client, server } = behindNat();
  net.acquire(client);
  net.run(5_000);
  const pair = server.current;
  assert.ok(pair);
  net.event(server, { kind: 'softExpired', pairId: pair.id, cause: 'seconds' });
  net.run(5_000);
  assert.deepEqual([client.active.length, server.active.length], [2, 2]);
  assert.ok(client.current && server.current && pairsFit(client.current, server.current));
});

test('AH is left out of what is offered through a NAT, and refused', () => {
  const both = [{ ah: { hash: 'sha1' } } as const, esp3des];
  const { net, client } = behindNat({ methods: both }, { methods: both });
  net.acquire(client);
  net.run(5_000);
  assert.deepEqual(client.engine.quickModes()[0]?.method, esp3des);
  const only = behindNat({ methods: [{ ah: { hash: 'sha1' } }] });
  only.net.acquire(only.client);
  only.net.run(5_000);
  assert.match(only.client.failures[0]?.text ?? '', /AH, which cannot pass the NAT/);
});

describe('without a NAT', () => {
  const plain = (a: HostOptions, b: HostOptions) => {
    const net = new Simulation(1);
    const first = net.addHost('192.0.2.1', '192.0.2.2', a);
    const second = net.addHost('192.0.2.2', '192.0.2.1', b);
    net.acquire(first);
    net.run(5_000);
    return { a: first, b: second };
  };

  test('no float and no encapsulation', () => {
    const { a, b } = plain({}, {});
    assert.ok(a.sent.every(({ local }) => local.port === 500));
    assert.equal(a.current?.udpEncapsulation, undefined);
    assert.equal(b.current?.udpEncapsulation, undefined);
  });

  test('forced: both sides believe in a NAT', () => {
    for (const forcedByInitiator of [true, false]) {
      const forced = { mainMode: mainModePolicy({ natTraversal: 'forced' }) };
      const { a, b } = plain(forcedByInitiator ? forced : {}, forcedByInitiator ? {} : forced);
      for (const host of [a, b])
        assert.deepEqual(host.current?.udpEncapsulation, { localPort: 4500, peerPort: 4500 });
    }
  });

  test('off: no vendor IDs of it, no detection', () => {
    const { a } = plain({ mainMode: mainModePolicy({ natTraversal: 'off' }) }, {});
    assert.ok(a.current);
    assert.deepEqual(a.steps[0]?.detail, 'SA VID*3');
    assert.ok(a.steps.some(({ message, detail }) => message === 'main mode 3' && detail === 'KE NONCE'));
  });
});
