/**
 * Records what two strongSwans say to each other, as an engineer with tcpdump sees it, into `test/fixtures/replay/`:
 *
 *     node dist/test/lab/record-negotiations.js [NAME…]      # as root, when a recording is added
 *
 * Beside each `NAME.pcap` goes `NAME.keys`, the key of the initiator's main mode as Wireshark wants it, from strongSwan's
 * own log; `root.pem` is the CA of the certificates.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ipsecTraffic } from '../../src/diag/replay/datagrams.js';
import { toHex } from '../../src/wire/bytes.js';
import { certificatePem, keyPem, testCa, testLeaf } from '../support/certificates.js';
import { createPair } from '../support/namespaces.js';
import { recordedPassword, recordedPsk } from '../support/recordings.js';
import { capture } from './capture.js';
import type { PeerCertificates, PeerConnection } from './peer-connection.js';
import { Charon } from './strongswan.js';

const folder = resolve('test/fixtures/replay');
const [initiator, responder] = ['192.0.2.1', '192.0.2.2'];
const years = { notBeforeMs: Date.UTC(2026, 0, 1), notAfterMs: Date.UTC(2036, 0, 1) };

const root = testCa('C=DE, O=Example, CN=Root', undefined, years);
const otherRoot = testCa('C=DE, O=Other, CN=Other Root', undefined, years);
const alice = testLeaf('C=DE, O=Example, CN=alice', root, years);
const bob = testLeaf('C=DE, O=Example, CN=bob', root, years);

const certificates = (own: typeof alice, ca = root): PeerCertificates => ({
  own: certificatePem(own),
  privateKey: keyPem(own),
  authorities: [certificatePem(ca)],
});

interface Scenario {
  readonly name: string;
  readonly ours?: Partial<PeerConnection>;
  readonly theirs?: Partial<PeerConnection>;
}

const aggressive = { extra: { aggressive: 'yes' } };
const client = (password: string): Partial<PeerConnection> => ({
  asUser: { name: 'ann', password },
  extra: { vips: ['0.0.0.0'] },
});
const gateway: Partial<PeerConnection> = {
  users: { ann: recordedPassword },
  pool: { addrs: '10.3.0.7/32', dns: ['10.2.0.53'], split_include: ['10.2.0.0/24'] },
};

const scenarios: readonly Scenario[] = [
  { name: 'aggressive-psk', ours: aggressive, theirs: aggressive },
  { name: 'aggressive-psk-differs', ours: { ...aggressive, psk: 'another key' }, theirs: aggressive },
  {
    name: 'aggressive-certificates',
    ours: { ...aggressive, certificates: certificates(alice) },
    theirs: { ...aggressive, certificates: certificates(bob) },
  },
  { name: 'main-psk-differs', ours: { psk: 'another key' } },
  { name: 'xauth', ours: client(recordedPassword), theirs: gateway },
  { name: 'xauth-refused', ours: client('wrong'), theirs: gateway },
  {
    name: 'certificates',
    ours: { certificates: certificates(alice) },
    theirs: { certificates: certificates(bob) },
  },
  {
    name: 'certificates-unknown-ca',
    ours: { certificates: certificates(alice) },
    theirs: { certificates: certificates(bob, otherRoot) },
  },
];

/** The key of the newest main mode in a log of level 4, as hexadecimal. */
function keyIn(log: string): string {
  const [, length = '', lines = ''] =
    [...log.matchAll(/encryption key Ka => (\d+) bytes.*\n((?:.*\]\s+\d+: (?:[0-9A-F]{2} )+.*\n)+)/g)].at(
      -1,
    ) ?? [];
  const bytes = [...lines.matchAll(/\]\s+\d+: ((?:[0-9A-F]{2} ){1,16})/g)].flatMap(([, hex = '']) =>
    hex.trim().split(' '),
  );
  if (length === '' || bytes.length !== Number(length)) throw new Error('no key in the log');
  return bytes.join('').toLowerCase();
}

async function record({ name, ours, theirs }: Scenario): Promise<void> {
  const hosts = await createPair({ prefix: 'rec', a: [`${initiator}/24`], b: [`${responder}/24`] });
  const settings = `i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  cisco_unity = yes
  retransmit_tries = 2`;
  const start = (host: typeof hosts.a) =>
    Charon.start({ host, esp: 'kernel-libipsec', logLevel: 4, settings });
  const [a, b] = await Promise.all([start(hosts.a), start(hosts.b)]);
  try {
    const base: Omit<PeerConnection, 'local' | 'remote'> = {
      ...{ name: 'peer', mode: 'tunnel', encapsulate: true, psk: recordedPsk },
      ...{ ike: ['aes128-sha1-modp1024'], esp: ['aes128-sha1'] },
    };
    await a.load({ ...base, local: initiator, remote: responder, remoteSelector: '10.2.0.0/24', ...ours });
    await b.load({ ...base, local: responder, remote: initiator, localSelector: '10.2.0.0/24', ...theirs });
    const file = resolve(folder, `${name}.pcap`);
    const recording = await capture(hosts.a, 'eth0', file, 'udp port 500 or udp port 4500');
    const outcome = await a.initiate('peer', 8).then(
      () => 'up',
      () => 'not up',
    );
    await recording.stop();
    const [first] = ipsecTraffic(readFileSync(file)).datagrams;
    const cookie = toHex((first?.bytes ?? new Uint8Array(8)).subarray(0, 8));
    writeFileSync(resolve(folder, `${name}.keys`), `${cookie},${keyIn(a.log())}\n`);
    console.log(`${name}: ${outcome}`);
  } finally {
    await Promise.all([a.stop(), b.stop()]);
    await hosts.destroy();
  }
}

const wanted = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
writeFileSync(resolve(folder, 'root.pem'), certificatePem(root));
for (const scenario of scenarios)
  if (wanted.length === 0 || wanted.includes(scenario.name)) await record(scenario);
