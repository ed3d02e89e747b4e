/** Why a connection with strongSwan does not come up: what our programs say is true, and the exit code fits. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { AuditEvent } from '../../src/ike/api.js';
import { type ErrorCode, errorClasses } from '../../src/report/errors.js';
import { needs } from '../lab/needs.js';
import { Charon, type PeerConnection } from '../lab/strongswan.js';
import { AgentOnHost } from '../support/agent-host.js';
import { type CommandResult, createPair, type HostPair } from '../support/namespaces.js';
import {
  addInsides,
  configureTheirs,
  insideNetworks,
  ourAddress,
  ourConnection,
  type PeerLab,
  psk,
  theirAddress,
} from './lab.js';
import { auditEvents, type Connection, secure } from './secure.js';

const suite = { ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };
/** Nobody is there. */
const silentAddress = '10.66.0.9';

/** We try, from the command line. */
interface Attempt {
  readonly name: string;
  readonly theirs?: Partial<PeerConnection>;
  readonly flags?: readonly string[];
  readonly peer?: string;
  readonly code: ErrorCode;
  readonly error: RegExp;
  readonly next: RegExp;
}

const attempts: readonly Attempt[] = [
  {
    name: 'another preshared key',
    theirs: { psk: 'another preshared key' },
    code: 'AUTHENTICATION_FAILED',
    error:
      /10\.66\.0\.2 answered main mode 5 with a message that our key cannot read: most likely the preshared keys differ/,
    next: /Compare the preshared keys of both sides/,
  },
  {
    name: 'no main mode method in common',
    theirs: { ike: ['3des-sha1-modp1024'] },
    code: 'NEGOTIATION_FAILED',
    error: /answered NO-PROPOSAL-CHOSEN to main mode 1, which offered aes128-sha1-modp1024$/m,
    next: /security method in common/,
  },
  {
    name: 'no quick mode method in common',
    theirs: { esp: ['3des-sha1'] },
    code: 'NEGOTIATION_FAILED',
    error:
      /answered NO-PROPOSAL-CHOSEN to quick mode 1, which offered esp aes128-sha1 \(tunnel\) for 10\.1\.0\.0\/24 -> 10\.2\.0\.0\/24/,
    next: /security method in common .*PFS/,
  },
  {
    name: 'they want PFS',
    theirs: { esp: ['aes128-sha1-modp1024'] },
    code: 'NEGOTIATION_FAILED',
    error: /answered NO-PROPOSAL-CHOSEN to quick mode 1/,
    next: /PFS/,
  },
  {
    name: 'other traffic selectors',
    theirs: { localSelector: '10.3.0.0/24' },
    code: 'NEGOTIATION_FAILED',
    error:
      /answered INVALID-ID-INFORMATION to quick mode 1, which offered .* for 10\.1\.0\.0\/24 -> 10\.2\.0\.0\/24/,
    next: /filters of both sides mirror images/,
  },
  {
    name: 'they have another identity than we expect',
    flags: ['--remote-id', '@gateway.example'],
    code: 'NEGOTIATION_FAILED',
    error: /the peer authenticated as 10\.66\.0\.2, but gateway\.example is expected/,
    next: /identity that is expected of the peer/,
  },
  {
    name: 'we have another identity than they expect',
    theirs: { remoteId: 'client.example' },
    code: 'AUTHENTICATION_FAILED',
    error:
      /answered AUTHENTICATION-FAILED to main mode 5: the preshared keys agree, but it does not accept our identity 10\.66\.0\.1/,
    next: /credentials/,
  },
  {
    name: 'they cannot install what was negotiated',
    // A network that strongSwan's host has no address in: it finds no route to install.
    theirs: { localSelector: '10.9.0.0/24' },
    flags: ['--remote-net', '10.9.0.0/24'],
    code: 'NEGOTIATION_FAILED',
    error: /the SAs with 10\.66\.0\.2 ended as soon as they were made: deleted by the peer/,
    next: /peer's log/,
  },
  {
    name: 'nobody answers',
    peer: silentAddress,
    flags: ['--timeout', '3'],
    code: 'NO_RESPONSE',
    error: /10\.66\.0\.9 was not up within 3 s: main mode 1 was sent 2 times and not answered/,
    next: /UDP 500 and 4500/,
  },
];

/** strongSwan tries, our agent refuses; what its audit events say. */
interface Refusal {
  readonly name: string;
  readonly theirs: Partial<PeerConnection>;
  readonly ours?: Partial<Connection>;
  readonly expected: readonly RegExp[];
}

