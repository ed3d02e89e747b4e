import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import type { Credentials } from '../../src/crypto/certificates/credentials.js';
import { pkcs7OfCertificates } from '../../src/crypto/certificates/pkcs7.js';
import { Secret } from '../../src/crypto/secret.js';
import type { Identity, MainModePolicy } from '../../src/ike/api.js';
import {
  acceptJudgement,
  judgePeerCertificate,
  noteCertificateRequests,
} from '../../src/ike/auth/certificates.js';
import { Context } from '../../src/ike/context.js';
import { ExchangeError } from '../../src/ike/exchange-error.js';
import { newMainMode } from '../../src/ike/main-mode.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { decodePayloads, encodePayloads, firstPayloadType } from '../../src/wire/isakmp/message.js';
import type { Payload } from '../../src/wire/isakmp/payloads.js';
import {
  credentials,
  dns,
  ownCertificate,
  type Identity as TestIdentity,
  type TestKeyKind,
  testCa,
  testCrl,
  testLeaf,
  testNowMs,
} from '../support/certificates.js';
import { type Host, mainModePolicy, pairsFit, type Simulation, twoHosts } from './harness.js';

const rootName = 'C=DE, O=Example, CN=Root';
/** All but alice's certificate are valid for years before and after. */
const years = { notBeforeMs: testNowMs - 1_000 * 86_400_000, notAfterMs: testNowMs + 1_000 * 86_400_000 };
const root = testCa(rootName, undefined, years);
const intermediate = testCa('C=DE, O=Example, CN=Intermediate', root, years);
const otherRoot = testCa('C=DE, O=Other, CN=Other Root');
const alice = testLeaf('C=DE, O=Example, CN=alice', intermediate, {
  alternativeNames: [
    dns('alice.example.com'),
    { kind: 'email', name: 'alice@example.com' },
    { kind: 'address', address: ipAddress('192.0.2.1') },
  ],
});
const bob = testLeaf('C=DE, O=Example, CN=bob', root, {
  ...years,
  alternativeNames: [dns('bob.example.com')],
});

const aliceCredentials = credentials({
  own: [ownCertificate(alice, intermediate)],
  trusted: [root.certificate],
});
const bobCredentials = credentials({ own: [ownCertificate(bob)], trusted: [root.certificate] });

const crlBytes = testCrl(root, []).der;

function policy(own: Credentials, overrides: Partial<MainModePolicy> = {}): MainModePolicy {
  return mainModePolicy({
    authentication: [{ kind: 'certificate', authority: rootName }],
    credentials: own,
    ...overrides,
  });
}

interface Result {
  readonly net: Simulation;
  readonly a: Host;
  readonly b: Host;
}

/** Lets alice negotiate with bob under these policies, at the time the certificates are valid. */
/** At a time of the calendar, which is not the clock the engines go by. */
function negotiate(a: MainModePolicy, b: MainModePolicy, calendarMs = testNowMs): Result {
  const calendarAheadMs = calendarMs - 1_000_000;
  const hosts = twoHosts(
    1,
    { maxDelayMs: 5 },
    { mainMode: a, calendarAheadMs },
    { mainMode: b, calendarAheadMs },
  );
  hosts.net.acquire(hosts.a);
  hosts.net.run(120_000, () => hosts.a.acquired.length + hosts.a.failures.length > 0);
  return hosts;
}

function assertUp({ a, b }: Result): void {
  assert.deepEqual(a.failures, []);
  assert.ok(a.current && b.current && pairsFit(a.current, b.current));
}

/** A failure both sides know of, by the refusing side's words. */
function assertRefused({ a, b }: Result, refusing: 'a' | 'b', reason: string, words: RegExp): void {
  assert.equal(a.pairs.size + b.pairs.size, 0);
  const [failure] = a.failures;
  assert.ok(failure, 'alice hears of it');
  assert.equal(failure.reason, reason);
  const host = refusing === 'a' ? a : b;
  const event = host.audits.find(({ id }) => id === 544 || id === 545);
  assert.ok(event && (event.id === 544 || event.id === 545), 'an audit event');
  assert.match(event.reason, words);
  assert.equal(failure.point, refusing === 'a' ? 'me' : 'peer');
  if (refusing === 'a') assert.match(failure.text, words);
}

