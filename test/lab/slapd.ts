/** OpenLDAP's slapd with the schema of Active Directory's IPsec classes: a directory to read policies from. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LdifEntry, printLdif } from '../support/ldif.js';
import type { Host } from '../support/namespaces.js';

export const directoryBase = 'DC=example,DC=com';
export const directoryAdmin = `CN=admin,${directoryBase}`;
export const directoryPassword = 'lab directory password';

const url = 'ldap://127.0.0.1:389';
/** What `test/lab/install` brings. */
const slapd = '/usr/sbin/slapd';

export interface SlapdTls {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** A directory on the loopback of a host. It may be stopped and started again, and keeps what is in it. */
export class Slapd {
  readonly folder: string;
  readonly #host: Host;
  readonly #config: string;
  readonly #passwordFile: string;
  readonly #urls: readonly string[];
  #child: ChildProcess | undefined;
  #log = '';

  /** `entries` are there before it starts. */
  constructor(host: Host, entries: readonly LdifEntry[], tls?: SlapdTls) {
    this.#host = host;
    this.folder = mkdtempSync(join(tmpdir(), 'ipseckit-slapd-'));
    const data = join(this.folder, 'data');
    mkdirSync(data, { mode: 0o700 });
    this.#config = join(this.folder, 'slapd.conf');
    this.#passwordFile = join(this.folder, 'password');
    this.#urls = tls === undefined ? [url] : [url, 'ldaps://127.0.0.1:636'];
    writeFileSync(this.#passwordFile, directoryPassword, { mode: 0o600 });
    writeFileSync(
      this.#config,
      [
        'include /etc/ldap/schema/core.schema',
        `include ${resolve('test/fixtures/directory/ad-ipsec.schema')}`,
        `pidfile ${join(this.folder, 'slapd.pid')}`,
        'modulepath /usr/lib/ldap',
        'moduleload back_mdb',
        ...(tls === undefined
          ? []
          : [`TLSCertificateFile ${tls.certificateFile}`, `TLSCertificateKeyFile ${tls.keyFile}`]),
        'database mdb',
        `suffix "${directoryBase}"`,
        `rootdn "${directoryAdmin}"`,
        `rootpw "${directoryPassword}"`,
        `directory ${data}`,
        // Who is nobody reads nothing, as in Active Directory.
        'access to * by anonymous auth by * read',
        '',
      ].join('\n'),
    );
    const ldif = join(this.folder, 'start.ldif');
    const domain: LdifEntry = {
      dn: directoryBase,
      attributes: [
        ['objectClass', 'organization'],
        ['objectClass', 'dcObject'],
        ['o', 'Example'],
        ['dc', 'example'],
      ],
    };
    writeFileSync(ldif, printLdif([domain, ...entries]));
    const { status, stderr } = spawnSync('/usr/sbin/slapadd', ['-f', this.#config, '-l', ldif], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`slapadd: ${stderr}`);
  }

  async start(): Promise<void> {
    const args = ['-f', this.#config, '-h', this.#urls.join(' '), '-d', '0'];
    this.#child = this.#host.spawn(slapd, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    for (let tries = 0; tries < 100; tries++) {
      if (this.#child.exitCode !== null) throw new Error(`slapd ended: ${this.#log}`);
      const { status } = await this.#host.execute('ldapsearch', ['-x', '-H', url, '-s', 'base', '-b', '']);
      if (status === 0) return;
      await sleep(100);
    }
    throw new Error(`slapd does not answer: ${this.#log}`);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    await gone;
  }

  /** Carries out changes in the words of `ldapmodify`. */
  async modify(ldif: string): Promise<void> {
    const file = join(this.folder, 'change.ldif');
    writeFileSync(file, ldif);
    const credentials = ['-x', '-H', url, '-D', directoryAdmin, '-y', this.#passwordFile];
    const { status, stderr } = await this.#host.execute('ldapmodify', [...credentials, '-f', file]);
    if (status !== 0) throw new Error(`ldapmodify: ${stderr}`);
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
