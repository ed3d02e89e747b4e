import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HostFacts } from '../../../src/diag/netdiag/host-facts.js';
import { parseNetdiag } from '../../../src/diag/netdiag/options.js';
import type { Probes } from '../../../src/diag/netdiag/probes.js';
import { renderReport } from '../../../src/diag/netdiag/render.js';
import { exitCodeOf, type NetdiagReport } from '../../../src/diag/netdiag/report.js';
import { runNetdiag } from '../../../src/diag/netdiag/run.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { host, idle, probes } from './support.js';

async function run(
  argv: readonly string[],
  changes: { host?: Partial<HostFacts>; probes?: Partial<Probes> } = {},
): Promise<{ report: NetdiagReport; text: string; progress: string[] }> {
  const request = parseNetdiag(argv);
  assert.ok(request.kind === 'run');
  const progress: string[] = [];
  const report = await runNetdiag(request, { ...host, ...changes.host }, probes(changes.probes), (_, text) =>
    progress.push(text),
  );
  return { report, text: renderReport(report, request.level).join('\n'), progress };
}

test('netdiag /test:ipsec as documented', async () => {
  const { text, report } = await run(['/test:ipsec']);
  assert.equal(
    text,
    `
    Computer Name: GATEWAY1
    DNS Host Name: gateway1.example.com
    System info : Linux 6.8 (Debian 13)
    Processor : x86_64, GenuineIntel
    List of installed hotfixes :
        none


Netcard queries test . . . . . . . : Passed


Per interface results:

    Adapter : eth0

        Netcard queries test . . . : Passed

        Host Name. . . . . . . . . : gateway1
        IP Address . . . . . . . . : 192.0.2.10
        Subnet Mask. . . . . . . . : 255.255.255.0
        Default Gateway. . . . . . : 192.0.2.1
        Dns Servers. . . . . . . . : 192.0.2.53


Global results:


Domain membership test . . . . . . : Skipped


NetBT transports test. . . . . . . : Skipped


IP Security test . . . . . . . . . : Passed
    IPSec policy service is active, but no policy is assigned.


The command completed successfully`,
  );
  assert.equal(exitCodeOf(report), 0);
});

test('all tests run in the documented order; two only show at /v', async () => {
  const { text, progress } = await run([]);
  const titles = [...text.matchAll(/^(\w[^:]*?)[ .]* : (?:Passed|Failed|Skipped)$/gm)].map(
    ([, title]) => title,
  );
  assert.deepEqual(titles, [
    'Netcard queries test',
    'Domain membership test',
    'NetBT transports test',
    'Autonet address test',
    'IP loopback ping test',
    'Default gateway test',
    'NetBT name test',
    'Winsock test',
    'DNS test',
    'Redir and Browser test',
    'DC discovery test',
    'DC list test',
    'Trust relationship test',
    'Kerberos test',
    'LDAP test',
    'Bindings test',
    'WAN configuration test',
    'Modem diagnostics test',
    'Netware configuration',
    'IP Security test',
  ]);
  assert.equal(progress.length, 25);
  assert.match(text, /\n {8}AutoConfiguration results\. {1}\. \. \. \. \. : Passed\n/);
  assert.match(
    text,
    /\n {8}WINS service test\. \. \. \. \. : Skipped\n {12}There are no WINS servers configured for this interface\.\n/,
  );
  const verbose = await run(['/v']);
  assert.match(verbose.text, /\nRouting table test {1}\. \. \. \. \. \. \. \. : Passed\n/);
  assert.match(verbose.text, /\nNetstat information test {1}\. \. \. \. \. : Passed\n/);
  assert.match(verbose.text, /PASS - pinging IP loopback address was successful\./);
  assert.ok(verbose.progress.includes('Testing Domain membership... Skipped'));
  assert.ok(verbose.progress.includes('Gathering IP Security information.'));
});