/** A main mode of bob's that no message has come for. */
function responder() {
  const context = new Context({
    policy: { mainModes: () => [], mainModeOf: () => undefined, quickMode: () => ({ refused: 'x' }) },
    random: length => new Uint8Array(length),
    lastInboundAtMs: () => undefined,
  });
  context.nowMs = testNowMs;
  const address = ipAddress('192.0.2.1');
  const mainMode = newMainMode({
    ...{ role: 'responder', local: address, peer: address, localPort: 500, peerPort: 500 },
    ...{ initiatorCookie: new Uint8Array(8), responderCookie: new Uint8Array(8), startedAtMs: testNowMs },
    policy: policy(bobCredentials),
    state: { stage: 'closed' },
  });
  return { context, mainMode };
}

describe('certificates in main mode', () => {
  test('RSA signatures with an intermediate CA: messages, identities, events', () => {
    const result = negotiate(policy(aliceCredentials), policy(bobCredentials));
    assertUp(result);
    const { a, b } = result;
    const details = (host: Host) =>
      host.steps
        .filter(({ direction, message }) => direction === 'sent' && message.startsWith('main'))
        .map(step => step.detail);
    assert.deepEqual(details(a).slice(1), [
      'KE NONCE CERTREQ NAT-D*2',
      'ID CERT*2 SIG NOTIFY(INITIAL-CONTACT) in 2 fragments',
    ]);
    assert.deepEqual(details(b).slice(1), ['KE NONCE CERTREQ NAT-D*2', 'ID CERT SIG']);
    const [info] = b.engine.mainModes();
    assert.equal(info?.authentication, 'certificate');
    assert.equal(info?.peerIdentity, 'C=DE, O=Example, CN=alice');
    assert.deepEqual(
      info?.peerCertificates,
      [alice, intermediate, root].map(({ certificate }) => certificate.subject.text),
    );
    const up = b.audits.find(event => event.id === 541 && event.mode === 'main');
    assert.ok(up?.id === 541);
    assert.equal(
      up.peerIdentity,
      'Certificate based Identity. Peer Subject C=DE, O=Example, CN=alice. ' +
        'Peer Issuing Certificate Authority C=DE, O=Example, CN=Intermediate. ' +
        'Root Certificate Authority C=DE, O=Example, CN=Root. Peer IP Address: 192.0.2.1',
    );
  });

  for (const [key, name] of [
    ['prime256v1', 'ECDSA-256'],
    ['secp384r1', 'ECDSA-384'],
    ['secp521r1', 'ECDSA-521'],
  ] as const satisfies readonly (readonly [TestKeyKind, string])[])
    for (const hash of ['sha1', 'sha512'] as const)
      test(`${name} under ${hash}`, () => {
        const own = (subject: string) => [ownCertificate(testLeaf(subject, root, { key }))];
        const methods = [{ encryption: 'aes128', hash, group: 19 }] as const;
        const result = negotiate(
          policy(credentials({ own: own('CN=a'), trusted: [root.certificate] }), { methods }),
          policy(credentials({ own: own('CN=b'), trusted: [root.certificate] }), { methods }),
        );
        assertUp(result);
      });

  test('several ways to authenticate are offered in order; the responder takes the first of its own', () => {
    const key = { kind: 'preshared', key: new Secret('secret') } as const;
    const certificate = { kind: 'certificate', authority: rootName } as const;
    for (const [mine, theirs, chosen] of [
      [[key, certificate], [certificate, key], 'certificate'],
      [[certificate, key], [key], 'preshared'],
      [[key], [certificate, key], 'preshared'],
      [[certificate, key], [certificate], 'certificate'],
    ] as const) {
      const result = negotiate(
        policy(aliceCredentials, { authentication: mine }),
        policy(bobCredentials, { authentication: theirs }),
      );
      assertUp(result);
      assert.equal(result.b.engine.mainModes()[0]?.authentication, chosen);
    }
  });

  test('Windows gets the chain as PKCS#7, and so does who asks for it; others get single certificates', () => {
    const windows = { options: { vendorProfile: 'windows-2003' } } as const;
    for (const [options, expected] of [
      [{}, 'ID CERT*2 SIG'],
      [windows, 'ID CERT SIG'],
    ] as const) {
      const hosts = twoHosts(
        1,
        { maxDelayMs: 5 },
        { mainMode: policy(aliceCredentials) },
        { mainMode: policy(bobCredentials), ...options },
      );
      hosts.net.nowMs = testNowMs;
      hosts.net.acquire(hosts.a);
      hosts.net.run(10_000);
      assertUp(hosts);
      const fifth = hosts.b.steps.find(({ message }) => message === 'main mode 5');
      assert.ok(fifth?.detail.startsWith(expected), fifth?.detail);
      // A single certificate goes as it is.
      assert.match(
        hosts.a.steps.find(({ message }) => message === 'main mode 6')?.detail ?? '',
        /^ID CERT SIG/,
      );
    }
    const asking = twoHosts(
      1,
      {},
      { mainMode: policy(aliceCredentials) },
      { mainMode: policy(bobCredentials) },
    );
    asking.net.nowMs = testNowMs;
    // Bob's request in message 4 becomes one for PKCS#7.
    asking.net.translate = datagram => {
      const bytes = Buffer.from(datagram.bytes);
      const name = bytes.indexOf(root.certificate.subject.der);
      if (datagram.local.address === asking.b.address && name > 0) bytes[name - 1] = 1;
      return { ...datagram, bytes };
    };
    asking.net.acquire(asking.a);
    asking.net.run(10_000);
    assertUp(asking);
    const fifth = asking.b.steps.find(({ message }) => message === 'main mode 5');
    assert.ok(fifth?.detail.startsWith('ID CERT SIG'), fifth?.detail);
  });

  test('no common way to authenticate is named', () => {
    const { a, b } = negotiate(policy(aliceCredentials), mainModePolicy());
    assert.equal(a.failures[0]?.reason, 'no-proposal-chosen');
    const event = b.audits.find(({ id }) => id === 546);
    assert.ok(event?.id === 546);
    assert.deepEqual(
      [event.attribute, event.expected, event.received],
      ['authentication', 'pre-shared key', 'RSA signatures'],
    );
  });

  test('identities: subject, FQDN, e-mail, address; and the one that is expected', () => {
    const subject = { kind: 'distinguishedName', name: 'CN=alice, O=example, C=DE' } as const;
    const identities: [Identity | undefined, Identity][] = [
      [undefined, subject],
      [
        { kind: 'fqdn', name: 'Alice.example.com' },
        { kind: 'fqdn', name: 'alice.example.com' },
      ],
      [
        { kind: 'userFqdn', name: 'alice@example.com' },
        { kind: 'userFqdn', name: 'alice@example.com' },
      ],
      [
        { kind: 'address', address: ipAddress('192.0.2.1') },
        { kind: 'address', address: ipAddress('192.0.2.1') },
      ],
    ];
    for (const [identity, peerIdentity] of identities)
      assertUp(
        negotiate(
          policy(aliceCredentials, identity === undefined ? {} : { identity }),
          policy(bobCredentials, { peerIdentity }),
        ),
      );
    assertRefused(
      negotiate(
        policy(aliceCredentials),
        policy(bobCredentials, { peerIdentity: { kind: 'distinguishedName', name: 'CN=carol' } }),
      ),
      'b',
      'invalid-id',
      /authenticated as C=DE, O=Example, CN=alice, but CN=carol is expected/,
    );
    assertRefused(
      negotiate(
        policy(aliceCredentials, { identity: { kind: 'fqdn', name: 'mallory.example.com' } }),
        policy(bobCredentials),
      ),
      'b',
      'certificate-refused',
      /CN=alice: mallory\.example\.com is not among its alternative names \(alice\.example\.com, alice@example\.com, 192\.0\.2\.1\)/,
    );
  });

  test('bob chooses the certificate under the CA that alice asks for', () => {
    const bobElsewhere = testLeaf('CN=bob elsewhere', otherRoot);
    const both = {
      authentication: [
        { kind: 'certificate', authority: 'CN=Other Root, O=Other, C=DE' },
        { kind: 'certificate', authority: rootName },
      ],
    } as const;
    const result = negotiate(
      policy(aliceCredentials),
      policy(
        credentials({
          own: [ownCertificate(bobElsewhere), ownCertificate(bob)],
          trusted: [otherRoot.certificate, root.certificate],
        }),
        both,
      ),
    );
    assertUp(result);
    assert.equal(result.a.engine.mainModes()[0]?.peerIdentity, 'C=DE, O=Example, CN=bob');
  });

  const refusals: {
    name: string;
    leaf: () => TestIdentity;
    words: RegExp;
    code?: number;
    bob?: Partial<Credentials>;
    at?: number;
  }[] = [
    { name: 'expired', leaf: () => alice, at: testNowMs + 400 * 86_400_000, words: /expired on 2027-01-15/ },
    {
      name: 'not yet valid',
      leaf: () => alice,
      at: testNowMs - 40 * 86_400_000,
      words: /not valid before 2025-12-16/,
    },
    {
      name: 'revoked',
      leaf: () => alice,
      bob: { crls: [testCrl(intermediate, [alice])] },
      code: 13848,
      words: /revoked on 2026-01-14/,
    },
    {
      name: 'no CRL where one is demanded',
      leaf: () => alice,
      bob: { crlStrength: 2 },
      code: 13848,
      words: /no CRL of C=DE, O=Example, CN=Intermediate/,
    },
    {
      name: 'self-signed',
      leaf: () => testLeaf('CN=alice, O=Example', undefined),
      words: /self-signed, and not among the trusted/,
    },
    {
      name: 'of an unknown CA',
      leaf: () => testLeaf('CN=x', otherRoot),
      words: /issuer C=DE, O=Other, CN=Other Root is neither trusted nor known/,
    },
    {
      name: 'of a trusted CA the policy does not name',
      leaf: () => testLeaf('CN=x', otherRoot),
      bob: { trusted: [root.certificate, otherRoot.certificate] },
      code: 13887,
      words: /the policy wants a certificate under "C=DE, O=Example, CN=Root"/,
    },
    {
      name: 'signed by a CA of the right name but another key',
      leaf: () => testLeaf('CN=x', testCa(rootName, undefined, { keyName: 'forged' })),
      words: /does not verify with the key of C=DE, O=Example, CN=Root/,
    },
    {
      name: 'under a certificate that is no CA',
      leaf: () => testLeaf('CN=x', bob),
      bob: { intermediates: [bob.certificate] },
      words: /CN=bob: is not a CA/,
    },
    {
      name: 'not for signing',
      leaf: () => testLeaf('CN=x', root, { keyUsage: ['keyEncipherment'] }),
      words: /may not sign, only keyEncipherment/,
    },
    {
      name: 'for signing code only',
      leaf: () => testLeaf('CN=x', root, { extendedKeyUsage: ['1.3.6.1.5.5.7.3.3'] }),
      words: /only for 1\.3\.6\.1\.5\.5\.7\.3\.3/,
    },
    {
      name: 'with an unknown critical extension',
      leaf: () =>
        testLeaf('CN=x', root, {
          furtherExtensions: [{ oid: '1.2.3.4', critical: true, content: Uint8Array.of(5, 0) }],
        }),
      words: /critical extensions that are not understood: 1\.2\.3\.4/,
    },
  ];
  for (const { name, leaf, words, code, bob: more = {}, at } of refusals)
    test(`refused: a certificate ${name}`, () => {
      const own = leaf();
      // Alice herself believes that hers is good.
      const mine = credentials({
        own: [own === alice ? ownCertificate(alice, intermediate) : ownCertificate(own)],
        trusted: [root.certificate],
      });
      const authentication = [rootName, own.certificate.issuer.text].map(
        authority => ({ kind: 'certificate', authority }) as const,
      );
      const result = negotiate(policy(mine, { authentication }), policy({ ...bobCredentials, ...more }), at);
      assertRefused(result, 'b', 'certificate-refused', words);
      // The other way round the failure carries the tests and the Windows code.
      const back = negotiate(policy({ ...bobCredentials, ...more }), policy(mine, { authentication }), at);
      assertRefused(back, 'a', 'certificate-refused', words);
      const [failure] = back.a.failures;
      assert.equal(failure?.windowsCode, code ?? 13801);
      const failed = failure?.certificateTests?.filter(({ passed }) => !passed) ?? [];
      assert.ok(failed.some(({ certificate, detail }) => words.test(`${certificate}: ${detail}`)));
      assert.ok(failure?.certificateTests?.some(({ passed }) => passed));
    });

  test('a certificate with 20 kB of extensions is accepted, for it is a good one', () => {
    const content = new Uint8Array(200).fill(0x05);
    const furtherExtensions = Array.from({ length: 100 }, (_, i) => ({
      oid: `1.2.3.${i}`,
      critical: false,
      content,
    }));
    const large = testLeaf('CN=large', root, { furtherExtensions });
    assert.ok(large.certificate.der.length > 20_000);
    assertUp(
      negotiate(
        policy(credentials({ own: [ownCertificate(large)], trusted: [root.certificate] })),
        policy(bobCredentials),
      ),
    );
  });

  test('a signature by another key is refused as such', () => {
    const thief = { certificate: alice.certificate, privateKey: bob.privateKey };
    const stolen = credentials({ own: [ownCertificate(thief, intermediate)], trusted: [root.certificate] });
    const result = negotiate(policy(stolen), policy(bobCredentials));
    assertRefused(
      result,
      'b',
      'invalid-signature',
      /SIG_I is wrong: it was not made with the key of .*CN=alice/,
    );
    assert.ok(result.b.audits.some(({ id }) => id === 545));
    assert.equal(result.b.engine.statistics().authenticationFailures, 1);
  });

  const der = alice.certificate.der;
  const spoiled: [string, Uint8Array][] = [
    ['empty but for a byte', Uint8Array.of(0)],
    ['text', Buffer.from('-----BEGIN CERTIFICATE-----')],
    ['cut', der.slice(0, -1)],
    ['longer than it says', Buffer.concat([der, Uint8Array.of(0)])],
    ['a length that lies', Uint8Array.of(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff)],
    ['a public key that is none', der.map((byte, i) => (i > 250 && i < 400 ? 0xff : byte))],
    ['60 kB of zeros', new Uint8Array(60_000)],
  ];
  // With a key that is another one, the signature is not made with it.
  const stillRead = 'a public key that is none';
  for (const [name, bytes] of spoiled)
    test(`a CERT payload of ${name} ends with a reason on both sides, not in a stuck state`, () => {
      const certificate = { ...alice.certificate, der: bytes };
      const own = [{ ...ownCertificate(alice), certificate, chain: [intermediate.certificate] }];
      const result = negotiate(
        policy(credentials({ own, trusted: [root.certificate] })),
        policy(bobCredentials),
      );
      const reason = name === stillRead ? 'invalid-signature' : 'certificate-refused';
      assertRefused(result, 'b', reason, /main mode 5 from 192\.0\.2\.1 refused/);
      for (const host of [result.a, result.b]) assert.equal(host.engine.mainModes().length, 0);
    });

  test('one that cannot be read beside the own is left out, and told of', () => {
    const unreadable = { ...root.certificate, der: Uint8Array.of(0x30, 0) };
    const own = [{ ...ownCertificate(alice), chain: [unreadable, intermediate.certificate] }];
    const mine = policy(credentials({ own, trusted: [root.certificate] }));
    const result = negotiate(mine, policy(bobCredentials));
    assertUp(result);
    assert.ok(result.b.steps.some(({ detail }) => detail.startsWith('left out: ')));
  });

  test('a stranger makes us check one signature: its own', t => {
    const walked = t.mock.method(X509Certificate.prototype, 'verify');
    const thief = { certificate: alice.certificate, privateKey: bob.privateKey };
    const stolen = credentials({ own: [ownCertificate(thief, intermediate)], trusted: [root.certificate] });
    const { b } = negotiate(policy(stolen), policy(bobCredentials));
    assert.ok(b.audits.some(({ id }) => id === 545));
    assert.equal(walked.mock.callCount(), 0);
  });

  test('the names of CAs that a peer may leave with us are few and short', () => {
    const { mainMode } = responder();
    const ask = (count: number, bytes: number) => {
      const requests = Array.from(
        { length: count },
        (): Payload => ({ kind: 'certreq', encoding: 4, authority: new Uint8Array(bytes) }),
      );
      const chain = decodePayloads(encodePayloads(requests), firstPayloadType(requests));
      noteCertificateRequests(mainMode, chain);
      return mainMode.requestedAuthorities.reduce((sum, name) => sum + name.length, 0);
    };
    assert.equal(ask(1, 1_025), 0);
    assert.equal(ask(2, 1_000), 2_000);
    assert.ok(ask(60, 1_024) <= 16_384);
    assert.ok(ask(60, 1) <= 16_384);
  });

  test('too many certificates, and the same one often: the first ones count', () => {
    const chain = Array.from({ length: 30 }, () => intermediate.certificate);
    const own = [{ ...ownCertificate(alice), chain }];
    assertUp(negotiate(policy(credentials({ own, trusted: [root.certificate] })), policy(bobCredentials)));
  });

  test('nothing under the CA to offer: named before a message is sent', () => {
    const { a } = negotiate(policy(credentials({ trusted: [root.certificate] })), policy(bobCredentials));
    assert.equal(a.failures[0]?.reason, 'no-certificate');
    assert.equal(a.failures[0]?.windowsCode, 13806);
    assert.equal(a.sent.length, 0);
  });

  test('payloads that are missing or of a wrong kind, and PKCS#7 in place of the certificates', () => {
    const leafDer = alice.certificate.der;
    const id: Payload = {
      kind: 'id',
      idType: 9,
      protocol: 0,
      port: 0,
      data: alice.certificate.subject.der,
    };
    const cert = (encoding: number, data: Uint8Array): Payload => ({ kind: 'cert', encoding, data });
    const judge = (...payloads: Payload[]) => {
      const { context, mainMode } = responder();
      const bytes = encodePayloads([id, ...payloads]);
      const chain = decodePayloads(bytes, firstPayloadType([id]));
      const judgement = judgePeerCertificate(context, mainMode, chain, id, () => true);
      acceptJudgement(context, mainMode, judgement);
      return judgement.verdict?.chain[0]?.subject.text;
    };
    const pkcs7 = (...certificates: Uint8Array[]) => pkcs7OfCertificates(certificates);
    const good = alice.certificate.subject.text;
    const intermediateDer = intermediate.certificate.der;
    assert.equal(judge(cert(4, leafDer), cert(4, intermediateDer)), good);
    assert.equal(judge(cert(4, intermediateDer), cert(4, leafDer)), good, 'in any order');
    assert.equal(judge(cert(1, pkcs7(intermediateDer, leafDer))), good, 'a set has no order');
    assert.equal(judge(cert(5, leafDer), cert(7, crlBytes), cert(4, intermediateDer)), good);
    const refused = (reason: string, words: RegExp, ...payloads: Payload[]) =>
      assert.throws(
        () => judge(...payloads),
        (error: unknown) => {
          assert.ok(error instanceof ExchangeError, String(error));
          assert.equal(error.reason, reason);
          assert.match(error.message, words);
          return true;
        },
      );
    refused('no-peer-certificate', /has no certificate/);
    refused('no-peer-certificate', /has no certificate/, cert(7, crlBytes));
    refused('no-peer-certificate', /has no certificate/, cert(1, pkcs7()));
    refused('certificate-refused', /PKCS#7/, cert(1, leafDer));
    refused('certificate-refused', /PKCS#7/, cert(1, Uint8Array.of(0x30, 0)));
    refused('certificate-refused', /issuer .*Intermediate is neither trusted nor known/, cert(4, leafDer));
  });

  test('under loss, duplication and reordering', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const hosts = twoHosts(
        seed,
        { loss: 0.2, duplication: 0.2, maxDelayMs: 2_000 },
        { mainMode: policy(aliceCredentials) },
        { mainMode: policy(bobCredentials) },
      );
      hosts.net.nowMs = testNowMs;
      hosts.net.acquire(hosts.a);
      assert.ok(
        hosts.net.run(400_000, () => hosts.a.acquired.length > 0),
        `seed ${seed}: ${hosts.a.failures[0]?.text}`,
      );
    }
  });
});
