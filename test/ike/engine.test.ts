import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type EncryptionId,
  encryption,
  encryptionIds,
  groupIds,
  hash,
  hashIds,
} from '../../src/crypto/algorithms.js';
import type { SaPair } from '../../src/driver/api.js';
import type { MainModeMethod, SecurityMethod } from '../../src/policy/model.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { hostRange, subnetRange } from '../../src/wire/ip/selector.js';
import {
  type Host,
  type HostOptions,
  mainModePolicy,
  pairsFit,
  type Simulation,
  twoHosts,
} from './harness.js';

/** Lets `a` negotiate with `b` and returns the two ends of the pair. */
function negotiate(
  a: HostOptions,
  b: HostOptions,
  seed = 1,
): { net: Simulation; a: Host; b: Host; ours: SaPair; theirs: SaPair } {
  const hosts = twoHosts(seed, {}, a, b);
  const id = hosts.net.acquire(hosts.a);
  hosts.net.run(5_000);
  assert.deepEqual(hosts.a.failures, []);
  assert.equal(hosts.a.acquired[0]?.requestId, id);
  const [ours, theirs] = [hosts.a.current, hosts.b.current];
  assert.ok(ours && theirs && pairsFit(ours, theirs), 'both ends fit');
  return { ...hosts, ours, theirs };
}

const phase1 = (method: MainModeMethod): HostOptions => ({ mainMode: mainModePolicy({ methods: [method] }) });

test('messages, effects and events of a negotiation, in order', () => {
  const { a, b, ours, theirs } = negotiate({}, {});
  const shown = (host: Host) =>
    host.steps
      .filter(({ direction }) => direction !== 'note')
      .map(step => `${step.direction} ${step.message}: ${step.detail}`);
  assert.deepEqual(shown(a), [
    'sent main mode 1: SA VID*7',
    'received main mode 2: SA VID*7',
    'sent main mode 3: KE NONCE NAT-D*2',
    'received main mode 4: KE NONCE NAT-D*2',
    'sent main mode 5: ID HASH NOTIFY(INITIAL-CONTACT)',
    'received main mode 6: ID HASH',
    'sent quick mode 1: HASH SA NONCE ID*2',
    'received quick mode 2: HASH SA NONCE ID*2',
    'sent quick mode 3: HASH',
  ]);
  assert.deepEqual(shown(b), [
    'received main mode 1: SA VID*7',
    'sent main mode 2: SA VID*7',
    'received main mode 3: KE NONCE NAT-D*2',
    'sent main mode 4: KE NONCE NAT-D*2',
    'received main mode 5: ID HASH NOTIFY(INITIAL-CONTACT)',
    'sent main mode 6: ID HASH',
    'received quick mode 1: HASH SA NONCE ID*2',
    'sent quick mode 2: HASH SA NONCE ID*2',
    'received quick mode 3: HASH',
  ]);
  assert.deepEqual(
    a.audits.map(event => event.id === 541 && [event.mode, event.peerIdentity, event.parameters]),
    [
      [
        'main',
        'Preshared key ID. Peer IP Address: 192.0.2.2',
        { encryption: '3DES', hash: 'SHA', group: 'modp768', lifetimeSeconds: 28_800 },
      ],
      [
        'quick',
        'Preshared key ID. Peer IP Address: 192.0.2.2',
        {
          esp: '3DES',
          hmac: 'SHA',
          ah: 'None',
          encapsulation: 'Transport Mode',
          inboundSpi: ours.inbound[0]?.spi,
          outboundSpi: theirs.inbound[0]?.spi,
          lifetimeSeconds: 3_600,
          lifetimeKilobytes: 100_000,
        },
      ],
    ],
  );
  const [info] = a.engine.mainModes();
  assert.equal(info?.state, 'established');
  assert.equal(info?.role, 'initiator');
  assert.equal(info?.peerIdentity, '192.0.2.2');
  assert.equal(info?.responderCookie, b.engine.mainModes()[0]?.responderCookie);
  assert.equal(a.engine.quickModes()[0]?.inbound[0]?.spi, ours.inbound[0]?.spi);
  assert.equal(JSON.stringify(a.engine.quickModes()).includes('Key'), false, 'no key material is shown');
  for (const host of [a, b]) {
    const { mainModes, quickModes, keyAdditions, keyUpdates, negotiationFailures, activeAcquire } =
      host.engine.statistics();
    assert.deepEqual(
      { mainModes, quickModes, keyAdditions, keyUpdates, negotiationFailures, activeAcquire },
      {
        mainModes: 1,
        quickModes: 1,
        keyAdditions: 1,
        keyUpdates: 1,
        negotiationFailures: 0,
        activeAcquire: 0,
      },
    );
  }
});

