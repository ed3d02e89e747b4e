/** Two rules for one peer that authenticate it in different ways: the main mode of one serves nothing of the other. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Secret } from '../../src/crypto/secret.js';
import type { FilterId } from '../../src/driver/api.js';
import type { MainModePolicy, QuickModePolicy, QuickModeRequest } from '../../src/ike/api.js';
import { decodeHeader } from '../../src/wire/isakmp/message.js';
import { exchangeTypes } from '../../src/wire/isakmp/numbers.js';
import { credentials, ownCertificate, testCa, testLeaf, testNowMs } from '../support/certificates.js';
import { esp3des, type Host, type HostOptions, mainModePolicy, twoHosts } from './harness.js';

const root = testCa('CN=Root');
const otherRoot = testCa('CN=Other');
const machine = (name: string) =>
  credentials({
    own: [
      ownCertificate(testLeaf(`CN=${name}`, root)),
      ownCertificate(testLeaf(`CN=${name} elsewhere`, otherRoot)),
    ],
    trusted: [root.certificate, otherRoot.certificate],
  });

/** A rule: what its filter covers is told by the port. */
interface TestRule {
  readonly port: number;
  readonly mainMode: MainModePolicy;
}

function rule(port: number, overrides: Partial<MainModePolicy> & { psk?: string }): TestRule {
  return { port, mainMode: mainModePolicy({ fingerprint: String(port), ...overrides }) };
}

const byKey = rule(23, { psk: 'k' });
const byCertificate = (name: string, authority = 'CN=Root', port = 80) =>
  rule(port, { authentication: [{ kind: 'certificate', authority }], credentials: machine(name) });

/** A host whose rules are these, in matching order. */
function withRules(rules: readonly TestRule[]): HostOptions {
  return {
    mainModes: rules.map(({ mainMode }) => mainMode),
    calendarAheadMs: testNowMs - 1_000_000,
    quickMode: ({ mode, selector }: QuickModeRequest) => {
      const found = rules.find(
        ({ port }) => port === selector.sourcePort || port === selector.destinationPort,
      );
      if (found === undefined) return { refused: 'no filter covers it' };
      return { methods: [esp3des], mode, selector, filterId: String(found.port) as FilterId };
    },
  };
}

function traffic(host: Host, port: number): { quickMode: QuickModePolicy } {
  const { selector, ...policy } = host.quickModePolicy();
  const ofPort = { ...selector, protocol: 6, destinationPort: port };
  return { quickMode: { ...policy, selector: ofPort, filterId: String(port) as FilterId } };
}

/** Two hosts with rules, whose initiator asks for traffic by its port, one after the other. */
function negotiate(a: readonly TestRule[], b: readonly TestRule[], ...ports: number[]) {
  const hosts = twoHosts(1, { maxDelayMs: 5 }, withRules(a), withRules(b));
  for (const port of ports) {
    const before = hosts.a.acquired.length + hosts.a.failures.length;
    hosts.net.acquire(hosts.a, traffic(hosts.a, port));
    hosts.net.run(120_000, () => hosts.a.acquired.length + hosts.a.failures.length > before);
  }
  return hosts;
}

/** Why `b` refused what `a` asked of it. */
function refusal({ a, b }: { a: Host; b: Host }): string {
  const { reason } = a.failures[0] ?? {};
  assert.equal(reason, 'invalid-id');
  const texts = b.audits.flatMap(event =>
    event.id === 547 && event.mode === 'quick' ? [event.failureReason] : [],
  );
  assert.equal(texts.length, 1);
  return texts[0] ?? '';
}

describe('as responder, a rule refuses a main mode that authenticated the peer in another way', () => {
  test('a certificate rule one of a preshared key', () => {
    // The peer asks for the traffic of both rules under the key that it has.
    const hosts = negotiate([byKey, rule(80, { psk: 'k' })], [byKey, byCertificate('b')], 23, 80);
    assert.match(refusal(hosts), /preshared key, and the rule wants a certificate under "CN=Root"/);
    assert.equal(hosts.b.active.length, 1);
  });

  test('a rule of another key, which the other rule has', () => {
    const asked = [byKey, rule(80, { psk: 'k' })];
    const hosts = negotiate(asked, [byKey, rule(80, { psk: 'secret of few' })], 23, 80);
    assert.match(refusal(hosts), /by another preshared key/);
    assert.doesNotMatch(JSON.stringify(hosts.b.audits), /secret of few/);
  });

  test('a preshared key rule one of a certificate', () => {
    const hosts = negotiate(
      [byCertificate('a'), byCertificate('a', 'CN=Root', 23)],
      [byCertificate('b'), byKey],
      80,
      23,
    );
    assert.match(refusal(hosts), /by certificate, and the rule wants a preshared key/);
  });

  test('a rule of another CA', () => {
    const asked = [byCertificate('a'), byCertificate('a', 'CN=Root', 25)];
    const hosts = negotiate(asked, [byCertificate('b'), byCertificate('b', 'CN=Other', 25)], 80, 25);
    assert.match(refusal(hosts), /not one that the rule accepts: .*under "CN=Other"/);
  });

  test('a rule that expects another identity of the same key', () => {
    const peerIdentity = { kind: 'fqdn', name: 'gw.example.com' } as const;
    const hosts = negotiate(
      [byKey, rule(80, { psk: 'k' })],
      [byKey, rule(80, { psk: 'k', peerIdentity })],
      23,
      80,
    );
    assert.match(refusal(hosts), /authenticated as 192\.0\.2\.1, but gw\.example\.com is expected/);
  });
});

