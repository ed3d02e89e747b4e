import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Secret } from '../../src/crypto/secret.js';
import type { NegotiationFailure } from '../../src/ike/api.js';
import type { SecurityMethod } from '../../src/policy/model.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { hostRange, mirrorSelector } from '../../src/wire/ip/selector.js';
import { type Host, type HostOptions, mainModePolicy, twoHosts } from './harness.js';

/** Lets `a` try, and returns how it failed and how long that took. */
function fail(
  a: HostOptions,
  b: HostOptions,
  forMs = 120_000,
): { failure: NegotiationFailure; a: Host; b: Host; afterMs: number } {
  const hosts = twoHosts(1, { maxDelayMs: 5 }, a, b);
  const startMs = hosts.net.nowMs;
  hosts.net.acquire(hosts.a);
  hosts.net.run(forMs, () => hosts.a.failures.length > 0);
  const [failure] = hosts.a.failures;
  assert.ok(failure, 'it failed');
  assert.equal(hosts.a.pairs.size, 0);
  assert.equal(hosts.b.pairs.size, 0);
  assert.equal(hosts.a.engine.statistics().acquireFailures, 1);
  assert.equal(hosts.a.engine.statistics().activeAcquire, 0);
  assert.ok(failure.next.endsWith('.'));
  return { failure, a: hosts.a, b: hosts.b, afterMs: hosts.net.nowMs - startMs };
}

const ids = (host: Host) => host.audits.map(({ id }) => id);

