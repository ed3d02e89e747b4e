/** Configurations exported for strongSwan: it loads them, and one of them secures traffic with our agent. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { exportSwanctl } from '../../src/policy/export/swanctl.js';
import { needs } from '../lab/needs.js';
import { Charon } from '../lab/strongswan.js';
import { ping } from '../lab/traffic.js';
import { localAddresses, samples } from '../policy/export/sample.js';
import { AgentOnHost } from '../support/agent-host.js';
import { createPair, type HostPair } from '../support/namespaces.js';
import { SeededRandom } from '../support/random.js';
import { randomPolicy } from '../support/random-policy.js';

const ours = '10.66.0.1';
const theirs = '10.66.0.2';

describe('strongSwan takes what is exported', { skip: needs('charon', 'swanctl', 'nft', 'ping') }, () => {
  let hosts: HostPair;
  let charon: Charon;

  before(async () => {
    hosts = await createPair({ prefix: 'exp', a: [`${ours}/24`], b: [`${theirs}/24`] });
    charon = await Charon.start({ host: hosts.b, esp: 'kernel-libipsec' });
  });

  after(async () => {
    await charon?.stop();
    await hosts?.destroy();
  });

  async function load(text: string): Promise<void> {
    const { status, stdout, stderr } = await charon.loadFile(text);
    assert.equal(status, 0, `${stdout}${stderr}\n${text}`);
    // It also looks for folders of certificates, which a test has none of.
    const said = `${stdout}${stderr}`.split('\n').filter(line => !line.startsWith('opening directory'));
    assert.doesNotMatch(said.join('\n'), /fail|invalid|unknown/i);
  }

  for (const policy of samples)
    test(`loads ${policy.name}`, () =>
      load(exportSwanctl(policy, { localAddresses, keys: 'shown' }).files[0]?.text ?? ''));

  test('loads random policies', async t => {
    const seed = 41;
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    for (let i = 0; i < 25; i++) {
      const policy = randomPolicy(random, { ipv6: random.chance(0.3), tunnels: true });
      await load(exportSwanctl(policy, { localAddresses, keys: 'masked' }).files[0]?.text ?? '');
    }
  });

  test('refuses what is wrong', async () => {
    assert.notEqual(
      (await charon.loadFile('connections {\n  a {\n    proposals = nonsense\n  }\n}\n')).status,
      0,
    );
  });

  test('a tunnel between our agent and strongSwan with the policy of its side exported', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ipseckit-export-'));
    const agent = await AgentOnHost.start(hosts.a);
    try {
      const command = async (home: string, program: 'ipseckit' | 'ipsecpol', ...args: readonly string[]) => {
        const result = await hosts.a.execute(process.execPath, [`bin/${program}.js`, ...args], {
          env: { IPSECKIT_HOME: home },
          timeoutMs: 60_000,
        });
        assert.equal(result.status, 0, `${args.join(' ')}\n${result.stdout}${result.stderr}`);
        return result;
      };
      const tunnel = async (home: string, near: string, far: string, ...more: readonly string[]) => {
        const common = [
          '-w',
          'REG',
          '-p',
          'Tunnel',
          '-n',
          'ESP[3DES,SHA]PFS2',
          '-a',
          'PRESHARE:a "quoted" key',
        ];
        await command(home, 'ipsecpol', ...common, '-r', 'Out', '-f', `${near}=${far}`, '-t', far);
        await command(home, 'ipsecpol', ...common, '-r', 'Back', '-f', `${far}=${near}`, '-t', near, ...more);
      };
      await tunnel(folder, theirs, ours);
      const file = join(folder, 'swanctl.conf');
      const { stderr } = await command(
        folder,
        'ipseckit',
        ...['policy', 'export', 'Tunnel', '--format', 'swanctl', '--local', theirs, '-o', file],
      );
      assert.equal(stderr, '', 'nothing is lost');
      assert.equal(statSync(file).mode & 0o777, 0o600);
      // Its own ESP works in UDP only, which no policy asks for.
      await load(readFileSync(file, 'utf8').replace('version = 1\n', 'version = 1\n    encap = yes\n'));
      await tunnel(agent.home, ours, theirs, '-x');
      assert.deepEqual(await ping(hosts.a, theirs, { count: 3 }), { sent: 3, received: 3 });
      const [child, ...others] = await charon.installedChildren();
      assert.equal(others.length, 0);
      assert.ok(child);
      assert.deepEqual(
        [child.mode, child.encryption, child.integrity, child.group],
        ['TUNNEL', '3DES_CBC', 'HMAC_SHA1_96', 'MODP_1024'],
      );
      assert.ok(
        child.packetsIn >= 3 && child.packetsOut >= 3,
        `${child.packetsIn} in, ${child.packetsOut} out`,
      );
    } catch (error) {
      console.log(agent.log, charon.log());
      throw error;
    } finally {
      await agent.remove();
      rmSync(folder, { recursive: true });
    }
  });
});
