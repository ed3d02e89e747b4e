/** A policy whose rules authenticate by certificate, in the place of each side of a negotiation that could be read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTunnel } from '../../../src/agent/tunnel.js';
import { tunnelSource } from '../../../src/agent/tunnel-source.js';
import { replay } from '../../../src/diag/replay/replay.js';
import { renderReplay } from '../../../src/diag/replay/text.js';
import type { MainModePolicy } from '../../../src/ike/api.js';
import { mainModePolicy, twoHosts } from '../../ike/harness.js';
import {
  certificatePem,
  credentials,
  type Identity,
  keyPem,
  ownCertificate,
  testCa,
  testLeaf,
  testNowMs,
} from '../../support/certificates.js';
import { IkeRecording, ikeKeysOf } from '../../support/ike-recording.js';

const rootName = 'C=DE, O=Example, CN=Root';
const root = testCa(rootName);
const otherRoot = testCa('C=DE, O=Other, CN=Other Root');
const alice = testLeaf('C=DE, O=Example, CN=alice', root);
const bob = testLeaf('C=DE, O=Example, CN=bob', root);
const mallory = testLeaf('C=DE, O=Other, CN=mallory', otherRoot);

const settings = (own: Identity): MainModePolicy =>
  mainModePolicy({
    authentication: [{ kind: 'certificate', authority: rootName }],
    credentials: credentials({ own: [ownCertificate(own)], trusted: [root.certificate] }),
  });
const calendarAheadMs = testNowMs - 1_000_000;
const { net, a } = twoHosts(
  1,
  {},
  { mainMode: settings(alice), calendarAheadMs, options: { exportKeys: true } },
  { mainMode: settings(bob), calendarAheadMs },
);
const recording = new IkeRecording(net);
net.acquire(a);
net.run(5_000);
const keys = ikeKeysOf(a.keys);

/** What a rule under `ca` would have done, with the certificates of `own` and the CAs of `trusted` at hand. */
function views(ca: Identity, own: Identity, trusted: Identity, as?: 'initiator' | 'responder') {
  const tunnel = parseTunnel({
    ...{ format: 'ipseckit-tunnel', version: 1, name: 'peer', local: '192.0.2.1', peer: '192.0.2.2' },
    ...{ certificate: certificatePem(own), privateKey: keyPem(own), authorities: certificatePem(ca) },
    ...{ ike: '3des-sha1-modp768', esp: '3des-sha1' },
  });
  const report = replay(recording.file, {
    keys,
    policy: { policy: tunnelSource(tunnel).policy, context: {}, ...(as === undefined ? {} : { as }) },
    judging: {
      credentials: credentials({ own: [ownCertificate(own)], trusted: [trusted.certificate] }),
      atMs: testNowMs,
    },
  });
  const [negotiation] = report.negotiations;
  assert.equal(negotiation?.outcome, 'established');
  return { views: negotiation.policyViews, text: renderReplay(report, false).join('\n') };
}

test('the right CA: it offers, accepts the chosen way, and the chain passes each test', () => {
  const { views: found, text } = views(root, alice, root);
  assert.deepEqual(
    found.map(({ as, phase, accepts }) => [as, phase, accepts]),
    [
      ['responder', 'main mode', true],
      ['responder', 'authentication', true],
      ['responder', 'quick mode', true],
      ['initiator', 'main mode', true],
      ['initiator', 'authentication', true],
      ['initiator', 'quick mode', true],
    ],
  );
  assert.equal(found[1]?.text, 'would have accepted the certificate of the initiator');
  const [authority] = found[4]?.certificateTests?.filter(({ test: name }) => name === 'authority') ?? [];
  assert.deepEqual([authority?.passed, authority?.detail], [true, 'is the CA the policy names']);
  // Each chain is shown once, as the policy judges it.
  assert.equal(text.match(/speaks for the identity claimed/g)?.length, 2);
  assert.match(text, /authority +passed +C=DE, O=Example, CN=Root +is the CA the policy names/);
});

test('another CA: the certificate of the other side is refused, test by test', () => {
  const [mainMode, authentication] = views(otherRoot, mallory, root, 'initiator').views;
  assert.equal(mainMode?.accepts, true);
  assert.equal(authentication?.accepts, false);
  assert.match(
    authentication?.text ?? '',
    /^would have refused the certificate of the responder: C=DE, O=Example, CN=Root: the policy wants a certificate under "C=DE, O=Other, CN=Other Root"/,
  );
  const untrusted = views(otherRoot, mallory, otherRoot, 'initiator').views[1];
  assert.match(untrusted?.text ?? '', /its issuer C=DE, O=Example, CN=Root is neither trusted nor known/);
});

test('no certificate of ours under the CA of the rule', () => {
  const [mainMode, authentication] = views(root, mallory, root, 'responder').views;
  assert.match(
    mainMode?.text ?? '',
    /could not have negotiated: no certificate with a private key under "C=DE, O=Example, CN=Root"; at hand: C=DE, O=Other, CN=mallory/,
  );
  assert.equal(authentication?.accepts, true);
});