describe('main mode', () => {
  test('nobody answers: seven transmissions with Windows back-off, then the failure names message 1', () => {
    const { net, a, b } = twoHosts(1);
    net.translate = () => undefined;
    const startMs = net.nowMs;
    net.acquire(a);
    const sentAt: number[] = [];
    net.run(200_000, () => {
      while (sentAt.length < a.sent.length) sentAt.push((net.nowMs - startMs) / 1_000);
      return a.failures.length > 0;
    });
    assert.deepEqual(sentAt, [0, 1, 3, 7, 15, 31, 63]);
    assert.equal(net.nowMs - startMs, 95_000);
    assert.deepEqual(
      [a.failures[0]?.reason, a.failures[0]?.message, a.failures[0]?.windowsCode, a.failures[0]?.point],
      ['no-response', 'main mode 1', 13805, 'peer'],
    );
    assert.deepEqual(ids(a), [547]);
    assert.deepEqual(
      a.steps.filter(({ direction }) => direction === 'sent').map(step => step.retransmission),
      [0, 1, 2, 3, 4, 5, 6],
    );
    assert.equal(b.steps.length, 0);
    assert.equal(a.engine.mainModes().length, 0);
    assert.equal(a.engine.nextWakeMs(), undefined);
  });

  test('message 3 is lost for good', () => {
    const { net, a } = twoHosts(1);
    net.translate = datagram => (datagram.bytes[16] === 4 ? undefined : datagram);
    net.acquire(a);
    net.run(200_000, () => a.failures.length > 0);
    assert.equal(a.failures[0]?.message, 'main mode 3');
    assert.equal(a.failures[0]?.reason, 'no-response');
  });

  test('no proposal: both sides say why, attribute by attribute, without waiting for the timeout', () => {
    const { failure, a, b, afterMs } = fail(
      {
        mainMode: mainModePolicy({
          methods: [
            { encryption: '3des', hash: 'sha1', group: 2 },
            { encryption: 'des', hash: 'md5', group: 1 },
          ],
        }),
      },
      {
        mainMode: mainModePolicy({
          methods: [
            { encryption: 'aes128', hash: 'sha256', group: 14 },
            { encryption: '3des', hash: 'md5', group: 2 },
          ],
        }),
      },
    );
    assert.equal(failure.reason, 'no-proposal-chosen');
    assert.equal(
      failure.text,
      '192.0.2.2 answered NO-PROPOSAL-CHOSEN to main mode 1, which offered 3des-sha1-modp1024, des-md5-modp768',
    );
    assert.equal(failure.notify?.name, 'NO-PROPOSAL-CHOSEN');
    assert.ok(afterMs < 1_500, `${afterMs} ms: after one retransmission`);
    assert.deepEqual(
      b.audits
        .map(event => (event.id === 546 ? [event.attribute, event.expected, event.received] : event.id))
        .slice(0, 4),
      [['hash', 'MD5', 'SHA'], ['encryption', '3DES', 'DES'], ['group', 'MODP1024', 'MODP768'], 547],
    );
    assert.equal(b.engine.mainModes().length, 0, 'a refused first message leaves nothing behind');
    assert.deepEqual(ids(a), [547]);
  });

  test('no policy for the peer', () => {
    const { failure, b } = fail({}, { mainMode: undefined });
    assert.equal(failure.reason, 'no-proposal-chosen');
    assert.equal(b.audits[0]?.id, 547);
    assert.match(JSON.stringify(b.audits[0]), /no rule covers 192\.0\.2\.1/);
    const own = fail({ mainMode: undefined }, {});
    assert.equal(own.failure.reason, 'no-policy');
    assert.equal(own.afterMs, 0);
  });

  test('Kerberos alone cannot be negotiated, nor a certificate nobody has; beside a preshared key they are passed over', () => {
    const kerberos = fail({ mainMode: mainModePolicy({ authentication: [{ kind: 'kerberos' }] }) }, {});
    assert.equal(kerberos.failure.reason, 'authentication-unsupported');
    assert.match(kerberos.failure.text, /kerberos/);
    const authentication = [{ kind: 'kerberos' }, { kind: 'certificate', authority: 'CN=x' }] as const;
    const certificate = fail({ mainMode: mainModePolicy({ authentication }) }, {});
    assert.equal(certificate.failure.reason, 'no-certificate');
    assert.match(certificate.failure.text, /no certificate with a private key under "CN=x"; at hand: none/);
    const { net, a } = twoHosts(
      1,
      {},
      {
        mainMode: mainModePolicy({
          authentication: [{ kind: 'kerberos' }, { kind: 'preshared', key: new Secret('secret') }],
        }),
      },
    );
    net.acquire(a);
    net.run(5_000);
    assert.equal(a.active.length, 1);
  });

  test('other preshared keys: recognised on both sides; the responder keeps waiting, then forgets', () => {
    const { failure, a, b, afterMs } = fail({}, { mainMode: mainModePolicy({ psk: 'other' }) });
    assert.equal(failure.reason, 'preshared-keys-differ');
    assert.equal(failure.message, 'main mode 5');
    assert.match(failure.text, /PAYLOAD-MALFORMED to main mode 5: most likely the preshared keys differ/);
    assert.ok(afterMs < 2_000, `${afterMs} ms`);
    assert.deepEqual(ids(a), [545, 547]);
    assert.deepEqual(ids(b), [545, 547]);
    for (const host of [a, b]) {
      const { authenticationFailures, negotiationFailures } = host.engine.statistics();
      assert.deepEqual([authenticationFailures, negotiationFailures], [1, 1]);
      assert.equal(JSON.stringify([host.audits, host.steps, host.failures]).includes('secret'), false);
    }
    assert.equal(b.engine.mainModes()[0]?.state, 'negotiating');
    b.engine.tick(1_000_000 + 61_000);
    assert.equal(b.engine.mainModes().length, 0);
  });

  test('message 5 unanswered: the preshared keys are the likely reason', () => {
    const { net, a } = twoHosts(1);
    net.translate = datagram => (datagram.bytes[19] === 1 ? undefined : datagram);
    net.acquire(a);
    net.run(200_000, () => a.failures.length > 0);
    assert.deepEqual(
      [a.failures[0]?.reason, a.failures[0]?.message],
      ['preshared-keys-differ', 'main mode 5'],
    );
  });

  test('another identity than expected, on either side', () => {
    const expected = { kind: 'fqdn', name: 'gw.example.com' } as const;
    const asInitiator = fail({ mainMode: mainModePolicy({ peerIdentity: expected }) }, {});
    assert.equal(asInitiator.failure.reason, 'invalid-id');
    assert.match(asInitiator.failure.text, /authenticated as 192\.0\.2\.2, but gw\.example\.com is expected/);
    assert.deepEqual(ids(asInitiator.a), [544, 547]);
    const { failure, b } = fail({}, { mainMode: mainModePolicy({ peerIdentity: expected }) });
    // The refusal was protected with keys that come of the preshared one: that one is not at fault.
    assert.equal(failure.reason, 'invalid-id');
    assert.match(
      failure.text,
      /INVALID-ID-INFORMATION to main mode 5: .* does not accept our identity 192\.0\.2\.1/,
    );
    assert.deepEqual(ids(b), [544, 547]);
  });

  test('cancelling ends it silently', () => {
    const { net, a } = twoHosts(1);
    const first = net.acquire(a);
    const second = net.acquire(a);
    net.apply(a, a.engine.cancel(first, net.nowMs));
    assert.equal(a.engine.mainModes().length, 1);
    net.apply(a, a.engine.cancel(second, net.nowMs));
    assert.deepEqual(
      a.failures.map(({ reason }) => reason),
      ['cancelled', 'cancelled'],
    );
    assert.equal(a.engine.mainModes().length, 0);
    assert.equal(a.engine.nextWakeMs(), undefined);
  });
});