describe('phase-1 algorithms', () => {
  for (const cipher of encryptionIds.filter(id => encryption(id).ikeId !== undefined))
    for (const digest of hashIds)
      test(`${cipher}-${digest}`, () => {
        const options = phase1({ encryption: cipher, hash: digest, group: 1 });
        negotiate(options, options);
      });
  for (const group of groupIds)
    test(`group ${group}`, () => {
      const options = phase1({ encryption: '3des', hash: 'sha1', group });
      negotiate(options, options);
    });
});

describe('phase-2 methods', () => {
  const esp = encryptionIds.flatMap((id): SecurityMethod[] =>
    encryption(id).tagBytes === undefined
      ? hashIds.map(digest => ({ esp: { encryption: id, hash: digest } }))
      : [{ esp: { encryption: id } }],
  );
  const methods: SecurityMethod[] = [
    ...esp,
    { esp: { encryption: '3des' } },
    ...hashIds.map((digest): SecurityMethod => ({ ah: { hash: digest } })),
    { ah: { hash: 'sha1' }, esp: { encryption: '3des', hash: 'md5' } },
    { ah: { hash: 'md5' }, esp: { encryption: 'aes128gcm' } },
    ...([1, 2, 14] as const).map(
      (group): SecurityMethod => ({ esp: { encryption: 'des', hash: 'md5' }, pfs: { group } }),
    ),
    { ah: { hash: 'sha1' }, esp: { encryption: 'des', hash: 'md5' }, pfs: {} },
  ];
  for (const method of methods)
    for (const mode of ['transport', 'tunnel'] as const)
      test(`${JSON.stringify(method)} ${mode}`, () => {
        const { ours, theirs } = negotiate({ methods: [method], mode }, { methods: [method], mode });
        const protocols = [...(method.esp ? ['esp'] : []), ...(method.ah ? ['ah'] : [])];
        for (const halves of [ours.inbound, ours.outbound, theirs.inbound])
          assert.deepEqual(
            halves.map(({ protocol }) => protocol),
            protocols,
            'ESP before AH',
          );
        for (const half of ours.inbound) {
          const cipher: EncryptionId | undefined = half.encryption;
          const row = cipher && encryption(cipher);
          assert.equal(half.encryptionKey.length, row ? row.keyBytes + row.saltBytes : 0);
          assert.equal(half.integrityKey.length, half.hash ? hash(half.hash).digestBytes : 0);
          assert.ok(half.spi >= 256);
        }
        assert.equal(ours.mode, mode);
      });
});

test('the responder takes the first of its own methods that is offered', () => {
  const [first, second, third]: SecurityMethod[] = [
    { esp: { encryption: 'des', hash: 'md5' } },
    { ah: { hash: 'sha1' } },
    { esp: { encryption: 'aes256', hash: 'sha256' } },
  ];
  assert.ok(first && second && third);
  const { b } = negotiate(
    { methods: [first, second, third] },
    { methods: [{ ah: { hash: 'md5' } }, third, second] },
  );
  assert.deepEqual(b.engine.quickModes()[0]?.method, third);
  const strong: MainModeMethod = { encryption: 'aes128', hash: 'sha256', group: 2 };
  const weak: MainModeMethod = { encryption: 'des', hash: 'md5', group: 1 };
  const chosen = negotiate(
    { mainMode: mainModePolicy({ methods: [weak, strong] }) },
    { mainMode: mainModePolicy({ methods: [{ ...strong, group: 5 }, strong, weak] }) },
  );
  assert.deepEqual(chosen.a.engine.mainModes()[0]?.method, strong);
});

