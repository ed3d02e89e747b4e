import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseTunnel, type TunnelDocument } from '../../../src/agent/tunnel.js';
import { tunnelSource } from '../../../src/agent/tunnel-source.js';
import { Secret } from '../../../src/crypto/secret.js';
import { parseIkeKeys } from '../../../src/diag/replay/key-table.js';
import { replay } from '../../../src/diag/replay/replay.js';
import type { ReplayNegotiation, ReplayReport } from '../../../src/diag/replay/report.js';
import { renderReplay } from '../../../src/diag/replay/text.js';
import { type HostOptions, mainModePolicy, twoHosts } from '../../ike/harness.js';
import { IkeRecording, keyTableOf } from '../../support/ike-recording.js';

/** A negotiation and its capture; `a` exports its keys. */
function record(a: HostOptions, b: HostOptions, forMs = 70_000, deliver = (_to: string) => true) {
  const hosts = twoHosts(1, {}, { ...a, options: { exportKeys: true } }, b);
  const recording = new IkeRecording(hosts.net, datagram =>
    deliver(datagram.peer.address) ? datagram : undefined,
  );
  hosts.net.acquire(hosts.a);
  hosts.net.run(forMs);
  recording.endAt(hosts.net.nowMs);
  return { ...hosts, file: recording.file, keys: parseIkeKeys(keyTableOf(hosts.a.keys)) };
}

function only(report: ReplayReport): ReplayNegotiation {
  assert.equal(report.negotiations.length, 1, JSON.stringify(report.notes));
  const [negotiation] = report.negotiations;
  assert.ok(negotiation);
  return negotiation;
}

const names = ({ messages }: ReplayNegotiation) =>
  messages.map(({ name, payloads = '?' }) => `${name}: ${payloads.replace(/ VID\*\d+/, ' VIDs')}`);

describe('replaying a negotiation that works', () => {
  const { file, keys, a } = record({}, {}, 5_000);

  test('with keys every message is read', () => {
    const negotiation = only(replay(file, { keys, presharedKey: new Secret('secret') }));
    assert.deepEqual(names(negotiation), [
      'main mode 1: SA VIDs',
      'main mode 2: SA VIDs',
      'main mode 3: KE NONCE NAT-D*2',
      'main mode 4: KE NONCE NAT-D*2',
      'main mode 5: ID HASH NOTIFY(INITIAL-CONTACT)',
      'main mode 6: ID HASH',
      'quick mode 1: HASH SA NONCE ID*2',
      'quick mode 2: HASH SA NONCE ID*2',
      'quick mode 3: HASH',
    ]);
    assert.deepEqual([negotiation.outcome, negotiation.decrypted], ['established', 'all']);
    assert.equal(negotiation.nat?.text, 'no NAT detected');
    assert.deepEqual(
      negotiation.proofs.map(({ by, matches }) => [by, matches]),
      [
        ['initiator', true],
        ['responder', true],
      ],
    );
    const [quickMode] = negotiation.quickModes;
    assert.equal(quickMode?.outcome, 'established');
    assert.match(quickMode?.proposals?.chosen?.text ?? '', /^ESP 3DES \(3\), .*authentication HMAC-SHA/);
    assert.deepEqual(
      quickMode?.spis.map(({ spi, receiver }) => [Number(spi), receiver]),
      [
        [a.current?.inbound[0]?.spi, 'initiator'],
        [a.current?.outbound[0]?.spi, 'responder'],
      ],
    );
  });

  test('without keys the clear part is, and the rest is counted', () => {
    const negotiation = only(replay(file));
    assert.deepEqual([negotiation.outcome, negotiation.decrypted], ['established', 'none']);
    assert.equal(negotiation.quickModes[0]?.outcome, 'established');
    assert.equal(negotiation.messages[4]?.problem, 'encrypted, and no key at hand');
  });

  test('another preshared key is told apart', () => {
    const { proofs } = only(replay(file, { keys, presharedKey: new Secret('other') }));
    assert.deepEqual(
      proofs.map(({ matches }) => matches),
      [false, false],
    );
  });

  test('no preshared key or exported key is in the report', () => {
    const report = replay(file, { keys, presharedKey: new Secret('secret') });
    const text = JSON.stringify(report) + renderReplay(report, true).join('\n');
    for (const key of keys.values()) assert.ok(!text.includes(Buffer.from(key).toString('hex')));
    assert.ok(!text.includes('"secret"'));
  });
});