describe('quick mode', () => {
  test('transport mode is between the two hosts alone: one of them cannot have it for a third', () => {
    const { net, a, b } = twoHosts(1, { maxDelayMs: 5 });
    const source = hostRange(ipAddress('192.0.2.99'));
    net.acquire(a, { quickMode: a.quickModePolicy({ ...a.quickModePolicy().selector, source }) });
    net.run(10_000);
    assert.equal(a.failures[0]?.reason, 'invalid-id');
    assert.equal(b.pairs.size, 0);
    const event = b.audits.find(({ id }) => id === 547);
    assert.ok(event?.id === 547);
    assert.match(event.failureReason, /transport mode for 192\.0\.2\.99, but IKE is with 192\.0\.2\.1/);
  });

  const quickFail = (
    offered: SecurityMethod[],
    wanted: SecurityMethod[],
    modes: HostOptions['mode'][] = [],
  ) =>
    fail(
      { methods: offered, mode: modes[0] ?? 'transport' },
      { methods: wanted, mode: modes[1] ?? 'transport' },
    );
  const mismatches = (host: Host) =>
    host.audits.flatMap(event =>
      event.id === 546 ? [[event.attribute, event.expected, event.received]] : [],
    );

  test('algorithms differ', () => {
    const { failure, b } = quickFail(
      [{ esp: { encryption: '3des', hash: 'sha1' } }],
      [{ esp: { encryption: 'aes128', hash: 'sha256' } }],
    );
    assert.deepEqual([failure.mode, failure.reason, failure.point], ['quick', 'no-proposal-chosen', 'peer']);
    assert.match(
      failure.text,
      /NO-PROPOSAL-CHOSEN to quick mode 1, which offered esp 3des-sha1 \(transport\)/,
    );
    assert.deepEqual(mismatches(b), [
      ['encryption', 'AES-CBC-128', '3DES'],
      ['authentication', 'HMAC-SHA2-256', 'HMAC-SHA'],
    ]);
  });

  test('the nearest method is shown, and an AES key length is part of its name', () => {
    const { b } = quickFail(
      [{ esp: { encryption: 'aes256', hash: 'sha1' } }],
      [
        { ah: { hash: 'sha1' } },
        { esp: { encryption: '3des', hash: 'md5' } },
        { esp: { encryption: 'aes128', hash: 'sha1' } },
      ],
    );
    assert.deepEqual(mismatches(b), [['encryption', 'AES-CBC-128', 'AES-CBC-256']]);
  });

  test('PFS wanted but not offered', () => {
    const method: SecurityMethod = { esp: { encryption: '3des', hash: 'sha1' } };
    const { b } = quickFail([method], [{ ...method, pfs: { group: 2 } }]);
    assert.deepEqual(mismatches(b), [['PFS group', 'MODP1024', 'none']]);
    const other = quickFail([{ ...method, pfs: { group: 1 } }], [{ ...method, pfs: { group: 2 } }]);
    assert.deepEqual(mismatches(other.b), [['PFS group', 'MODP1024', 'MODP768']]);
  });

  test('extended sequence numbers that only one side wants', () => {
    const method: SecurityMethod = { esp: { encryption: 'aes128', hash: 'sha1' } };
    const { failure, b } = quickFail([{ ...method, extendedSequence: true }], [method]);
    assert.match(failure.text, /which offered esp aes128-sha1-esn \(transport\)/);
    assert.deepEqual(mismatches(b), [['ESN', 'absent', 'ESN']]);
    const other = quickFail([method], [{ ...method, extendedSequence: true }]);
    assert.deepEqual(mismatches(other.b), [['ESN', 'ESN', 'absent']]);
  });

  test('AH+ESP is taken or refused as a whole', () => {
    const both: SecurityMethod = { ah: { hash: 'sha1' }, esp: { encryption: '3des', hash: 'sha1' } };
    const { b } = quickFail([both], [{ esp: { encryption: '3des', hash: 'sha1' } }]);
    assert.deepEqual(mismatches(b)[0], ['protocols', 'ESP', 'AH+ESP']);
    const changed = quickFail([both], [{ ...both, ah: { hash: 'md5' } }]);
    assert.deepEqual(mismatches(changed.b), [
      ['AH transform', 'MD5', 'SHA'],
      ['authentication', 'HMAC-MD5', 'HMAC-SHA'],
    ]);
  });

  test('tunnel against transport, and traffic nobody has a filter for', () => {
    const method: SecurityMethod = { esp: { encryption: '3des', hash: 'sha1' } };
    const { failure } = quickFail([method], [method], ['tunnel', 'transport']);
    assert.equal(failure.reason, 'invalid-id');
    const refused = fail({}, { quickMode: () => ({ refused: 'no filter covers this traffic' }) });
    assert.equal(refused.failure.reason, 'invalid-id');
    const last = refused.b.audits.at(-1);
    assert.match(JSON.stringify(last), /no filter covers this traffic/);
  });

  test('the event of a refusal names the traffic that was asked for', () => {
    const { net, a, b } = twoHosts(1, {}, {}, { quickMode: () => ({ refused: 'not this' }) });
    const asked = { ...a.quickModePolicy().selector, protocol: 6, destinationPort: 80 };
    net.acquire(a, { quickMode: a.quickModePolicy(asked) });
    net.run(5_000);
    const last = b.audits.at(-1);
    assert.ok(last?.id === 547 && last.mode === 'quick');
    assert.deepEqual(last.filter, mirrorSelector(asked));
  });

  test('a refusal that got lost is repeated for the repeated request', () => {
    const { net, a } = twoHosts(1, { maxDelayMs: 5 }, {}, { methods: [{ ah: { hash: 'md5' } }] });
    let dropped = 0;
    net.translate = datagram => (datagram.bytes[18] === 5 && dropped++ < 2 ? undefined : datagram);
    net.acquire(a);
    net.run(20_000, () => a.failures.length > 0);
    assert.equal(a.failures[0]?.reason, 'no-proposal-chosen');
    assert.equal(dropped, 3);
  });
});
