/** strongSwan's charon as a peer: one daemon in a network namespace, with a configuration and a /run of its own. */
import type { ChildProcess } from 'node:child_process';
import type { CommandResult } from '../support/namespaces.js';
import { waitFor } from './command.js';
import type { LabHost } from './lab-host.js';
import { credentialMessages, loadConnMessage, type PeerConnection } from './peer-connection.js';
import { Vici, type ViciMessage, type ViciValue } from './vici.js';

export type { PeerConnection } from './peer-connection.js';

/**
 * Who does ESP: strongSwan itself (tunnel mode in UDP 4500 only, no AH), or the kernel (everything, where the kernel
 * can: inside `uml.ts`).
 */
export type EspEngine = 'kernel-libipsec' | 'kernel-netlink';

export interface CharonOptions {
  readonly host: LabHost;
  readonly esp: EspEngine;
  /** 1 is strongSwan's default, 2 shows every decision; 4 writes keys. */
  readonly logLevel?: 1 | 2 | 3 | 4;
  /** More lines for the `charon` section of strongswan.conf. */
  readonly settings?: string;
}

export interface PeerChildSa {
  readonly name: string;
  readonly uniqueId: number;
  readonly state: string;
  readonly mode: string;
  readonly protocol: 'ESP' | 'AH';
  readonly encapsulated: boolean;
  readonly spiIn: number;
  readonly spiOut: number;
  /** `3DES_CBC`, `AES_GCM_16`; empty for AH. */
  readonly encryption: string;
  readonly encryptionBits: number;
  /** `HMAC_SHA1_96`; empty for a combined-mode cipher. */
  readonly integrity: string;
  /** `MODP_1024`, or empty without PFS. */
  readonly group: string;
  readonly extendedSequence: boolean;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly localSelectors: readonly string[];
  readonly remoteSelectors: readonly string[];
}

export interface PeerIkeSa {
  readonly name: string;
  readonly uniqueId: number;
  readonly state: string;
  readonly localPort: number;
  readonly remotePort: number;
  readonly initiator: boolean;
  readonly initiatorCookie: string;
  readonly responderCookie: string;
  readonly encryption: string;
  readonly integrity: string;
  readonly group: string;
  readonly children: readonly PeerChildSa[];
}

/** An IKE SA, or a child SA, by the name of its connection; or one child SA by its unique id. */
export type PeerSaName =
  | { readonly ike: string }
  | { readonly child: string }
  | { readonly 'child-id': string };

const charonProgram = '/usr/lib/ipsec/charon';

/** A running charon. Whoever starts one stops it. */
export class Charon {
  readonly #options: CharonOptions;
  readonly #folder: string;
  #child: ChildProcess | undefined;
  #vici: Vici | undefined;

  private constructor(options: CharonOptions) {
    this.#options = options;
    this.#folder = options.host.run('mktemp', '--directory', '/tmp/ipseckit-charon-XXXXXX').trim();
    // A copy: Debian's AppArmor profile, attached to the original path, forbids files outside /etc and /run.
    this.#shell(
      `mkdir run && cp ${charonProgram} charon && printf %s "$1" > strongswan.conf`,
      strongswanConf(this.#folder, options),
    );
  }

  static async start(options: CharonOptions): Promise<Charon> {
    const charon = new Charon(options);
    try {
      await charon.#spawn();
      return charon;
    } catch (error) {
      await charon.stop();
      throw error;
    }
  }

