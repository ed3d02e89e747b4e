/** What a host without IKE, or a router, answers to our first message is told at once, and in the closing error. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { errorClasses } from '../../src/report/errors.js';
import { needs } from '../lab/needs.js';
import { createPair, type HostPair } from '../support/namespaces.js';

const [ours, theirs, behind] = ['10.68.0.1', '10.68.0.2', '10.69.0.1'];
const [ours6, theirs6] = ['fd68::1', 'fd68::2'];

describe('a peer without IKE', { skip: needs('nft') }, () => {
  let hosts: HostPair;
  let home: string;

  before(async () => {
    hosts = await createPair({
      prefix: 'icmp',
      a: [`${ours}/24`, `${ours6}/64`],
      b: [`${theirs}/24`, `${theirs6}/64`],
    });
    hosts.a.run('ip', 'route', 'add', `${behind}/32`, 'via', theirs);
    hosts.b.run('sysctl', '-qw', 'net.ipv4.ip_forward=1');
    hosts.b.run('ip', 'route', 'add', 'prohibit', `${behind}/32`);
    home = mkdtempSync(join(tmpdir(), 'ipseckit-icmp-'));
    writeFileSync(join(home, 'psk'), 'a key\n', { mode: 0o600 });
  });

  after(async () => {
    if (home !== undefined) rmSync(home, { recursive: true, force: true });
    await hosts?.destroy();
  });

  const cases = [
    { name: 'says that the port is closed', peer: theirs, from: theirs, meaning: 'port unreachable' },
    { name: 'says so over IPv6', peer: theirs6, from: theirs6, meaning: 'port unreachable' },
    {
      name: 'is behind a router that forbids it',
      peer: behind,
      from: theirs,
      meaning: 'administratively prohibited',
    },
  ];
  for (const { name, peer, from, meaning } of cases)
    test(name, async () => {
      const { status, stderr } = await hosts.a.execute(
        process.execPath,
        [
          ...['bin/ipseckit.js', 'tunnel', 'up', peer, '--psk-file', join(home, 'psk')],
          ...['--driver', 'userspace', '--timeout', '3', '--', 'true'],
        ],
        { env: { ...process.env, IPSECKIT_HOME: home }, timeoutMs: 60_000 },
      );
      assert.equal(status, errorClasses.NO_RESPONSE.exitCode, stderr);
      const icmp = `from ${from} about UDP port 500: ${meaning}`;
      assert.ok(stderr.includes(`<- ${peer} ICMP: ${icmp}`), stderr);
      assert.ok(stderr.includes(`not answered (ICMP ${icmp}`), stderr);
    });
});