describe('replaying a negotiation that fails', () => {
  test('a silent peer', () => {
    const { file, a } = record({}, {}, 200_000, to => to === 'nobody');
    const { failure, messages, outcome } = only(replay(file));
    assert.equal(outcome, 'failed');
    assert.equal(failure?.reason, a.failures[0]?.reason);
    assert.match(
      failure?.text ?? '',
      /did not answer main mode 1 \(sent \d+ times, nothing within [\d.]+ s\)/,
    );
    assert.equal(failure?.next, a.failures[0]?.next);
    assert.equal(messages.length, 1);
    assert.equal(messages[0]?.retransmissions.length, a.sent.length - 1);
  });

  test('no proposal chosen: what was offered, and the notification explained', () => {
    const { file, a } = record(
      { mainMode: mainModePolicy({ methods: [{ encryption: 'des', hash: 'md5', group: 1 }] }) },
      {},
    );
    const { failure, proposals, messages } = only(replay(file));
    assert.equal(failure?.reason, 'no-proposal-chosen');
    assert.equal(failure?.windowsCode, a.failures[0]?.windowsCode);
    assert.match(failure?.text ?? '', /answered NO-PROPOSAL-CHOSEN to main mode 1/);
    assert.equal(proposals?.chosen, undefined);
    assert.match(proposals?.offered[0]?.text ?? '', /encryption DES \(1\), hash MD5 \(1\)/);
    assert.match(messages[1]?.decisions.join() ?? '', /nothing that was offered is acceptable/);
  });

  for (const withKeys of [true, false])
    test(`preshared keys that differ, ${withKeys ? 'with our' : 'without'} keys`, () => {
      const { file, keys, a } = record({ mainMode: mainModePolicy({ psk: 'another' }) }, {});
      const { failure, messages } = only(replay(file, withKeys ? { keys } : {}));
      assert.equal(a.failures[0]?.reason, 'preshared-keys-differ');
      assert.equal(failure?.reason, 'preshared-keys-differ');
      assert.match(failure?.text ?? '', /to main mode 5: most likely the preshared keys differ/);
      // The key exists before the proof is accepted.
      assert.equal(messages[4]?.payloads !== undefined, withKeys);
    });

  test('quick mode refused, named only where it can be read', () => {
    const { file, keys } = record({ methods: [{ esp: { encryption: 'des', hash: 'md5' } }] }, {});
    const [read] = only(replay(file, { keys })).quickModes;
    assert.equal(read?.outcome, 'failed');
    assert.equal(read?.failure?.reason, 'no-proposal-chosen');
    const [unread] = only(replay(file)).quickModes;
    assert.notEqual(unread?.outcome, 'established');
  });
});

test('of several offers it says what was chosen and how the others differ', () => {
  const methods = [
    { encryption: 'aes256', hash: 'sha256', group: 14 },
    { encryption: '3des', hash: 'sha1', group: 1 },
    { encryption: '3des', hash: 'md5', group: 1 },
  ] as const;
  const { file } = record({ mainMode: mainModePolicy({ methods }) }, {}, 5_000);
  const { proposals, messages } = only(replay(file));
  assert.deepEqual([proposals?.chosen?.proposal, proposals?.chosen?.transform], [1, 2]);
  assert.deepEqual(
    proposals?.notChosen.map(({ transform, differences }) => [
      transform,
      differences.map(({ attribute, wanted, offered }) => `${attribute}: ${offered}, not ${wanted}`),
    ]),
    [
      [
        1,
        [
          'encryption: AES, not 3DES',
          'hash: SHA256, not SHA',
          'group: MODP2048, not MODP768',
          'key length: 256, not none',
        ],
      ],
      [3, ['hash: MD5, not SHA']],
    ],
  );
  assert.match(messages[1]?.decisions[0] ?? '', /^chosen: proposal 1 transform 2: encryption 3DES \(5\)/);
});

