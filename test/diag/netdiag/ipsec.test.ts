import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IpsecTestInput } from '../../../src/diag/netdiag/ipsec-input.js';
import type { Level } from '../../../src/diag/netdiag/options.js';
import { renderReport } from '../../../src/diag/netdiag/render.js';
import { ipsecTest } from '../../../src/diag/netdiag/tests/ipsec.js';
import { ikeStatisticsLines, ipsecStatisticsLines } from '../../../src/monitor/statistics-labels.js';
import { dynamicPolicy, policyOf } from '../../policy/support.js';
import { driverStatistics, host, idle, ikeStatistics, secured, shownFilters } from './support.js';

/** The IP Security test's part of the report. */
function output(input: IpsecTestInput, level: Level): string[] {
  const report = {
    header: host.header,
    adapters: [],
    tests: [{ name: 'IPSec' as const, title: 'IP Security test', ...ipsecTest(input) }],
    notes: [],
  };
  const lines = renderReport(report, level);
  const start = lines.findIndex(text => text.startsWith('IP Security test'));
  return lines.slice(start, -3);
}

/** The published samples lost their gaps: runs of blanks count as one. */
const collapsed = (lines: readonly string[]) => lines.map(text => text.replace(/ +/g, ' '));

function prints(input: IpsecTestInput, level: Level, expected: string): void {
  assert.deepEqual(collapsed(output(input, level)), collapsed(expected.trim().split('\n')));
}

const blocked: IpsecTestInput = {
  ...idle,
  policy: {
    kind: 'local',
    id: '{11111111-2222-3333-4444-555555555555}',
    name: 'Block UDP 1434 Filter',
    path: '/etc/ipseckit/policies/ipsecPolicy{11111111-2222-3333-4444-555555555555}.json',
  },
  filters: shownFilters(
    policyOf(
      '-w REG -p "Block UDP 1434 Filter" -r "Block Inbound UDP 1434 Rule" -f *=0:1434:UDP -n BLOCK -x',
      '-w REG -p "Block UDP 1434 Filter" -r "Block Outbound UDP 1434 Rule" -f 0=*:1434:UDP -n BLOCK',
    ),
  ),
};

describe('published samples', () => {
  test('no policy', () => {
    const text = `
IP Security test . . . . . . . . . : Passed
    IPSec policy service is active, but no policy is assigned.`;
    prints(idle, 'normal', text);
    prints(idle, 'verbose', text);
    prints(idle, 'debug', `${text}\n\n    There are 0 filters`);
  });

  test('local policy, normal level', () => {
    prints(
      blocked,
      'normal',
      `
IP Security test . . . . . . . . . : Passed
    Local IPSec Policy Active: 'Block UDP 1434 Filter'`,
    );
  });

  test('local policy, /debug', () => {
    prints(
      blocked,
      'debug',
      `
IP Security test . . . . . . . . . : Passed
    Local IPSec Policy Active: 'Block UDP 1434 Filter'
    IP Security Policy Path: /etc/ipseckit/policies/ipsecPolicy{11111111-2222-3333-4444-555555555555}.json

    There are 2 filters
    No Name
        Filter Id: {AAAAAAAA-0001-4000-8000-000000000001}
        Policy Id: {BBBBBBBB-0001-4000-8000-000000000001}
        Src Addr : 0.0.0.0        Src Mask : 0.0.0.0
        Dest Addr : 192.0.2.10    Dest Mask : 255.255.255.255
        Tunnel Addr : 0.0.0.0     Src Port : 0    Dest Port : 1434
        Protocol : 17             TunnelFilter: No
        Flags : Inbound Block
    No Name
        Filter Id: {AAAAAAAA-0002-4000-8000-000000000002}
        Policy Id: {BBBBBBBB-0002-4000-8000-000000000002}
        Src Addr : 192.0.2.10     Src Mask : 255.255.255.255
        Dest Addr : 0.0.0.0       Dest Mask : 0.0.0.0
        Tunnel Addr : 0.0.0.0     Src Port : 0    Dest Port : 1434
        Protocol : 17             TunnelFilter: No
        Flags : Outbound Block`,
    );
  });

  test('directory policy', () => {
    prints(
      {
        ...idle,
        policy: {
          kind: 'directory',
          id: '{11111111-2222-3333-4444-555555555555}',
          name: 'Server (Request Security)',
          path: 'LDAP://CN=ipsecPolicy{11111111-2222-3333-4444-555555555555},CN=IP Security,CN=System,DC=example,DC=com',
        },
      },
      'debug',
      `
IP Security test . . . . . . . . . : Passed
    Directory IPSec Policy Active: 'Server (Request Security)'
    IP Security Policy Path: LDAP://CN=ipsecPolicy{11111111-2222-3333-4444-555555555555},CN=IP Security,CN=System,DC=example,DC=com

    There are 0 filters`,
    );
  });

  test('dynamic rules only', () => {
    prints(
      { ...idle, filters: shownFilters(dynamicPolicy('-f [*=0:1434:UDP]')) },
      'debug',
      `
IP Security test . . . . . . . . . : Passed
    IPSec policy service is active, but no policy is assigned.

    There are 1 filters
    No Name
        Filter Id: {AAAAAAAA-0001-4000-8000-000000000001}
        Policy Id: {BBBBBBBB-0001-4000-8000-000000000001}
        Src Addr : 0.0.0.0        Src Mask : 0.0.0.0
        Dest Addr : 192.0.2.10    Dest Mask : 255.255.255.255
        Tunnel Addr : 0.0.0.0     Src Port : 0    Dest Port : 1434
        Protocol : 17             TunnelFilter: No
        Flags : Inbound Block`,
    );
  });
});

