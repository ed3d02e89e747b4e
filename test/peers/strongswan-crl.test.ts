/** Revocation lists that a web server publishes, while we negotiate with strongSwan in both roles. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../lab/command.js';
import { needs } from '../lab/needs.js';
import { Charon } from '../lab/strongswan.js';
import { AgentOnHost } from '../support/agent-host.js';
import { certificatePem, type Identity, keyPem, testCa, testCrl, testLeaf } from '../support/certificates.js';
import { createPair, type HostPair } from '../support/namespaces.js';

const ours = '10.68.0.1';
const theirs = '10.68.0.2';
/** No filter covers it: lists come in clear, before there is any SA. */
const webAddress = '10.68.0.3';
const webPort = 8080;
const crlUris = (name: string) => ({ crlUris: [`http://${webAddress}:${webPort}/${name}.crl`] });

const key = 'prime256v1';
const dayMs = 86_400_000;
const valid = { key, notBeforeMs: Date.now() - dayMs, notAfterMs: Date.now() + 30 * dayMs } as const;
const crlTimes = { thisUpdateMs: Date.now() - dayMs, nextUpdateMs: Date.now() + dayMs };
const root = testCa('C=DE, O=Example, CN=Root', undefined, valid);
const issuing = testCa('C=DE, O=Example, CN=Issuing', root, { ...valid, ...crlUris('root') });
const ourHost = testLeaf('C=DE, O=Example, CN=ours', issuing, { ...valid, ...crlUris('issuing') });
const theirHost = testLeaf('C=DE, O=Example, CN=theirs', issuing, { ...valid, ...crlUris('issuing') });

describe('revocation lists over HTTP', { skip: needs('charon', 'nft', 'ping', 'python3') }, () => {
  let folder: string;
  let hosts: HostPair;
  let charon: Charon;
  let web: ChildProcess | undefined;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'ipseckit-crl-'));
    const b = [`${theirs}/24`, `${webAddress}/24`];
    hosts = await createPair({ prefix: 'crl', a: [`${ours}/24`], b });
    charon = await Charon.start({ host: hosts.b, esp: 'kernel-libipsec', logLevel: 1 });
    await charon.load({
      ...{ name: 'peer', local: theirs, remote: ours, mode: 'tunnel', encapsulate: true },
      ike: ['aes256-sha256-ecp256'],
      esp: ['aes128-sha256'],
      certificates: {
        own: certificatePem(theirHost),
        privateKey: keyPem(theirHost),
        authorities: [certificatePem(root), certificatePem(issuing)],
      },
    });
    write('own.pem', certificatePem(ourHost, issuing));
    write('own.key', keyPem(ourHost));
    write('root.pem', certificatePem(root));
    const serve = ['-m', 'http.server', String(webPort), '--bind', webAddress, '--directory', folder];
    web = hosts.b.spawn('python3', serve, { stdio: 'ignore' });
    const connect = `import socket; socket.create_connection(("${webAddress}", ${webPort}), 1)`;
    await waitFor('the web server', async () => {
      const { status } = await hosts.b.execute('python3', ['-c', connect]);
      return status === 0 || undefined;
    });
  });

  after(async () => {
    web?.kill();
    await charon?.stop();
    await hosts?.destroy();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const path = (name: string) => join(folder, name);
  const write = (name: string, content: string | Uint8Array) =>
    writeFileSync(path(name), content, { mode: 0o600 });
  const publish = (...revoked: readonly Identity[]) => {
    write('root.crl', testCrl(root, [], crlTimes).der);
    write('issuing.crl', testCrl(issuing, revoked, crlTimes).der);
  };

  /** A process of its own each time, which has fetched nothing before. */
  const tunnelUp = (...flags: readonly string[]) =>
    hosts.a.execute(
      process.execPath,
      [
        ...[resolve('bin/ipseckit.js'), 'tunnel', 'up', theirs, '--local', ours],
        ...['--remote-net', `${theirs}/32`, '--cert', path('own.pem'), '--key', path('own.key')],
        ...['--ca', path('root.pem'), '--ike', 'aes256-sha256-ecp256', '--esp', 'aes128-sha256'],
        ...['--encap', ...flags, '--', 'true'],
      ],
      { env: { ...process.env, IPSECKIT_HOME: path('home') }, timeoutMs: 60_000 },
    );

  test('none published: strength 1 goes on, strength 2 refuses and names the server', async () => {
    const lenient = await tunnelUp();
    assert.equal(lenient.status, 0, lenient.stderr);
    assert.match(lenient.stderr, /fetching revocation lists: http:.*issuing.crl, http:.*root.crl/);
    const strict = await tunnelUp('--crl-check', '2');
    assert.equal(strict.status, 10, strict.stderr);
    assert.match(strict.stderr, /no CRL of .*http:\/\/10.68.0.3:8080\/issuing.crl: HTTP status 404/);
    await waitFor('strongSwan to hear that we refused it', async () =>
      (await charon.listSas()).length === 0 ? true : undefined,
    );
  });

  test('clean ones content strength 2', async () => {
    publish();
    const clean = await tunnelUp('--crl-check', '2');
    assert.equal(clean.status, 0, clean.stderr);
  });

  test('one that revokes the peer: strength 1 refuses, strength 0 does not look', async () => {
    publish(theirHost);
    const revoked = await tunnelUp();
    assert.equal(revoked.status, 10, revoked.stderr);
    assert.match(revoked.stderr, /CN=theirs: revoked on/);
    const careless = await tunnelUp('--crl-check', '0');
    assert.equal(careless.status, 0, careless.stderr);
    assert.doesNotMatch(careless.stderr, /fetching/);
  });

  test('strongSwan initiates and is revoked: both sides end, and an audit event says why', async () => {
    publish(theirHost);
    const agent = await AgentOnHost.start(hosts.a, { args: ['--verbose'] });
    try {
      const run = async (program: 'ipseckit' | 'ipsecpol', ...args: string[]) => {
        const { status, stdout, stderr } = await agent.command(program, ...args);
        assert.equal(status, 0, stdout + stderr);
        return stdout;
      };
      write('both.pem', certificatePem(ourHost, issuing) + keyPem(ourHost));
      await run('ipseckit', 'cert', 'import', path('root.pem'), '--trust');
      await run('ipseckit', 'cert', 'import', path('both.pem'));
      const rule = ['-n', 'ESP[AES128,SHA256]', '-a', 'CERT:"C=DE, O=Example, CN=Root"'];
      const offer = ['-1s', 'AES256-SHA256-19'];
      await run('ipsecpol', '-f', `${ours}=${theirs}`, '-t', theirs, ...rule, ...offer);
      await run('ipsecpol', '-f', `${theirs}=${ours}`, '-t', ours, ...rule, ...offer);
      const startedAtMs = Date.now();
      await assert.rejects(charon.initiate('peer'), /INVALID_CERTIFICATE/);
      assert.ok(Date.now() - startedAtMs < 10_000, 'at once, not by timeout');
      assert.match(await run('ipseckit', 'events'), /CN=theirs: revoked on/);
      assert.deepEqual((await agent.call('associations', {})).mainModes, []);
      assert.deepEqual(await charon.listSas(), []);
    } finally {
      await agent.remove();
    }
  });
});