describe('with a policy at hand', () => {
  const { file, keys } = record({}, {}, 5_000);
  /** Between the two hosts of the recording. */
  const views = (ike: string, esp: string, extra: Partial<TunnelDocument> = {}) => {
    const tunnel = parseTunnel({
      ...{ format: 'ipseckit-tunnel', version: 1, name: 'peer', local: '192.0.2.1', peer: '192.0.2.2' },
      ...{ presharedKey: 'secret', ike, esp, ...extra },
    });
    const policy = { policy: tunnelSource(tunnel).policy, context: {} };
    return only(replay(file, { keys, policy })).policyViews;
  };

  test('what it would have offered, and whether it takes what was chosen', () => {
    const asInitiator = (ike: string) => views(ike, '3des-sha1').find(({ as }) => as === 'initiator');
    const fits = asInitiator('3des-sha1-modp768');
    assert.deepEqual([fits?.as, fits?.phase, fits?.accepts], ['initiator', 'main mode', true]);
    assert.match(fits?.text ?? '', /would have offered 1 transforms .* is among them/);
    const not = asInitiator('aes128-sha1-modp1024');
    assert.equal(not?.accepts, false);
    assert.deepEqual(
      not?.mismatches.map(({ attribute, wanted, offered }) => [attribute, wanted, offered]),
      [
        ['encryption', 'AES-128', '3DES'],
        ['group', 'MODP1024', 'MODP768'],
      ],
    );
  });

  test('what it would have chosen or refused as responder, in both phases', () => {
    const other = { local: '192.0.2.2', peer: '192.0.2.1' };
    const asResponder = (ike: string, esp: string) =>
      views(ike, esp, other)
        .filter(({ as }) => as === 'responder')
        .map(({ phase, accepts, text }) => [phase, accepts, text]);
    assert.deepEqual(asResponder('3des-sha1-modp768', '3des-sha1'), [
      ['main mode', true, 'would have chosen proposal 1 transform 1: 3des-sha1-modp768, preshared, 28800 s'],
      [
        'authentication',
        true,
        'would have accepted the initiator: it proved itself with the preshared key of the policy',
      ],
      ['quick mode', true, 'would have chosen esp 3des-sha1'],
    ]);
    const refusing = asResponder('3des-md5-modp768', 'aes128-sha1');
    assert.deepEqual(
      refusing.map(([phase, accepts]) => [phase, accepts]),
      [
        ['main mode', false],
        ['authentication', true],
        ['quick mode', false],
      ],
    );
    assert.match(String(refusing[0]?.[2]), /hash SHA offered, MD5 wanted/);
    assert.match(String(refusing[2]?.[2]), /encryption 3DES offered, AES-CBC-128 wanted/);
  });

  test('what it would have offered in quick mode, and whose preshared key it has', () => {
    const asInitiator = (esp: string, extra: Partial<TunnelDocument> = {}) =>
      views('3des-sha1-modp768', esp, extra)
        .filter(({ as, phase }) => as === 'initiator' && phase !== 'main mode')
        .map(({ accepts, text }) => [accepts, text]);
    assert.deepEqual(asInitiator('aes128-sha1,3des-sha1'), [
      [true, 'would have accepted the responder: it proved itself with the preshared key of the policy'],
      [true, 'would have offered esp aes128-sha1, esp 3des-sha1; what was chosen is among them'],
    ]);
    const [psk, quickMode] = asInitiator('3des-md5', { presharedKey: 'another' });
    assert.deepEqual(psk, [
      false,
      'would have refused the responder: it proved itself with another preshared key',
    ]);
    assert.deepEqual(quickMode?.[0], false);
    assert.match(
      String(quickMode?.[1]),
      /not among them: .*authentication HMAC-SHA offered, HMAC-MD5 wanted/,
    );
    assert.match(
      String(asInitiator('3des-sha1', { protocol: 6 })[1]?.[1]),
      /would have asked for something else/,
    );
  });

  test('in the place of one side alone', () => {
    const tunnel = parseTunnel({
      ...{ format: 'ipseckit-tunnel', version: 1, name: 'peer', local: '192.0.2.1', peer: '192.0.2.2' },
      ...{ presharedKey: 'secret', ike: '3des-sha1-modp768', esp: '3des-sha1' },
    });
    const policy = { policy: tunnelSource(tunnel).policy, context: {}, as: 'responder' } as const;
    const roles = only(replay(file, { keys, policy })).policyViews.map(({ as }) => as);
    assert.deepEqual([...new Set(roles)], ['responder']);
  });

  test('a policy that does not know the peer', () => {
    const [view] = views('3des-sha1-modp768', '3des-sha1', { local: '203.0.113.1', peer: '203.0.113.2' });
    assert.match(view?.text ?? '', /no rule covers/);
  });
});

test('a file that ends early is explained as far as it goes', () => {
  const { file } = record({}, {}, 5_000);
  const report = replay(file.subarray(0, file.length - 100));
  assert.match(report.notes.join(), /^the file is damaged behind packet \d+: .* \(truncated at offset \d+\)/);
  assert.ok(only(report).messages.length > 4);
});

test('a key table that is none names the line', () => {
  assert.throws(() => parseIkeKeys('0011223344556677,00\nnonsense\n'), /line 2/);
});