describe('what has no published sample', () => {
  const input: IpsecTestInput = {
    ...secured,
    filters: shownFilters(
      policyOf(
        '-w REG -p Lab -r Peer -f 0=192.0.2.20 -n ESP[3DES,SHA] AH[SHA]+ESP[3DES,NONE]PFS2 -a PRESHARE:topsecret',
      ),
    ),
  };

  test('/v: main mode and IKE statistics', () => {
    const text = output(input, 'verbose').join('\n');
    const [head = ''] = text.split('\n\n    IKE Statistics');
    assert.equal(
      head,
      `
IP Security test . . . . . . . . . : Passed
    Local IPSec Policy Active: 'Lab'
    Main mode policy: 3DES-SHA-2 3DES-MD5-2 DES-SHA-1 DES-MD5-1
    Main mode rekey: unlimited quick modes / 28800 seconds, PFS No

    There are 1 main mode SAs
        192.0.2.10 - 192.0.2.20  3DES-SHA-2  PRESHARE  initiator
            I-Cookie 0123456789abcdef  R-Cookie fedcba9876543210
            Quick modes 1  Age 40 s  Expires 28760 s`.trimStart(),
    );
    assert.match(text, /\n {4}IKE Statistics\n {4}-{14}\n {8}Main Modes +: 1\n {8}Quick Modes +: 2\n/);
    assert.doesNotMatch(text, /IPsec Statistics|There are \d+ filters|quick mode SAs/);
  });

  test('/debug: offers, authentication, quick mode', () => {
    const lines = output(input, 'debug');
    const text = lines.join('\n');
    const [filter] = /There are 1 filters\n.*Flags : Outbound\n/s.exec(text) ?? [];
    assert.ok(filter, text);
    assert.ok(
      collapsed(filter.split('\n'))
        .join('\n')
        .includes(
          ` Negotiation: 2 offers, soft SA No, PFS Yes
 Offer 1: ESP[3DES,SHA] 3600S/100000K
 Offer 2: AH[SHA]+ESP[3DES,NONE] 3600S/100000K PFS2
 Authentication: 1 method
 Method 1: PRESHARE (key not shown)
 Src Addr : 192.0.2.10 Src Mask : 255.255.255.255`,
        ),
      filter,
    );
    assert.ok(
      text.includes(`
    There are 1 quick mode SAs
        192.0.2.10 -> 192.0.2.20  proto 0 ports 0/0  ESP[3DES,SHA]  Transport
            Inbound SPI 1234567890 (0x499602d2)  Outbound SPI 987654321 (0x3ade68b1)
            Expires 3560 s / 99871 KB   Tunnel 0.0.0.0
`),
      text,
    );
    assert.match(text, /\n {4}IPsec Statistics\n {4}-{16}\n {8}Active Assoc +: 2\n {8}Offload SAs +: 0\n/);
    assert.ok(!text.includes('topsecret'));
  });

  test('a soft SA is shown as what it is', () => {
    const [active] = input.filters;
    assert.ok(active);
    const soft: IpsecTestInput = {
      ...input,
      softAssociations: [
        {
          filterId: active.filter.id,
          local: active.filter.selector.source.first,
          peer: active.filter.selector.destination.first,
          selector: active.filter.selector,
          establishedAtMs: input.nowMs - 60_000,
          lastUsedAtMs: input.nowMs - 10_000,
          idleSeconds: 300,
          packetsSent: 5,
          packetsReceived: 4,
        },
      ],
    };
    assert.ok(
      output(soft, 'debug')
        .join('\n')
        .includes(`
    There are 1 soft SAs
        192.0.2.10 -> 192.0.2.20  proto 0 ports 0/0  None (clear)
            Expires 290 s when idle
`),
    );
  });

  test('a tunnel', () => {
    const filters = shownFilters(
      policyOf(
        '-w REG -p V -r out -t 203.0.113.1 -f 10.1.0.0/16=10.2.0.0/16 -a KERBEROS CERT:"CN=x" -soft -n INPASS AH[MD5]',
      ),
    );
    const text = collapsed(output({ ...secured, quickModes: [], filters }, 'debug')).join('\n');
    assert.match(text, /Negotiation: 1 offer, soft SA Yes, PFS No, accepts clear inbound/);
    assert.match(text, /Authentication: 2 methods\n Method 1: KERBEROS\n Method 2: CERT:"CN=x"/);
    assert.match(
      text,
      /Src Addr : 10\.1\.0\.0 Src Mask : 255\.255\.0\.0\n Dest Addr : 10\.2\.0\.0 Dest Mask : 255\.255\.0\.0/,
    );
    assert.match(
      text,
      /Tunnel Addr : 203\.0\.113\.1 Src Port : 0 Dest Port : 0\n Protocol : 0 TunnelFilter: Yes\n Flags : Outbound\n/,
    );
  });

  test('what was dropped of an SA, and the known cause', () => {
    const [pair] = secured.pairs;
    assert.ok(pair);
    const lastNote = 'the peer truncates HMAC-SHA-256 to 96 bits, this side to 128';
    const pairs = [{ ...pair, drops: { 'not-authenticated': 4, replay: 1 }, lastNote }];
    const counted = { ...driverStatistics, packetsNotAuthenticated: 4 };
    const statistics = { ike: ikeStatistics, driver: counted };
    const text = output({ ...secured, filters: [], pairs, statistics }, 'debug').join('\n');
    assert.match(text, /\n {12}Dropped replay 1, not-authenticated 4\n {12}Note: the peer truncates/);
    assert.match(
      text,
      /\[WARNING\] 192\.0\.2\.20: the peer truncates HMAC-SHA-256 to 96 bits, this side to 128\./,
    );
    assert.match(text, /\[WARNING\] 4 packets failed authentication; "ipseckit sa trace" says of which SAs/);
  });

  test('both statistics tables have every counter of their columns, each once', () => {
    const text = output(input, 'debug').join('\n');
    for (const { label } of [...ikeStatisticsLines, ...ipsecStatisticsLines])
      assert.equal(text.split(`\n        ${label} `).length - 1, 1, label);
    assert.equal(ikeStatisticsLines.length, 23);
    assert.equal(ipsecStatisticsLines.length, 21);
  });
});

