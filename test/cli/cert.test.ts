/** The life of a certificate by commands: CA, request, issue, import, check, revoke, export; and what goes wrong. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parseTunnel } from '../../src/agent/tunnel.js';
import { tunnelSource } from '../../src/agent/tunnel-source.js';
import { tunnelCredentials } from '../../src/cli/tunnel-credentials.js';

const folder = mkdtempSync(join(tmpdir(), 'ipseckit-cert-'));
after(() => rmSync(folder, { recursive: true }));
const file = (name: string) => join(folder, name);
writeFileSync(file('pass'), 'a passphrase\n', { mode: 0o600 });
writeFileSync(file('wrong'), 'another\n', { mode: 0o600 });
writeFileSync(file('garbage'), Buffer.from('3082ffff0203', 'hex'));

function cert(home: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['bin/ipseckit.js', 'cert', ...args], {
    encoding: 'utf8',
    env: { ...process.env, IPSECKIT_HOME: file(home) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  assert.doesNotMatch(stdout + stderr, /PRIVATE KEY|a passphrase|\n\s+at /);
  return { status, stdout, all: stdout + stderr };
}

function succeeds(home: string, ...args: string[]) {
  const result = cert(home, ...args);
  assert.equal(result.status, 0, result.all);
  return result;
}

function openssl(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout + stderr;
}

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe('cert', () => {
  test('a CA with an intermediate, a request, a certificate; OpenSSL agrees', () => {
    succeeds('ca', 'ca', 'root', '--subject', 'C=US, O=Example, CN=Root');
    succeeds(
      'ca',
      'ca',
      'branch',
      '--subject',
      'C=US, O=Example, CN=Branch',
      '--issuer',
      'root',
      '--path-length',
      '0',
    );
    const names = ['--dns', 'gw.example.com', '--email', 'gw@example.com', '--address', '192.0.2.1'];
    const outputs = ['--out', file('gw.csr'), '--key-out', file('gw.key')];
    succeeds('ca', 'request', '--subject', 'C=US, O=Example, CN=gw', ...names, ...outputs);
    assert.equal(mode(file('gw.key')), '600');
    assert.match(openssl('req', '-in', file('gw.csr'), '-noout', '-verify'), /verify OK/);
    succeeds('ca', 'issue', 'branch', file('gw.csr'), '--out', file('gw.pem'));
    const root = file('ca/certificates/authorities/root.pem');
    assert.match(
      openssl('verify', '-x509_strict', '-CAfile', root, '-untrusted', file('gw.pem'), file('gw.pem')),
      /OK/,
    );
    assert.match(
      openssl('x509', '-in', file('gw.pem'), '-noout', '-ext', 'subjectAltName'),
      /DNS:gw\.example\.com, email:gw@example\.com, IP Address:192\.0\.2\.1|email:gw@example\.com/,
    );
    for (const name of ['root.key', 'branch.key', 'root.json'])
      assert.equal(mode(file(`ca/certificates/authorities/${name}`)), '600');
  });

  test('import and check: every test with its result', () => {
    assert.match(
      cert('host', 'import', file('ca/certificates/authorities/root.pem')).all,
      /not trusted yet[\s\S]*--trust/,
    );
    succeeds('host', 'import', file('ca/certificates/authorities/root.pem'), '--trust');
    assert.match(cert('host', 'import', file('gw.pem')).all, /--key/);
    succeeds('host', 'import', file('gw.pem'), '--key', file('gw.key'));
    assert.equal(mode(file('host/certificates/own/gw.key')), '600');
    for (const id of [
      'gw.example.com',
      'gw@example.com',
      '192.0.2.1',
      'C=US, O=Example, CN=gw',
      'CN=GW,O=example,C=us',
    ])
      succeeds('host', 'check', 'gw', '--as', id, '--authority', 'C=US, O=Example, CN=Root');
    const wrong = cert('host', 'check', 'gw', '--as', 'other.example.com', '--json');
    assert.equal(wrong.status, 10);
    const { passed, tests } = JSON.parse(wrong.stdout);
    assert.equal(passed, false);
    const failed = tests.filter((one: { passed: boolean }) => !one.passed);
    assert.deepEqual(
      failed.map((one: { test: string }) => one.test),
      ['identity'],
    );
    assert.match(cert('host', 'check', 'gw', '--at', '2090-01-01').all, /validity +FAILED +.*expired on/);
    assert.match(cert('host', 'check', 'gw', '--crl-check', '2').all, /revocation +FAILED +.*no CRL of/);
    assert.match(cert('host', 'check', 'gw', '--authority', 'CN=Else').all, /authority +FAILED +.*"CN=Else"/);
    assert.match(cert('empty', 'check', file('gw.pem')).all, /trust +FAILED/);
  });

  test('revoke: the list is made, imported and obeyed', () => {
    succeeds('ca', 'revoke', 'branch', file('gw.pem'), '--out', file('branch.crl'));
    assert.match(openssl('crl', '-in', file('branch.crl'), '-noout', '-text'), /Revoked Certificates/);
    succeeds('host', 'import', file('branch.crl'));
    const result = cert('host', 'check', 'gw');
    assert.equal(result.status, 10);
    assert.match(result.all, /revocation +FAILED +.*revoked on/);
    const { revoked } = JSON.parse(succeeds('ca', 'revoke', 'branch', '--json').stdout);
    assert.equal(revoked.length, 1);
    assert.match(cert('ca', 'revoke', 'branch', 'ff00').all, /has not issued it/);
  });

  test('export as PEM, DER and PKCS#12, and back', () => {
    succeeds('host', 'export', 'gw', '--out', file('out.pem'));
    assert.doesNotMatch(readFileSync(file('out.pem'), 'utf8'), /PRIVATE/);
    succeeds('host', 'export', 'gw', '--format', 'der', '--out', file('out.der'));
    succeeds(
      'host',
      'export',
      'gw',
      '--format',
      'p12',
      '--out',
      file('out.p12'),
      '--passphrase-file',
      file('pass'),
    );
    assert.equal(mode(file('out.p12')), '600');
    assert.match(
      openssl('pkcs12', '-in', file('out.p12'), '-passin', `file:${file('pass')}`, '-nodes'),
      /CN = Root/,
    );
    assert.match(
      cert('new', 'import', file('out.p12'), '--passphrase-file', file('wrong')).all,
      /passphrase is wrong/,
    );
    assert.match(cert('new', 'import', file('out.p12')).all, /no terminal[\s\S]*--passphrase-file/);
    succeeds('new', 'import', file('out.p12'), '--passphrase-file', file('pass'), '--trust', '--name', 'gw');
    succeeds('new', 'check', 'gw', '--as', 'gw.example.com');
    assert.match(succeeds('new', 'list').stdout, /own +gw +C=US, O=Example, CN=gw/);
    assert.match(cert('host', 'export', 'gw', '--out', file('out.pem')).all, /there already/);
    succeeds('host', 'export', 'gw', '--with-key', '--out', file('both.pem'));
    assert.equal(mode(file('both.pem')), '600');
  });

  test('elliptic curve keys', () => {
    succeeds('ec', 'ca', 'root', '--subject', 'CN=EC Root', '--key-type', 'ec384');
    const request = ['--key-type', 'ec256', '--out', file('ec.csr'), '--key-out', file('ec.key')];
    succeeds('ec', 'request', '--subject', 'CN=ec', ...request);
    succeeds('ec', 'issue', 'root', file('ec.csr'), '--out', file('ec.pem'));
    succeeds('ec', 'import', file('ec.pem'), '--key', file('ec.key'));
    succeeds('ec', 'check', 'ec');
    openssl('verify', '-CAfile', file('ec/certificates/authorities/root.pem'), file('ec.pem'));
    const openP12 = [
      'pkcs12',
      '-export',
      '-in',
      file('ec.pem'),
      '-inkey',
      file('ec.key'),
      '-out',
      file('ec.p12'),
    ];
    openssl(...openP12, '-passout', `file:${file('pass')}`);
    succeeds('ec2', 'import', file('ec.p12'), '--passphrase-file', file('pass'));
  });

  test('a key that openssl encrypted', () => {
    openssl(
      'pkey',
      '-in',
      file('gw.key'),
      '-aes256',
      '-passout',
      `file:${file('pass')}`,
      '-out',
      file('locked.key'),
    );
    assert.match(cert('locked', 'import', file('gw.pem'), '--key', file('locked.key')).all, /no terminal/);
    const wrong = cert(
      'locked',
      'import',
      file('gw.pem'),
      '--key',
      file('locked.key'),
      '--passphrase-file',
      file('wrong'),
    );
    assert.match(wrong.all, /passphrase is wrong/);
    succeeds(
      'locked',
      'import',
      file('gw.pem'),
      '--key',
      file('locked.key'),
      '--passphrase-file',
      file('pass'),
    );
  });

  test('bad input is named, and nothing is written', () => {
    const cases: [RegExp, string[]][] = [
      [/garbage: certificate: needs|garbage: certificate/, ['import', file('garbage')]],
      [/nowhere/, ['import', file('nowhere')]],
      [/holds no private key/, ['import', file('gw.pem'), '--key', file('gw.csr')]],
      [/belongs to none of the certificates/, ['import', file('gw.pem'), '--key', file('ec.key')]],
      [/not a distinguished name/, ['ca', 'x', '--subject', 'Example']],
      [/"XY" is not a known attribute/, ['ca', 'x', '--subject', 'XY=Example']],
      [/no CA named 'x'/, ['issue', 'x', file('gw.csr'), '--out', file('never.pem')]],
      [/no CA named|neither|nowhere|holds no/, ['export', 'nobody', '--out', file('never.pem')]],
      [
        /not an IP address/,
        ['request', '--subject', 'CN=x', '--address', 'host', '--out', file('n1'), '--key-out', file('n2')],
      ],
      [/there already/, ['request', '--subject', 'CN=x', '--out', file('n1'), '--key-out', file('gw.key')]],
    ];
    for (const [words, args] of cases) {
      const result = cert('bad', ...args);
      assert.notEqual(result.status, 0, args.join(' '));
      assert.match(result.all, words);
      assert.match(result.all, /next: /);
    }
    for (const name of ['never.pem', 'n1', 'n2', 'bad']) assert.equal(existsSync(file(name)), false, name);
    assert.match(cert('ca', 'issue', 'root', file('gw.pem'), '--out', file('never.pem')).all, /request/);
    assert.match(cert('ca', 'ca', 'root', '--subject', 'CN=again').all, /here already/);
  });

  test('no private key is overwritten, and nothing is imported by halves', () => {
    const request = ['request', '--subject', 'CN=x', '--key-type', 'ec256'];
    assert.match(
      cert('ca', ...request, '--out', file('one'), '--key-out', file('one')).all,
      /--out and --key-out name the same file/,
    );
    assert.ok(!existsSync(file('one')));
    const key = readFileSync(file('gw.key'), 'utf8');
    assert.match(
      cert('ca', 'issue', 'root', file('gw.csr'), '--out', file('gw.key')).all,
      /holds a private key/,
    );
    assert.match(cert('ca', 'revoke', 'root', '--out', file('garbage')).all, /is no PEM file/);
    assert.equal(readFileSync(file('gw.key'), 'utf8'), key);
    const root = readFileSync(file('ca/certificates/authorities/root.pem'), 'utf8');
    writeFileSync(file('all.pem'), readFileSync(file('gw.pem'), 'utf8') + root);
    assert.match(cert('empty', 'import', file('all.pem'), '--key', file('gw.key')).all, /not trusted yet/);
    assert.ok(!existsSync(file('empty/certificates/own')));
  });

  test('one damaged CA does not hide the others; a certificate ends with its CA', () => {
    succeeds('short', 'ca', 'root', '--subject', 'CN=Root', '--key-type', 'ec256', '--days', '2');
    const issued = succeeds('short', 'issue', 'root', file('gw.csr'), '--out', file('short.pem'), '--json');
    const root = JSON.parse(succeeds('short', 'list', '--json').stdout).trusted[0];
    assert.equal(JSON.parse(issued.stdout).certificate.notAfterMs, root.notAfterMs);
    writeFileSync(file('short/certificates/authorities/bad.json'), '{');
    const list = JSON.parse(succeeds('short', 'list', '--json').stdout);
    assert.deepEqual(
      list.authorities.map(({ name }: { name: string }) => name),
      ['root'],
    );
    assert.match(list.problems.join(), /CA 'bad'/);
    const p12 = ['--format', 'p12', '--out', file('root.p12'), '--passphrase-file', file('pass')];
    const refused = cert('short', 'export', 'root', ...p12);
    assert.equal(refused.status, 7, refused.all);
  });

  test('the files of a tunnel: certificate, key and CA become its document', async () => {
    const base = { format: 'ipseckit-tunnel', version: 1, name: 'x', local: '192.0.2.1', peer: '192.0.2.2' };
    const ca = file('ca/certificates/authorities/root.pem');
    const fields = await tunnelCredentials({
      cert: file('gw.pem'),
      key: file('gw.key'),
      ca: [ca],
      crl: [file('branch.crl')],
    });
    const { authentication } = parseTunnel({ ...base, ...fields });
    assert.equal(authentication.key, undefined);
    assert.ok(authentication.credentials);
    const { own, trusted, crls } = authentication.credentials;
    assert.deepEqual(
      [own[0]?.certificate.subject.text, own[0]?.chain.length, trusted.length, crls.length],
      ['C=US, O=Example, CN=gw', 1, 1, 1],
    );
    await assert.rejects(
      tunnelCredentials({ cert: file('gw.pem'), ca: [ca] }),
      /gw\.pem holds no private key/,
    );
    await assert.rejects(
      tunnelCredentials({ cert: 'no-such', ca: [ca] }),
      /neither a file nor an imported certificate/,
    );
    const either = tunnelSource(parseTunnel({ ...base, ...fields, presharedKey: 'x' }));
    assert.deepEqual(
      either.policy.rules[0]?.authentication.map(({ kind }) => kind),
      ['certificate', 'preshared'],
    );
    assert.throws(
      () => parseTunnel({ ...base, ...fields, presharedKey: '' }),
      /presharedKey: must not be empty/,
    );
    assert.throws(() => parseTunnel({ ...base, ...fields, localId: 'CN=x' }), /comes from the certificate/);
    assert.throws(() => parseTunnel({ ...base, ...fields, authorities: '' }), /no certificate of a CA/);
  });
});
