/** `sa trace` on a real host: what nftables dropped by filter, what the engine dropped, and both as they happen. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../lab/command.js';
import { ping } from '../lab/traffic.js';
import { AgentOnHost } from '../support/agent-host.js';
import { driverSuiteSkip, one, other } from '../support/driver-suite.js';
import { createPair, type HostPair } from '../support/namespaces.js';

const skip = driverSuiteSkip();

/** ESP that begins an SA nobody has. */
const strayEsp = `import socket
socket.socket(socket.AF_INET, socket.SOCK_RAW, 50).sendto(bytes.fromhex("0badcafe00000011" + "00" * 24), ("${one}", 0))`;

describe('dropped packets', { skip, timeout: 120_000 }, () => {
  let hosts: HostPair;
  let agent: AgentOnHost;

  before(async () => {
    hosts = await createPair({ prefix: 'drops', a: [`${one}/24`], b: [`${other}/24`] });
    agent = await AgentOnHost.start(hosts.a);
    const rule = `-f ${one}+${other} -n ESP[3DES,SHA] -a PRESHARE:secret`;
    assert.equal((await agent.command('ipsecpol', ...rule.split(' '))).status, 0);
  });

  after(async () => {
    await agent?.remove();
    await hosts?.destroy();
  });

  const trace = async (...args: readonly string[]) => {
    const { status, stdout, stderr } = await agent.command('ipseckit', 'sa', 'trace', ...args);
    assert.equal(status, 0, stderr);
    return stdout;
  };

  test('in clear, though a filter wants them secured: counted, with the filter', async () => {
    await ping(hosts.b, one, { count: 2, intervalSeconds: 0.05 });
    const text = await trace();
    assert.match(text, /clear-but-secured: 2 packets\n.*although a filter demands protection/);
    assert.match(text, /2 packets: .* inbound 10\.66\.0\.2/);
  });

  test('for an SA that is not here: told one by one, while they come and afterwards', async () => {
    const follow = hosts.a.spawn(
      process.execPath,
      [resolve('bin/ipseckit.js'), 'sa', 'trace', '--follow', '--json'],
      { env: { ...process.env, IPSECKIT_HOME: agent.home }, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let said = '';
    follow.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const exit = once(follow, 'exit');
    // Whatever came before it began to look is not news: so they go on coming.
    await waitFor('the packet', () => {
      hosts.b.run('python3', '-c', strayEsp);
      return said.includes('bad-spi');
    });
    follow.kill('SIGINT');
    assert.deepEqual(await exit, [0, null]);
    const [line = ''] = said.split('\n');
    const [{ packet, reason, direction }] = JSON.parse(line).records;
    assert.deepEqual([reason, direction], ['bad-spi', 'inbound']);
    assert.deepEqual(packet, {
      ...{ source: other, destination: one, protocol: 50, spi: 0x0badcafe, sequence: 17, bytes: 52 },
    });
    for (const args of [['0x0badcafe'], ['--peer', other]])
      assert.match(
        await trace(...args),
        /inbound bad-spi: 10\.66\.0\.2 -> 10\.66\.0\.1 ESP 0x0badcafe sequence 17, 52 bytes/,
      );
    assert.match(await trace('--peer', '10.66.0.77'), /No dropped packet of it is remembered/);
  });
});