  async #spawn(): Promise<void> {
    const { host } = this.#options;
    const folder = this.#folder;
    const socket = `${folder}/vici`;
    this.#shell('rm -f vici');
    const start = `export STRONGSWAN_CONF=${folder}/strongswan.conf
      mount --bind ${folder}/run /run && exec ${folder}/charon`;
    const child = host.spawn('unshare', ['--mount', 'sh', '-c', start], { stdio: 'ignore' });
    this.#child = child;
    this.#vici = await waitFor(
      'charon to listen',
      async () => {
        if (child.exitCode !== null) throw new Error(`charon ended with ${child.exitCode}\n${this.log()}`);
        const connection = await host.connect(socket).catch(() => undefined);
        return connection && new Vici(connection);
      },
      30,
    );
  }

  /** Replaces all connections and secrets. */
  async load(...connections: readonly PeerConnection[]): Promise<void> {
    const { conns } = await this.#call('get-conns');
    for (const name of Array.isArray(conns) ? conns : []) await this.#call('unload-conn', { name });
    await this.#call('clear-creds');
    for (const connection of connections) {
      for (const [command, message] of credentialMessages(connection)) await this.#call(command, message);
      await this.#call('load-conn', loadConnMessage(connection));
    }
  }

  /** What `swanctl --load-all` says of a whole `swanctl.conf`; status 0 when it took all of it. */
  loadFile(configuration: string): Promise<CommandResult> {
    const { host } = this.#options;
    // A copy for the same reason as above.
    this.#shell('cp /usr/sbin/swanctl . && printf %s "$1" > swanctl.conf', configuration);
    const files = ['--file', `${this.#folder}/swanctl.conf`, '--uri', `unix://${this.#folder}/vici`];
    return host.execute(`${this.#folder}/swanctl`, ['--load-all', ...files], { timeoutMs: 30_000 });
  }

  /** Brings a child up; throws with charon's account of the negotiation when it fails. */
  async initiate(child: string, timeoutSeconds = 15): Promise<void> {
    const account: string[] = [];
    const onEvent = (event: ViciMessage) => account.push(`[${event.group}] ${event.msg}`);
    try {
      await this.#call(
        'initiate',
        { child, timeout: String(timeoutSeconds * 1000), loglevel: '1' },
        { name: 'control-log', onEvent },
      );
    } catch (error) {
      throw new Error([String(error), ...account].join('\n'));
    }
  }

  /** Takes an IKE SA with its children, or one child, down, and tells the peer. */
  async terminate(what: PeerSaName): Promise<void> {
    await this.#call('terminate', { ...what, timeout: '10000' });
  }

  /** Forgets every IKE SA, half-made ones too. */
  async forgetAll(): Promise<void> {
    for (const { uniqueId } of await this.listSas())
      await this.#call('terminate', { 'ike-id': String(uniqueId), force: 'yes', timeout: '2000' });
  }

  /** Rekeys now; returns when charon has begun. */
  async rekey(what: PeerSaName): Promise<void> {
    await this.#call('rekey', { ...what });
  }

  /** The IKE SAs and their children as charon has them now. */
  async listSas(): Promise<PeerIkeSa[]> {
    const sas: PeerIkeSa[] = [];
    const onEvent = (event: ViciMessage) => {
      for (const [name, sa] of Object.entries(event)) if (isSection(sa)) sas.push(ikeSa(name, sa));
    };
    await this.#call('list-sas', {}, { name: 'list-sa', onEvent });
    return sas;
  }

  /** Every child SA that carries traffic. */
  async installedChildren(): Promise<PeerChildSa[]> {
    return (await this.listSas()).flatMap(sa => sa.children).filter(child => child.state === 'INSTALLED');
  }

  #call: Vici['call'] = (...parameters) => {
    if (this.#vici === undefined) throw new Error('charon is not running');
    return this.#vici.call(...parameters);
  };

  /** All charon has logged since the first start. */
  log(): string {
    return this.#shell('cat log 2> /dev/null || true');
  }

  /** A crash: the peer is told nothing. The kernel's SAs and policies of a `kernel-netlink` charon stay behind. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Starts again after `kill`, with no memory of before; connections have to be loaded again. */
  async restart(): Promise<void> {
    if (this.#child !== undefined) throw new Error('charon is running');
    await this.#spawn();
  }

  /** Ends charon (it deletes its SAs at the peer) and removes its files; safe to call twice. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    this.#options.host.run('rm', '-rf', this.#folder);
  }

  /** Runs a line of shell in charon's folder, which may be on another machine. */
  #shell(line: string, ...args: string[]): string {
    return this.#options.host.run('sh', '-c', `cd ${this.#folder} && ${line}`, 'sh', ...args);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    this.#vici?.close();
    this.#vici = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>(resolve => child.once('exit', () => resolve()));
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), 8000);
    await gone;
    clearTimeout(late);
  }
}