test('extended sequence numbers are in force where both want them, and nowhere else', () => {
  const plain: SecurityMethod = { esp: { encryption: 'aes128', hash: 'sha1' } };
  const extended: SecurityMethod = { ...plain, extendedSequence: true };
  const both = negotiate({ methods: [plain, extended] }, { methods: [extended, plain] });
  assert.deepEqual([both.ours.extendedSequence, both.theirs.extendedSequence], [true, true]);
  assert.equal(both.b.engine.quickModes()[0]?.pair.extendedSequence, true);
  const one = negotiate({ methods: [extended, plain] }, { methods: [plain] });
  assert.deepEqual([one.ours.extendedSequence, one.theirs.extendedSequence], [undefined, undefined]);
});

test('only offers with the PFS group of the first go into one quick mode', () => {
  const methods: SecurityMethod[] = [
    { esp: { encryption: 'aes128', hash: 'sha1' }, pfs: { group: 2 } },
    { esp: { encryption: 'des', hash: 'md5' } },
    { esp: { encryption: '3des', hash: 'sha1' }, pfs: { group: 2 } },
  ];
  const { b } = negotiate(
    { methods },
    { methods: [{ esp: { encryption: '3des', hash: 'sha1' }, pfs: { group: 2 } }] },
  );
  assert.deepEqual(b.engine.quickModes()[0]?.method.pfs, { group: 2 });
});

test('a responder without PFS accepts it', () => {
  const method: SecurityMethod = { esp: { encryption: '3des', hash: 'sha1' } };
  negotiate({ methods: [{ ...method, pfs: { group: 2 } }] }, { methods: [method] });
});

describe('traffic selectors', () => {
  const cases = {
    subnets: [subnetRange(ipAddress('10.1.0.0'), 16), subnetRange(ipAddress('10.2.3.0'), 24)],
    'a host and a range': [
      hostRange(ipAddress('10.1.2.3')),
      { first: ipAddress('10.2.0.3'), last: ipAddress('10.2.0.9') },
    ],
    'IPv6 subnets': [subnetRange(ipAddress('2001:db8:1::'), 48), subnetRange(ipAddress('2001:db8:2::'), 64)],
    anything: [subnetRange(ipAddress('0.0.0.0'), 0), subnetRange(ipAddress('0.0.0.0'), 0)],
  } as const;
  for (const [name, [source, destination]] of Object.entries(cases))
    test(name, () => {
      const { net, a, b } = twoHosts(1, {}, { mode: 'tunnel' }, { mode: 'tunnel' });
      const selector = { source, destination, protocol: 0, sourcePort: 0, destinationPort: 0 };
      net.acquire(a, { quickMode: a.quickModePolicy(selector) });
      net.run(5_000);
      assert.deepEqual(a.current?.selector, selector);
      assert.deepEqual(b.current?.selector, { ...selector, source: destination, destination: source });
    });

  test('protocol and ports', () => {
    const { net, a, b } = twoHosts(1);
    const selector = { ...a.quickModePolicy().selector, protocol: 6, sourcePort: 0, destinationPort: 80 };
    net.acquire(a, { quickMode: a.quickModePolicy(selector) });
    net.run(5_000);
    assert.deepEqual(a.current?.selector, selector);
    const { source, destination } = selector;
    assert.deepEqual(b.current?.selector, {
      source: destination,
      destination: source,
      protocol: 6,
      sourcePort: 80,
      destinationPort: 0,
    });
  });
});

