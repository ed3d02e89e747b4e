/** `policy lint`, `validate`, `explain`, `diff`, `plan` and `apply` as programs, with and without an agent. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { AgentHost } from '../../src/agent/host.js';
import { localAddresses } from '../../src/agent/local-addresses.js';
import { MemoryNetwork } from '../../src/driver/userspace/memory.js';
import { policyToDocument } from '../../src/policy/document.js';
import type { Policy } from '../../src/policy/model.js';
import { ipseckitHome, localStoreFolder } from '../../src/policy/stores/home.js';
import { LocalStore } from '../../src/policy/stores/local.js';
import { linkTypes } from '../../src/wire/captured-packet.js';
import { policyOf } from '../policy/support.js';
import { pcapFile } from '../support/captures.js';
import { MemoryDriver } from '../support/memory-driver.js';
import { tcpPacket, udpPacket } from '../support/packets.js';
import { VirtualClock } from '../support/virtual-clock.js';

let folder = '';
const freshFolder = () => {
  folder = mkdtempSync(join(tmpdir(), 'ipseckit-policy-'));
};
const removeFolder = () => rmSync(folder, { recursive: true });
const home = () => ipseckitHome({ IPSECKIT_HOME: folder });
const store = () => new LocalStore(localStoreFolder(home()));

interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function ipseckit(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const { SSH_CONNECTION: _, ...inherited } = process.env;
  const child = spawn(process.execPath, ['bin/ipseckit.js', 'policy', ...argv], {
    env: { ...inherited, IPSECKIT_HOME: folder, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', chunk => (stdout += chunk));
  child.stderr.on('data', chunk => (stderr += chunk));
  return new Promise(resolve => child.once('close', exitCode => resolve({ exitCode, stdout, stderr })));
}

const web = policyOf(
  '-w REG -p Web -r Closed -f 0+* -n BLOCK',
  '-w REG -p Web -r Http -f 0:80+*::TCP -n PASS',
);
const me = ['--local', '192.0.2.10'];

async function keep(policy: Policy): Promise<void> {
  await store().write(policy);
}

function inFile(policy: Policy): string {
  const path = join(folder, 'policy.json');
  writeFileSync(path, JSON.stringify(policyToDocument(policy)));
  return path;
}

describe('without an agent', () => {
  beforeEach(freshFolder);
  afterEach(removeFolder);

  test('lint prints findings and exits 12 on errors only', async () => {
    await keep(web);
    const { exitCode, stdout } = await ipseckit(['lint', 'web', ...me]);
    assert.equal(exitCode, 0, stdout);
    assert.match(
      stdout,
      /^warning: rule 'Closed', filter '0\+\*': it is to block RSVP .* \[exemption-hole\]$/m,
    );
    assert.match(stdout, /^ {4}packet: tcp 203\.0\.113\.7:88 > 192\.0\.2\.10:40000 in$/m);
    assert.match(stdout, /^Policy 'Web': 2 warnings and 1 note found\.$/m);
    const locked = await ipseckit(['lint', 'Web', ...me], {
      SSH_CONNECTION: '198.51.100.7 50022 192.0.2.10 22',
    });
    assert.equal(locked.exitCode, 12);
    assert.match(
      locked.stdout,
      /^error: rule 'Closed', .*blocks the shell from 198\.51\.100\.7 .* \[lockout-blocked\]$/m,
    );
  });

  test('validate is the yes or no of it', async () => {
    await keep(web);
    assert.deepEqual(await ipseckit(['validate', 'Web', ...me]), {
      exitCode: 0,
      stdout: 'Policy \'Web\' is in order. "policy lint" finds 2 warnings and 1 note.\n',
      stderr: '',
    });
    const [rule, ...others] = web.rules;
    assert.ok(rule?.filterList);
    const broken = {
      ...web,
      rules: [{ ...rule, filterList: { ...rule.filterList, filters: [] } }, ...others],
    };
    const { exitCode, stdout } = await ipseckit(['validate', '--file', inFile(broken), ...me]);
    assert.equal(exitCode, 12);
    assert.match(
      stdout,
      /^error: rule 'Closed': its filter list is empty \[no-filters\]\n.*\nPolicy 'Web' is not in order\./,
    );
    const json = JSON.parse((await ipseckit(['validate', '--file', inFile(broken), ...me, '--json'])).stdout);
    assert.equal(json.valid, false);
    assert.equal(json.findings[0].id, 'no-filters');
  });

  test('explain names what decides; errors say where', async () => {
    await keep(web);
    const { exitCode, stdout } = await ipseckit([
      'explain',
      '--policy',
      'Web',
      ...me,
      'tcp 203.0.113.5:1025 > 192.0.2.10:443',
    ]);
    assert.equal(exitCode, 0);
    assert.equal(
      stdout,
      `tcp 203.0.113.5:1025 > 192.0.2.10:443 in
    dropped without an answer: blocked
    decided by policy 'Web', rule 'Closed', filter '0+*' (block): inbound any -> 192.0.2.10 proto 0 ports 0/0, weight 199682
    before it, policy 'Web', rule 'Http', filter '0:80+*::TCP' (permit): inbound any -> 192.0.2.10 proto 6 ports 0/80, weight 199717
        destination port 443 is not 80
`,
    );
    const wrong = await ipseckit(['explain', '--policy', 'Web', 'tcp 1.2.3.4 > 5']);
    assert.deepEqual([wrong.exitCode, wrong.stdout], [1, '']);
    assert.match(wrong.stderr, /^error: bad packet 'tcp 1\.2\.3\.4 > 5' \(column 12\): /);
    assert.equal((await ipseckit(['explain', 'icmp 1.2.3.4 > 1.2.3.5 in'])).exitCode, 4, 'no agent to ask');
  });

  test('explain --from explains each flow once', async () => {
    await keep(web);
    const own = { source: '203.0.113.5', destination: '192.0.2.10' };
    const capture = join(folder, 'flows.pcap');
    const request = tcpPacket({ ...own, sourcePort: 1025, destinationPort: 80 });
    writeFileSync(
      capture,
      pcapFile(
        [
          request,
          request,
          udpPacket({ source: own.destination, destination: own.source, sourcePort: 9, destinationPort: 9 }),
          udpPacket({ source: '10.0.0.1', destination: '10.0.0.2' }),
          new Uint8Array([0]),
        ],
        linkTypes.RAW,
      ),
    );
    const asked = ['explain', '--policy', 'Web', ...me, '--from', capture];
    const { exitCode, stdout } = await ipseckit(asked);
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      /^2 +tcp 203\.0\.113\.5:1025 > 192\.0\.2\.10:80 in +passes \(permit\) +Web \/ Http$/m,
    );
    assert.match(stdout, /^1 +udp 192\.0\.2\.10:9 > 203\.0\.113\.5:9 out +blocked +Web \/ Closed$/m);
    assert.match(stdout, /^2 flows; not explained: 1 between other computers, 1 without an IP packet\.$/m);
    const json = JSON.parse((await ipseckit([...asked, '--json'])).stdout);
    assert.deepEqual(
      json.capture.flows.map((flow: { packets: number }) => flow.packets),
      [2, 1],
    );
    writeFileSync(capture, readFileSync(capture).subarray(0, -1));
    const cut = await ipseckit(asked);
    assert.equal(cut.exitCode, 1);
    assert.match(
      cut.stderr,
      /^error: .*flows\.pcap, behind 4 packets: captured packet of 1 bytes \(truncated at offset \d+\)\nnext: /,
    );
  });

  test('diff compares names and files', async () => {
    await keep(web);
    const same = await ipseckit(['diff', 'Web', inFile(web)]);
    assert.deepEqual([same.exitCode, same.stdout], [0, 'There is no difference.\n']);
    const changed = inFile({ ...web, pollIntervalMinutes: 5 });
    const { exitCode, stdout } = await ipseckit(['diff', 'Web', changed]);
    assert.deepEqual([exitCode, stdout], [2, '~ the policy: poll interval: 180 minutes -> 5 minutes\n']);
    assert.equal((await ipseckit(['diff', 'Web', 'Gone'])).exitCode, 6);
    assert.equal((await ipseckit(['diff', 'Web', './gone.json'])).exitCode, 1);
  });

  test('apply stores and assigns, once', async () => {
    const file = inFile(web);
    const first = await ipseckit(['apply', '--file', file]);
    assert.equal(first.exitCode, 2, first.stderr);
    assert.equal(first.stdout, "Policy 'Web' is applied.\n");
    assert.match(first.stderr, /note: the policy agent is not running/);
    assert.equal((await store().assigned())?.name, 'Web');
    const again = await ipseckit(['apply', '--file', file]);
    assert.deepEqual([again.exitCode, again.stdout], [0, "Policy 'Web' was in force already.\n"]);
    assert.equal((await ipseckit(['plan', 'Web'])).exitCode, 4, 'there is nothing to compare with');
  });
});

describe('with an agent', () => {
  let host: AgentHost;
  let running: Promise<void>;

  before(async () => {
    freshFolder();
    const driver = new MemoryDriver(
      new MemoryNetwork().host({ addresses: [] }),
      new VirtualClock(),
      length => new Uint8Array(length),
    );
    host = new AgentHost({
      home: home(),
      driver,
      driverReason: 'a test',
      version: 'test',
      onEvent: () => {},
    });
    await new Promise<void>(resolve => {
      running = host.run(resolve);
    });
  });
  after(async () => {
    host.stop();
    await running;
    removeFolder();
  });

  test('plan says what apply then does, and explain asks what is in force', async () => {
    const [own] = localAddresses();
    assert.ok(own, 'this computer has an address');
    await keep(web);
    const plan = await ipseckit(['plan', 'Web']);
    assert.equal(plan.exitCode, 2, plan.stderr);
    assert.match(plan.stdout, /^\+ outbound [^ ]+ -> any proto 6 ports 80\/0: permit \(Web \/ Http\)$/m);
    assert.match(
      plan.stdout,
      /^\d+ filters to add, 0 to remove, 0 to change, 0 stay; 0 main mode and 0 quick mode SAs to delete\.$/m,
    );
    const apply = await ipseckit(['apply', 'Web']);
    assert.equal(apply.exitCode, 2);
    assert.equal(apply.stdout, `${plan.stdout}Policy 'Web' is applied.\n`);
    assert.deepEqual(await ipseckit(['plan', 'Web']), {
      exitCode: 0,
      stdout: 'Nothing would change.\n',
      stderr: '',
    });
    assert.equal((await ipseckit(['apply', 'Web'])).exitCode, 0);

    const port = /:/.test(own.address) ? `[${own.address}]:80` : `${own.address}:80`;
    const other = /:/.test(own.address) ? '[2001:db8::7]:1025' : '203.0.113.5:1025';
    const explained = await ipseckit(['explain', `tcp ${other} > ${port}`]);
    assert.equal(explained.exitCode, 0, explained.stderr);
    assert.match(explained.stdout, /decided by policy 'Web', rule 'Http', filter '0:80\+\*::TCP' \(permit\)/);

    const fewer = inFile({ ...web, rules: web.rules.slice(0, 1) });
    const change = await ipseckit(['plan', '--file', fewer]);
    assert.equal(change.exitCode, 2);
    assert.match(change.stdout, /^- outbound [^ ]+ -> any proto 6 ports 80\/0: permit \(Web \/ Http\)$/m);
  });
});