describe('troubles', () => {
  test('a disconnected adapter; a silent one', async () => {
    const [eth0] = host.adapters;
    assert.ok(eth0);
    const silent = { ...eth0, received: { ...eth0.received, packets: 0 } };
    const { text, report } = await run([], {
      host: { adapters: [silent, { ...eth0, name: 'eth1', connected: false, gateways: [] }] },
    });
    assert.match(
      text,
      /Netcard queries test \. \. \. \. \. \. \. : Passed\n {4}\[WARNING\] The net card 'eth0' may not be working because it has not received any packets\.\n/,
    );
    assert.match(
      text,
      /Adapter : eth1\n\n {8}Netcard queries test \. \. \. : Failed\n {12}NetCard Status: DISCONNECTED\n {12}Some tests will be skipped/,
    );
    assert.equal(exitCodeOf(report), 0, 'an unplugged card alone is no failure of the host');
  });

  test('no adapter works: the rest is left out', async () => {
    const { text, report } = await run([], { host: { adapters: [] } });
    assert.match(text, /Netcard queries test .*: Failed\n {8}\[FATAL\] No network adapter is connected/);
    assert.equal(report.tests.length, 1);
    assert.equal(exitCodeOf(report), 1);
  });

  test('gateways', async () => {
    const gateway = async (changes: Parameters<typeof run>[1]) =>
      (await run(['/test:DefGw', '/v'], changes)).text;
    assert.match(
      await gateway({ probes: { ping: async () => ({ kind: 'silent' }) } }),
      /Default gateway test .*: Failed\n {8}\[FATAL\] NO GATEWAYS ARE REACHABLE/,
    );
    const arp = `IP address HW type Flags HW address Mask Device\n192.0.2.1 0x1 0x2 00:00:00:00:00:01 * eth0\n`;
    assert.match(
      await gateway({
        probes: {
          ping: async () => ({ kind: 'silent' }),
          readText: path => (path === '/proc/net/arp' ? arp : undefined),
        },
      }),
      /Default gateway test .*: Passed\n {4}\[WARNING\] Gateway 192\.0\.2\.1 answers ARP but no ping/,
    );
    assert.match(
      await gateway({
        probes: { ping: async () => ({ kind: 'impossible', reason: 'Operation not permitted' }) },
      }),
      /Default gateway test .*: Skipped\n.*Operation not permitted/,
    );
    const [eth0] = host.adapters;
    assert.ok(eth0);
    const none = await gateway({ host: { adapters: [{ ...eth0, gateways: [] }] } });
    assert.match(
      none,
      /\n {8}Default gateway test \. \. \. : Skipped\n {12}\[WARNING\] No gateways defined for this adapter\./,
    );
  });

  test('name servers', async () => {
    const dns = async (askNameServer: Probes['askNameServer']) =>
      (await run(['/test:dns', '/v'], { probes: { askNameServer } })).text;
    assert.match(
      await dns(async () => ({ kind: 'silent', reason: 'ETIMEOUT' })),
      /DNS test .*: Failed\n {8}\[FATAL\] No DNS servers can be reached\.\n {4}\[WARNING\] Cannot reach the DNS server 192\.0\.2\.53 \(ETIMEOUT\)/,
    );
    assert.match(await dns(async () => ({ kind: 'notFound' })), /: Passed\n.*has no entry for gateway1/);
    assert.match(
      await dns(async () => ({ kind: 'found', addresses: [ipAddress('192.0.2.99')] })),
      /: Passed\n {4}\[WARNING\] .*other addresses/,
    );
  });

  test('Kerberos', async () => {
    const readText = (path: string) =>
      path === '/etc/krb5.conf' ? '[libdefaults]\n default_realm = EXAMPLE.COM\n' : undefined;
    const { text } = await run(['/test:kerberos', '/test:dsgetdc'], {
      probes: { readText, hasKerberosTicket: async () => false },
    });
    assert.match(
      text,
      /Kerberos test.*: Failed\n {8}\[FATAL\] Kerberos does not have a ticket for krbtgt\/EXAMPLE\.COM\./,
    );
    assert.match(text, /DC discovery test.*: Failed\n.*example\.com/);
    assert.match(text, /Domain membership test .*: Passed\n {4}Kerberos realm : EXAMPLE\.COM/);
  });

  test('automatic addresses', async () => {
    const [eth0] = host.adapters;
    assert.ok(eth0);
    const automatic = { ...eth0, addresses: [{ address: ipAddress('169.254.1.1'), prefixLength: 16 }] };
    const { text } = await run(['/test:autonet'], { host: { adapters: [automatic] } });
    assert.match(
      text,
      /AutoConfiguration results\. \. \. \. \. \. : Failed\n {12}Autoconfiguration IP Address : 169\.254\.1\.1/,
    );
    assert.match(text, /Autonet address test .*: Failed/);
  });
});

test('/q lists only what has trouble', async () => {
  const { text } = await run(['/q'], {
    probes: { ipsec: async () => ({ ...idle, agent: { state: 'stopped' } }) },
  });
  assert.doesNotMatch(text, /Passed|Skipped/);
  assert.match(text, /\nGlobal results:\n\n\nIP Security test .*: Failed\n {8}\[FATAL\]/);
  assert.doesNotMatch((await run(['/q'])).text, /results:/);
});

test('/fix and /DcAccountEnum say that there is nothing to do', async () => {
  const { text } = await run(['/fix', '/DcAccountEnum', '/test:ipsec']);
  assert.match(
    text,
    /nothing on this computer that netdiag could repair\.\nThere are no domain controller accounts/,
  );
});