describe('verdicts', () => {
  const verdict = (input: IpsecTestInput) => output(input, 'normal').join('\n');

  test('agent stopped', () => {
    assert.equal(
      verdict({ ...idle, agent: { state: 'stopped' } }),
      'IP Security test . . . . . . . . . : Failed\n        [FATAL] The IPSec Policy Agent service is not started.',
    );
    assert.match(
      verdict({ ...blocked, agent: { state: 'stopped' } }),
      /'Block UDP 1434 Filter' is assigned and not enforced/,
    );
  });

  test('agent unreachable, policy that cannot be loaded, something else enforced', () => {
    assert.match(
      verdict({ ...idle, agent: { state: 'unreachable', message: 'no answer' } }),
      /Failed\n {8}\[FATAL\] .*no answer/,
    );
    assert.match(
      verdict({ ...idle, policyProblem: 'x.json is damaged' }),
      /Failed\n {8}\[FATAL\] .*x\.json is damaged/,
    );
    assert.match(
      verdict({
        ...blocked,
        directory: { url: 'ldap://dc', state: 'applied', leftOut: ["rule 'A' is not in force"] },
      }),
      /Failed\n {8}\[FATAL\] The directory's policy is applied only in part: rule 'A' is not in force\.\n/,
    );
    assert.match(
      verdict({ ...blocked, disagreements: ['something else'] }),
      /Failed\n {8}\[FATAL\] something else\n {4}Local/,
    );
  });

  test('counted failures and an overridden policy warn', () => {
    const ike = { ...ikeStatistics, authenticationFailures: 2, negotiationFailures: 5 };
    const driver = { ...driverStatistics, badSpiPackets: 7 };
    const text = verdict({ ...blocked, overridden: { name: 'Mine' }, statistics: { ike, driver } });
    assert.match(text, /^IP Security test.*: Passed\n {4}\[WARNING\] The local policy 'Mine'/);
    assert.match(text, /\[WARNING\] 2 main mode negotiations failed to authenticate/);
    assert.match(text, /\[WARNING\] 3 negotiations failed/);
    assert.match(text, /\[WARNING\] 7 packets came for SAs/);
  });
});
