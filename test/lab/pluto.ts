/**
 * libreswan's pluto as a peer, on a machine whose kernel has ESP (`uml-host.ts`). `test/lab/install` only unpacks
 * libreswan, so pluto runs where its programs are put over /usr/libexec, in a mount namespace of its own. Starting
 * programs is slow there: what can be known from pluto's log is not asked for.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, waitFor } from './command.js';
import type { LabHost } from './lab-host.js';
import { programs, unpacked } from './libreswan.js';

/** A `conn` of `ipsec.conf`. */
export interface PlutoConnection {
  readonly name: string;
  /** As `ipsec.conf` writes them: `left`, `ike`, `authby` … */
  readonly settings: Readonly<Record<string, string | undefined>>;
}

/** PKCS #12 files, each known by the name in it, and CAs to trust, as PEM. */
export interface PlutoCertificates {
  readonly own: readonly { readonly file: Uint8Array; readonly passphrase: string }[];
  readonly authorities: readonly string[];
}

export interface PlutoOptions {
  readonly host: LabHost;
  /** Lines of `ipsec.secrets`. */
  readonly secrets: string;
  /** Lines of `ipsec.d/passwd`, for gateways with `xauthby=file`. */
  readonly passwords?: string;
  readonly certificates?: PlutoCertificates;
}

/** An SA pair as pluto logs it, its SPIs as it sees them. */
export interface PlutoPair {
  readonly mode: 'transport' | 'tunnel';
  readonly spiIn: number;
  readonly spiOut: number;
  /** All that pluto says of it: `ESP=>0x… <0x… xfrm=AES_CBC_128-HMAC_SHA1_96 DPD=passive`. */
  readonly text: string;
}

/** A script starts dozens of programs; what routes the traffic is set up before. */
const noScript = { leftupdown: '%disabled' };

/** A running pluto. Whoever starts one stops it. */
export class Pluto {
  readonly #host: LabHost;
  /** On the machine. */
  readonly #folder: string;
  /** Out here: the machine's files are this one's, but once it has read a file it does not see it change. */
  readonly #store = mkdtempSync('/var/tmp/ipseckit-pluto-');
  #child: ChildProcess | undefined;
  #log = '';
  #loads = 0;