describe('identities', () => {
  test('names as identities, expected and proved', () => {
    const gateway = { kind: 'fqdn', name: 'gw.example.com' } as const;
    const user = { kind: 'userFqdn', name: 'user@example.com' } as const;
    const { a, b } = negotiate(
      {
        mainMode: mainModePolicy({ identity: user, peerIdentity: { kind: 'fqdn', name: 'GW.example.com' } }),
      },
      { mainMode: mainModePolicy({ identity: gateway, peerIdentity: user }) },
    );
    assert.equal(a.engine.mainModes()[0]?.peerIdentity, 'gw.example.com');
    assert.equal(b.engine.mainModes()[0]?.peerIdentity, 'user@example.com');
  });

  test('IPv6 hosts', () => {
    const { net } = twoHosts(3);
    const a = net.addHost('2001:db8::1', '2001:db8::2');
    const b = net.addHost('2001:db8::2', '2001:db8::1');
    net.acquire(a);
    net.run(5_000);
    assert.ok(a.current && b.current && pairsFit(a.current, b.current));
  });
});

test('requests for the same traffic join, for other traffic share the main mode', () => {
  const { net, a } = twoHosts(1);
  const first = net.acquire(a);
  const second = net.acquire(a);
  const other = net.acquire(a, {
    quickMode: a.quickModePolicy({ ...a.quickModePolicy().selector, protocol: 17 }),
  });
  assert.equal(a.engine.statistics().activeAcquire, 2);
  net.run(5_000);
  const of = (id: string) => a.acquired.find(({ requestId }) => requestId === id)?.pairId;
  assert.ok(of(first));
  assert.equal(of(first), of(second));
  assert.notEqual(of(first), of(other));
  assert.equal(a.engine.mainModes().length, 1);
  assert.equal(a.engine.mainModes()[0]?.quickModes, 2);
});

test('a quick mode limit of 1 (master key PFS) makes a main mode for every quick mode', () => {
  const { net, a } = twoHosts(1, {}, { mainMode: mainModePolicy({ quickModeLimit: 1 }) });
  net.acquire(a);
  net.acquire(a, { quickMode: a.quickModePolicy({ ...a.quickModePolicy().selector, protocol: 17 }) });
  net.run(5_000);
  assert.equal(a.active.length, 2);
  assert.deepEqual(
    a.engine.mainModes().map(({ quickModes, state }) => [quickModes, state]),
    [
      [1, 'expiring'],
      [1, 'expiring'],
    ],
  );
});

test('keys are exported only when asked for', () => {
  const { a, b, ours } = negotiate({ options: { exportKeys: true } }, {});
  assert.deepEqual(
    a.keys.map(({ kind }) => kind),
    ['ike', 'sa'],
  );
  const [ike, sa] = a.keys;
  assert.ok(ike?.kind === 'ike' && ike.encryptionKey.length === 24 && ike.encryption === '3des');
  assert.ok(sa?.kind === 'sa' && sa.pair === ours);
  assert.deepEqual(b.keys, []);
  // Whoever asks later gets the same.
  assert.deepEqual(a.engine.exportedKeys(), [ike, sa]);
});

test('closing tells the peer', () => {
  const { net, a, b, ours } = negotiate({}, {});
  net.apply(a, a.engine.closePair(ours.id, net.nowMs, 'not wanted'));
  net.run(1_000);
  assert.deepEqual([a.pairs.size, b.pairs.size], [0, 0]);
  assert.equal(b.removed[0]?.reason, 'deleted by the peer');
  assert.equal(b.engine.mainModes().length, 1);
  net.acquire(a);
  net.run(1_000);
  assert.equal(b.active.length, 1);
  net.apply(b, b.engine.closeAll(net.nowMs, 'shutting down'));
  net.run(1_000);
  assert.deepEqual([a.pairs.size, b.pairs.size], [0, 0]);
  assert.deepEqual([a.engine.mainModes().length, b.engine.mainModes().length], [0, 0]);
  assert.deepEqual(
    b.audits.slice(-2).map(({ id }) => id),
    [542, 543],
  );
  assert.equal(a.engine.nextWakeMs(), undefined, 'nothing left to do');
  assert.equal(b.engine.nextWakeMs(), undefined);
});
