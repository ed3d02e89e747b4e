/** Revocation lists fetched while a negotiation waits for them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CrlStrength } from '../../src/crypto/certificates/credentials.js';
import type { FetchedCrl } from '../../src/ike/api.js';
import {
  credentials,
  type Identity,
  ownCertificate,
  testCa,
  testCrl,
  testKey,
  testLeaf,
  testNowMs,
} from '../support/certificates.js';
import { mainModePolicy, pairsFit, type Simulation, twoHosts } from './harness.js';

const key = 'prime256v1';
const rootUrl = 'http://crl.example.com/root.crl';
const caUrl = 'http://crl.example.com/ca.crl';
const rootName = 'CN=CRL root';
const root = testCa(rootName, undefined, { key });
const ca = testCa('CN=CRL ca', root, { key, crlUris: [rootUrl, 'ldap://dc/cn=root'] });
const leaf = (name: string) => testLeaf(`CN=${name}`, ca, { key, crlUris: [caUrl] });
const alice = leaf('crl alice');
const bob = leaf('crl bob');

type Answer = (url: string) => FetchedCrl | undefined;

const listsOf =
  (...revoked: readonly Identity[]): Answer =>
  url => ({ url, crl: testCrl(url === rootUrl ? root : ca, revoked) });

/** Alice, under these rules, negotiates with bob, who looks at no list. */
function negotiate(
  crlStrength: CrlStrength,
  answer: Answer,
  { asResponder = false, delayMs = 300, trusted = true, peer = bob } = {},
) {
  const policyOf = (own: Identity, strength: CrlStrength, trusts = true) =>
    mainModePolicy({
      authentication: [{ kind: 'certificate', authority: rootName }],
      credentials: credentials({
        own: [ownCertificate(own, ca)],
        trusted: trusts
          ? [root.certificate]
          : [testCa('CN=CRL root', undefined, { key, keyName: 'x' }).certificate],
        crlStrength: strength,
      }),
    });
  const hosts = twoHosts(
    7,
    {},
    {
      mainMode: policyOf(alice, crlStrength, trusted),
      options: { fetchCrls: true },
      fetchCrls: urls => ({ delayMs, results: urls.flatMap(url => answer(url) ?? []) }),
    },
    { mainMode: policyOf(peer, 0) },
  );
  hosts.net.nowMs = testNowMs;
  const initiator = asResponder ? hosts.b : hosts.a;
  hosts.net.acquire(initiator);
  hosts.net.run(100_000, () => initiator.acquired.length + initiator.failures.length > 0);
  hosts.net.run(100);
  return hosts;
}

function assertUp({ a, b }: ReturnType<typeof negotiate>): void {
  assert.ok(a.current && b.current && pairsFit(a.current, b.current), a.failures[0]?.text);
}

describe('revocation lists over the network', () => {
  for (const asResponder of [false, true]) {
    const role = asResponder ? 'as responder' : 'as initiator';

    test(`${role}: fetched once for the whole chain, then the message is judged`, () => {
      const hosts = negotiate(2, listsOf(), { asResponder });
      assertUp(hosts);
      assert.deepEqual(hosts.a.fetches, [[caUrl, rootUrl]]);
    });

    test(`${role}: a revoked peer is refused, with the reason`, () => {
      for (const strength of [1, 2] as const) {
        const { a } = negotiate(strength, listsOf(bob), { asResponder });
        assert.equal(a.pairs.size, 0);
        const event = a.audits.find(({ id }) => id === 544);
        assert.ok(event?.id === 544);
        assert.match(event.reason, /CN=crl bob: revoked on 2026-01-14 by CN=CRL ca/);
      }
    });

    test(`${role}: no list: strength 1 goes on, strength 2 refuses and says what went wrong`, () => {
      const failing: Answer = url => ({ url, problem: 'HTTP status 404' });
      assertUp(negotiate(1, failing, { asResponder }));
      const { a } = negotiate(2, failing, { asResponder });
      const event = a.audits.find(({ id }) => id === 544);
      assert.ok(event?.id === 544);
      assert.match(event.reason, /no CRL of CN=CRL ca; http:\/\/crl.example.com\/ca.crl: HTTP status 404/);
    });
  }

  test('strength 0 asks nobody', () => {
    const hosts = negotiate(0, listsOf(bob));
    assertUp(hosts);
    assert.deepEqual(hosts.a.fetches, []);
  });

  test('a peer whose chain ends at no CA of ours makes us ask nobody', () => {
    const { a } = negotiate(2, listsOf(), { trusted: false });
    assert.deepEqual(a.fetches, []);
    assert.equal(a.failures[0]?.reason, 'certificate-refused');
  });

  test('a stranger with a copy of a good certificate makes us ask nobody', () => {
    const thief = { ...bob, privateKey: testKey('CN=crl thief', key) };
    const { a } = negotiate(2, listsOf(), { asResponder: true, peer: thief });
    assert.deepEqual(a.fetches, []);
    assert.ok(a.audits.some(({ id }) => id === 545));
  });

  test('a list of somebody else does not help, and is not asked for again', () => {
    const other = testCa('CN=CRL other', undefined, { key });
    const { a } = negotiate(2, url => ({ url, crl: testCrl(other, []) }));
    assert.equal(a.fetches.length, 1);
    assert.match(a.failures[0]?.text ?? '', /no CRL of CN=CRL ca; .*its list does not help/);
  });

  test('an answer that never comes ends the wait; one that comes late changes nothing', () => {
    const { net, a } = negotiate(2, listsOf(), { delayMs: 20_000 });
    assert.match(a.failures[0]?.text ?? '', /no answer in time/);
    const steps = a.steps.length;
    net.run(60_000);
    assert.equal(a.steps.length, steps);
    assertIdle(net);
  });

  test('repeated messages wait too: the peer retransmits, and is answered once', () => {
    const hosts = negotiate(2, listsOf(), { asResponder: true, delayMs: 4_500 });
    assertUp(hosts);
    assert.equal(hosts.a.fetches.length, 1);
    assert.equal(hosts.a.audits.filter(({ id }) => id === 541).length, 2);
  });
});

/** No request of ours is under way. */
function assertIdle(net: Simulation): void {
  for (const { engine } of net.hosts) assert.equal(engine.mainModes().length, 0);
}