function strongswanConf(folder: string, options: CharonOptions): string {
  const own = options.esp === 'kernel-libipsec';
  const plugins = [
    ...'random nonce openssl aes des sha1 sha2 md5 hmac gmp kdf pem pkcs1 pkcs8 pkcs7 pubkey x509 revocation constraints gcm'.split(
      ' ',
    ),
    ...(own ? ['kernel-libipsec'] : []),
    ...'kernel-netlink socket-default vici xauth-generic unity'.split(' '),
  ];
  // Its own ESP must not be caught by its own routes: what carries the mark goes around them.
  const marks = own
    ? `kernel-libipsec {
      load = yes
      allow_peer_ts = yes
    }
    kernel-netlink {
      fwmark = !0x42
    }
    socket-default {
      fwmark = 0x42
    }`
    : '';
  return `charon {
  load = ${plugins.join(' ')}
  retransmit_timeout = 2
  ${options.settings ?? ''}
  plugins {
    ${marks}
    vici {
      socket = unix://${folder}/vici
    }
  }
  filelog {
    log {
      path = ${folder}/log
      default = ${options.logLevel ?? 1}
      time_format = %H:%M:%S
      time_add_ms = yes
      flush_line = yes
    }
  }
}
`;
}

const isSection = (value: ViciValue | undefined): value is ViciMessage =>
  typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array);
const text = (section: ViciMessage, name: string): string => {
  const value = section[name];
  return typeof value === 'string' ? value : '';
};
const number = (section: ViciMessage, name: string): number => Number(text(section, name) || 0);
const list = (section: ViciMessage, name: string): readonly string[] => {
  const value = section[name];
  return Array.isArray(value) ? value : [];
};

function ikeSa(name: string, sa: ViciMessage): PeerIkeSa {
  const children = sa['child-sas'];
  return {
    name,
    uniqueId: number(sa, 'uniqueid'),
    state: text(sa, 'state'),
    localPort: number(sa, 'local-port'),
    remotePort: number(sa, 'remote-port'),
    initiator: text(sa, 'initiator') === 'yes',
    initiatorCookie: text(sa, 'initiator-spi'),
    responderCookie: text(sa, 'responder-spi'),
    encryption: text(sa, 'encr-alg'),
    integrity: text(sa, 'integ-alg') || text(sa, 'prf-alg'),
    group: text(sa, 'dh-group'),
    children: isSection(children)
      ? Object.values(children).flatMap(child => (isSection(child) ? [childSa(child)] : []))
      : [],
  };
}

function childSa(child: ViciMessage): PeerChildSa {
  return {
    name: text(child, 'name'),
    uniqueId: number(child, 'uniqueid'),
    state: text(child, 'state'),
    mode: text(child, 'mode'),
    protocol: text(child, 'protocol') === 'AH' ? 'AH' : 'ESP',
    encapsulated: text(child, 'encap') === 'yes',
    extendedSequence: text(child, 'esn') === '1',
    spiIn: Number.parseInt(text(child, 'spi-in'), 16),
    spiOut: Number.parseInt(text(child, 'spi-out'), 16),
    encryption: text(child, 'encr-alg'),
    encryptionBits: number(child, 'encr-keysize'),
    integrity: text(child, 'integ-alg'),
    group: text(child, 'dh-group'),
    packetsIn: number(child, 'packets-in'),
    packetsOut: number(child, 'packets-out'),
    bytesIn: number(child, 'bytes-in'),
    bytesOut: number(child, 'bytes-out'),
    localSelectors: list(child, 'local-ts'),
    remoteSelectors: list(child, 'remote-ts'),
  };
}