describe('as initiator, each rule gets a main mode that authenticates as it wants', () => {
  const both = (name: string) => [byKey, byCertificate(name)];
  const authentications = (host: Host) =>
    host.engine
      .mainModes()
      .map(({ authentication }) => authentication)
      .sort();

  test('one after the other', () => {
    const { a, b } = negotiate(both('a'), both('b'), 23, 80);
    assert.deepEqual(a.failures, []);
    assert.deepEqual(authentications(b), ['certificate', 'preshared']);
    assert.equal(b.active.length, 2);
  });

  test('both at once: neither ends the other by INITIAL-CONTACT', () => {
    const { net, a, b } = twoHosts(2, { maxDelayMs: 5 }, withRules(both('a')), withRules(both('b')));
    net.acquire(a, traffic(a, 23));
    net.acquire(a, traffic(a, 80));
    net.run(10_000);
    assert.deepEqual([a.failures, b.removed], [[], []]);
    const contacts = a.steps.filter(
      ({ direction, detail }) => direction === 'sent' && /INITIAL-CONTACT/.test(detail),
    );
    assert.equal(contacts.length, 1);
    assert.deepEqual(authentications(b), ['certificate', 'preshared']);
    assert.equal(b.active.length, 2);
  });

  test('both sides at once, the other way round', () => {
    const { net, a, b } = twoHosts(3, { maxDelayMs: 5 }, withRules(both('a')), withRules(both('b')));
    net.acquire(a, traffic(a, 23));
    net.acquire(b, traffic(b, 80));
    net.run(10_000);
    assert.deepEqual([a.failures, b.failures], [[], []]);
    assert.deepEqual([a.active.length, b.active.length], [2, 2]);
  });

  test('one main mode is enough for rules that share what was proved', () => {
    const sharing = (name: string) => {
      const { mainMode } = byCertificate(name);
      const authentication = [
        { kind: 'preshared', key: new Secret('k') },
        ...mainMode.authentication,
      ] as const;
      return [byKey, { port: 80, mainMode: { ...mainMode, authentication } }];
    };
    const { a } = negotiate(sharing('a'), sharing('b'), 23, 80);
    assert.deepEqual(a.failures, []);
    assert.deepEqual(authentications(a), ['preshared']);
    assert.equal(a.active.length, 2);
  });

  test('each main mode is renewed, not only the newest with the peer', () => {
    const brief = (rules: readonly TestRule[]) =>
      rules.map(({ port, mainMode }) => ({ port, mainMode: { ...mainMode, lifetimeSeconds: 600 } }));
    const { net, a } = negotiate(brief(both('a')), brief(both('b')), 23, 80);
    net.run(590_000);
    const made = a.audits.filter(event => event.id === 541 && event.mode === 'main');
    assert.equal(made.length, 4);
    assert.deepEqual(new Set(authentications(a)), new Set(['certificate', 'preshared']));
  });

  test('a pair is deleted under the main mode that it was made under', () => {
    const { net, a, b } = negotiate(both('a'), both('b'), 23, 80);
    const [first] = a.active;
    const own = a.engine.mainModes().find(({ authentication }) => authentication === 'preshared');
    assert.ok(first !== undefined && own !== undefined);
    const before = a.sent.length;
    net.apply(a, a.engine.closePair(first, net.nowMs, 'no longer wanted'));
    const cookies = a.sent
      .slice(before)
      .map(({ bytes }) => decodeHeader(bytes))
      .filter(({ exchangeType }) => exchangeType === exchangeTypes.Informational)
      .map(({ initiatorCookie }) => Buffer.from(initiatorCookie).toString('hex'));
    assert.deepEqual(cookies, [own.initiatorCookie]);
    net.run(1_000);
    assert.equal(b.active.length, 1);
  });
});

test('a peer that offers both ways gets the one it prefers, which is that of its rule', () => {
  const offering = byCertificate('a');
  const authentication = [...offering.mainMode.authentication, ...byKey.mainMode.authentication];
  const { a } = negotiate(
    [{ port: 80, mainMode: { ...offering.mainMode, authentication } }],
    [byKey, byCertificate('b')],
    80,
  );
  assert.deepEqual(a.failures, []);
  assert.equal(a.engine.mainModes()[0]?.authentication, 'certificate');
});