const refusals: readonly Refusal[] = [
  {
    name: 'another preshared key',
    theirs: { psk: 'another preshared key' },
    expected: [
      /545 .*main mode 5 from 10\.66\.0\.2 refused: it decrypts to nonsense: most likely the preshared keys differ/,
      /547 main Me/,
    ],
  },
  {
    name: 'no main mode method in common: the attribute of each',
    theirs: { ike: ['3des-sha1-modp1024', 'aes128-md5-modp1024', 'aes128-sha1-modp2048'] },
    expected: [
      /546 main encryption: AES-128 expected, 3DES received/,
      /546 main hash: SHA expected, MD5 received/,
      /546 main group: MODP1024 expected, MODP2048 received/,
      /547 main Me .*no acceptable proposal/,
    ],
  },
  {
    name: 'no quick mode method in common: the attribute of each',
    theirs: { esp: ['3des-sha1', 'aes256-sha1', 'aes128-sha256'] },
    expected: [
      /546 quick encryption: AES-CBC-128 expected, 3DES received/,
      /546 quick encryption: AES-CBC-128 expected, AES-CBC-256 received/,
      /546 quick authentication: HMAC-SHA expected, HMAC-SHA2-256 received/,
      /547 quick Me .*no acceptable proposal/,
    ],
  },
  {
    name: 'we want PFS',
    theirs: {},
    ours: { esp: 'aes128-sha1-modp1024' },
    expected: [/546 quick PFS group: MODP1024 expected, none received/, /547 quick Me/],
  },
  {
    name: 'other traffic selectors',
    theirs: { localSelector: '10.3.0.0/24' },
    expected: [
      /547 quick Me .*asked tunnel mode for 10\.1\.0\.0\/24 -> 10\.3\.0\.0\/24 .*no filter covers it; what is secured with this peer: tunnel mode for 10\.1\.0\.0\/24 -> 10\.2\.0\.0\/24/,
    ],
  },
  {
    name: 'transport mode for a tunnel',
    theirs: { mode: 'transport', localSelector: 'dynamic', remoteSelector: 'dynamic' },
    expected: [/547 quick Me .*asked transport mode for 10\.66\.0\.1 -> 10\.66\.0\.2/],
  },
];

describe('why a connection with strongSwan does not come up', { skip: needs('charon', 'nft') }, () => {
  let hosts: HostPair;
  let charon: Charon;

  before(async () => {
    hosts = await createPair({ prefix: 'fail', a: [`${ourAddress}/24`], b: [`${theirAddress}/24`] });
    addInsides({ ours: hosts.a, theirs: hosts.b });
    charon = await Charon.start({ host: hosts.b, esp: 'kernel-libipsec' });
  });

  after(async () => {
    await charon?.stop();
    await hosts?.destroy();
  });

  // It keeps what failed half-way, and goes on with what was not answered.
  afterEach(() => charon.forgetAll());

  describe('we try', () => {
    let home: string;

    before(() => {
      home = mkdtempSync(join(tmpdir(), 'ipseckit-failures-'));
      writeFileSync(join(home, 'psk'), `${psk}\n`, { mode: 0o600 });
    });

    after(() => rmSync(home, { recursive: true, force: true }));

    for (const one of attempts)
      test(one.name, async () => {
        await configureTheirs({ charon }, 'tunnel', suite, { encapsulate: true, ...one.theirs });
        const { status, stderr } = await tunnelUp(hosts, home, one);
        assert.equal(status, errorClasses[one.code].exitCode, stderr);
        assert.match(stderr, one.error);
        assert.match(stderr, one.next);
        assert.equal(stderr.includes(psk), false, 'the key is not shown');
      });
  });

  describe('strongSwan tries', () => {
    let lab: PeerLab;

    before(async () => {
      lab = { ours: hosts.a, theirs: hosts.b, charon, agent: await AgentOnHost.start(hosts.a) };
    });

    after(() => lab?.agent.remove());

    for (const one of refusals)
      test(one.name, async () => {
        await configureTheirs(lab, 'tunnel', suite, { encapsulate: true, ...one.theirs });
        await secure(lab.agent, ourConnection('tunnel', suite, one.ours));
        const before = auditEvents(lab.agent).length;
        await assert.rejects(charon.initiate('peer', 2));
        const told = auditEvents(lab.agent)
          .slice(before)
          .flatMap(event => describeRefusal(event));
        assert.equal(told.length, one.expected.length, told.join('\n'));
        one.expected.forEach((expected, index) => {
          assert.match(told[index] ?? '', expected);
        });
      });
  });
});

function tunnelUp({ a }: HostPair, home: string, { peer, flags = [] }: Attempt): Promise<CommandResult> {
  const remote = flags.includes('--remote-net') ? [] : ['--remote-net', insideNetworks.theirs];
  return a.execute(
    process.execPath,
    [
      ...['bin/ipseckit.js', 'tunnel', 'up', peer ?? theirAddress, '--psk-file', join(home, 'psk')],
      ...['--local-net', insideNetworks.ours, ...remote, '--ike', suite.ike, '--esp', suite.esp, ...flags],
      ...['--driver', 'userspace'],
      ...['--', 'true'],
    ],
    { env: { ...process.env, IPSECKIT_HOME: home }, timeoutMs: 60_000 },
  );
}

/** An audit event of something refused, as one line. */
function describeRefusal(event: AuditEvent): string[] {
  switch (event.id) {
    case 544:
    case 545:
      return [`${event.id} ${event.reason}`];
    case 546:
      return [`546 ${event.mode} ${event.attribute}: ${event.expected} expected, ${event.received} received`];
    case 547:
      return [`547 ${event.mode} ${event.failurePoint} ${event.failureReason}`];
    default:
      return [];
  }
}