  private constructor({ host, secrets, passwords = '' }: PlutoOptions) {
    this.#host = host;
    this.#folder = host.run('mktemp', '--directory', '/run/ipseckit-pluto-XXXXXX').trim();
    const lines = 'mkdir ipsec.d && printf %s "$1" > ipsec.secrets && printf %s "$2" > ipsec.d/passwd';
    host.run('sh', '-c', `cd ${this.#folder} && ${lines}`, 'sh', secrets, passwords);
    writeFileSync(join(this.#store, 'ipsec.conf'), 'config setup\n\tikev1-policy=accept\n');
  }

  static async start(options: PlutoOptions): Promise<Pluto> {
    const pluto = new Pluto(options);
    try {
      await makeStore(pluto.#store, options.certificates ?? { own: [], authorities: [] });
      await pluto.#spawn();
      return pluto;
    } catch (error) {
      await pluto.stop();
      throw error;
    }
  }

  async #spawn(): Promise<void> {
    const program = [
      '/usr/libexec/ipsec/pluto --nofork --stderrlog --no-dnssec --nhelpers 0',
      `--config ${this.#store}/ipsec.conf --nssdir ${this.#store}`,
      `--secretsfile ${this.#folder}/ipsec.secrets --rundir ${this.#folder} --ipsecdir ${this.#folder}/ipsec.d`,
    ].join(' ');
    const start = `mount --bind ${unpacked}/usr/libexec /usr/libexec && rm -f ${this.#folder}/pluto.ctl && exec ${program}`;
    const child = this.#host.spawn('unshare', ['--mount', 'sh', '-c', start], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    const before = this.#log.length;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    const isUp = () => {
      if (child.exitCode !== null) throw new Error(`pluto ended with ${child.exitCode}\n${this.#log}`);
      return this.#log.slice(before).includes('loading secrets');
    };
    await waitFor('pluto to listen', isUp, 60);
  }

  /** Adds connections; one that is there already is replaced, and its SAs end. */
  async load(...connections: readonly PlutoConnection[]): Promise<void> {
    const text = connections.map(({ name, settings }) =>
      [
        `conn ${name}`,
        ...Object.entries({ ...noScript, ...settings }).flatMap(([key, value]) =>
          value === undefined ? [] : [`\t${key}=${value}`],
        ),
        '',
      ].join('\n'),
    );
    await this.loadFile(
      text.join('\n'),
      connections.map(({ name }) => name),
    );
  }

  /** Adds these connections of a whole `ipsec.conf`. */
  async loadFile(configuration: string, names: readonly string[]): Promise<void> {
    const file = join(this.#store, `${++this.#loads}.conf`);
    writeFileSync(file, configuration);
    await this.#run('addconn', '--config', file, '--ctlsocket', `${this.#folder}/pluto.ctl`, ...names);
  }

  /** Replaces the lines of `ipsec.secrets`. */
  async loadSecrets(secrets: string): Promise<void> {
    this.#host.run('sh', '-c', `printf %s "$1" > ${this.#folder}/ipsec.secrets`, 'sh', secrets);
    await this.order('--rereadsecrets');
  }

  /** Brings a connection up; throws with pluto's account of the negotiation when that fails. */
  async initiate(name: string): Promise<void> {
    await this.order('--initiate', '--name', name);
  }

  /** Takes a connection down and tells the peer; it stays loaded. */
  async terminate(name: string): Promise<void> {
    await this.order('--terminate', '--name', name);
  }

  /** Gives `whack` an order and returns what it says: `--rekey-ipsec --name peer`. */
  order(...words: readonly string[]): Promise<string> {
    return this.#run('whack', '--rundir', this.#folder, ...words);
  }

  /** The SA pairs that were established since the log had this length, oldest first. */
  pairsSince(length: number): PlutoPair[] {
    const lines = this.#log.slice(length).matchAll(established);
    return [...lines].map(([, mode, text = '', out = '', inside = '']) => ({
      mode: mode === 'transport' ? mode : 'tunnel',
      spiOut: Number.parseInt(out, 16),
      spiIn: Number.parseInt(inside, 16),
      text,
    }));
  }

  /** All pluto has logged since the first start. */
  log(): string {
    return this.#log;
  }

  /** A crash: the peer is told nothing, and the kernel keeps its SAs. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Starts again after `kill`, with no memory of before; connections have to be loaded again. */
  async restart(): Promise<void> {
    await this.#spawn();
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    this.#host.run('rm', '-rf', this.#folder);
    rmSync(this.#store, { recursive: true, force: true });
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  async #run(program: 'whack' | 'addconn', ...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.#host.execute(join(programs, program), args, {
      timeoutMs: 30_000,
    });
    if (status === 0) return stdout;
    throw new Error(`${program} ${args.join(' ')}: status ${status}\n${stdout}${stderr}`);
  }
}

const established =
  /IPsec SA established (transport|tunnel) mode \{((?:ESP|AH)\S*=>0x([0-9a-f]+) <0x([0-9a-f]+)[^}]*)\}/g;

/** A certificate store of NSS. Made out here, where programs start quickly. */
async function makeStore(folder: string, { own, authorities }: PlutoCertificates): Promise<void> {
  const store = `sql:${folder}`;
  await run(['certutil', '-N', '-d', store, '--empty-password']);
  for (const [index, pem] of authorities.entries()) {
    const file = join(folder, `authority${index}.pem`);
    writeFileSync(file, pem);
    await run(['certutil', '-A', '-a', '-d', store, '-n', `authority${index}`, '-t', 'CT,,', '-i', file]);
  }
  for (const [index, { file, passphrase }] of own.entries()) {
    const path = join(folder, `own${index}.p12`);
    writeFileSync(path, file);
    await run(['pk12util', '-i', path, '-d', store, '-W', passphrase, '-K', '']);
  }
}
