/**
 * `npm run quickstart`: two hosts on this machine, a policy on each, agents, real TCP traffic, and proof that it
 * crossed the wire as ESP. Everything is taken down again at the end, after an error and after Ctrl-C.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createPair, type Host, type HostPair, runAsNamespaceRoot } from '../support/namespaces.js';

const megabyte = 1024 * 1024;
const addresses = { alice: '192.0.2.1', bob: '192.0.2.2' } as const;
const programs = resolve('bin');

/** Sends a megabyte to port 80 and says how the answer (its digest, computed by the other side) compares. */
const clientScript = `
  const data = require('crypto').randomBytes(${megabyte});
  const want = require('crypto').createHash('sha256').update(data).digest('hex');
  const socket = require('net').connect(80, '${addresses.bob}', () => socket.end(data));
  let answer = '';
  socket.on('data', chunk => answer += chunk).on('end', () => {
    console.log(answer === want ? 'arrived intact, sha256 ' + want.slice(0, 16) + '...' : 'DAMAGED');
    process.exit(answer === want ? 0 : 1);
  }).on('error', error => { console.error(String(error)); process.exit(1); });
`;
const serverScript = `
  require('net').createServer({ allowHalfOpen: true }, socket => {
    const hash = require('crypto').createHash('sha256');
    socket.on('data', chunk => hash.update(chunk)).on('end', () => socket.end(hash.digest('hex')));
  }).listen(80, () => console.log('listening'));
`;

async function main(): Promise<void> {
  ensurePrograms();
  if (!runAsNamespaceRoot())
    throw new Error(
      'neither root nor allowed to make user namespaces: run it as root (sysctl kernel.unprivileged_userns_clone)',
    );
  const scratch = mkdtempSync(join(tmpdir(), 'ipseckit-quickstart-'));
  let pair: HostPair | undefined;
  const takeDown = async () => {
    await pair?.destroy();
    rmSync(scratch, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      takeDown().finally(() => process.exit(130));
    });
  try {
    heading('Two hosts on this machine, joined by a cable');
    pair = await createPair({
      prefix: 'quickstart',
      a: [`${addresses.alice}/24`],
      b: [`${addresses.bob}/24`],
    });
    console.log(`alice ${addresses.alice}  <-- veth -->  bob ${addresses.bob}`);
    await show(pair, scratch);
  } finally {
    await takeDown();
  }
  heading('Taken down again. Next: man ipsecpol, man netdiag, "ipseckit tunnel up --help"');
}

async function show(pair: HostPair, scratch: string): Promise<void> {
  const alice = new Station('alice', pair.a, scratch);
  const bob = new Station('bob', pair.b, scratch);

  heading('A policy on each: everything between the two is secured');
  for (const [station, peer] of [
    [alice, addresses.bob],
    [bob, addresses.alice],
  ] as const)
    await station.ipsecpol(
      ...['-w', 'REG', '-p', 'Quickstart', '-r', 'Secure the peer', '-f', `0+${peer}`],
      ...['-n', 'ESP[AES128,SHA256]', 'ESP[3DES,SHA]', '-1s', 'AES128-SHA256-14', '3DES-SHA-2'],
      ...['-a', `PRESHARE-FILE:${station.pskFile}`, '-x'],
    );

  heading('The policy agent on each');
  const agents = [alice, bob].map(station => station.start('ipseckit', 'agent', 'run'));
  await Promise.all([alice, bob].map(station => station.waitForAgent()));

  heading('TCP from alice to bob, with the wire captured');
  const wire = new WireWatch(pair.b);
  await wire.ready();
  const server = pair.b.spawn(process.execPath, ['-e', serverScript], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (server.stdout) await once(server.stdout, 'data');
  const client = await pair.a.execute(process.execPath, ['-e', clientScript], { timeoutMs: 10_000 });
  console.log(`1 MiB alice -> bob port 80: ${client.stdout.trim()}${client.stderr.trim()}`);
  if (client.status !== 0) throw new Error('the transfer failed');
  await sleep(200);
  const lines = await wire.stop();
  const seen = { esp: 0, ike: 0, clear: 0 };
  for (const line of lines)
    for (const kind of ['esp', 'ike', 'clear'] as const) if (line.startsWith(kind)) seen[kind]++;
  for (const line of lines.filter(entry => entry.startsWith('esp')).slice(0, 3)) console.log(line);
  console.log(
    `on the wire: ${seen.esp} ESP packets, ${seen.ike} IKE messages, ${seen.clear} packets in clear`,
  );
  if (seen.esp === 0 || seen.clear > 0) throw new Error('the traffic was not protected');

  heading('netdiag on alice');
  await alice.netdiag('/test:ipsec', '/v', '/debug');

  await Promise.all([...agents, server].map(child => stop(child, 'SIGTERM')));
}

/** One of the two hosts with its own policy store. */
class Station {
  readonly pskFile: string;
  readonly #name: string;
  readonly #host: Host;
  readonly #env: NodeJS.ProcessEnv;

  constructor(name: string, host: Host, scratch: string) {
    const home = join(scratch, name);
    mkdirSync(home, { mode: 0o700 });
    this.pskFile = join(home, 'psk');
    writeFileSync(this.pskFile, 'only for this demonstration\n', { mode: 0o600 });
    this.#name = name;
    this.#host = host;
    this.#env = { ...process.env, IPSECKIT_HOME: home };
  }

  ipsecpol(...args: string[]): Promise<void> {
    const quoted = args.map(arg => (/[^\w:/.+,-]/.test(arg) ? `'${arg}'` : arg));
    return this.#print(['ipsecpol', ...quoted].join(' '), 'ipsecpol', args);
  }

  netdiag(...args: string[]): Promise<void> {
    return this.#print(['netdiag', ...args].join(' '), 'netdiag', args);
  }

  start(program: string, ...args: string[]): ChildProcess {
    console.log(`${this.#name}# ${program} ${args.join(' ')}`);
    return this.#host.spawn(process.execPath, [join(programs, `${program}.js`), ...args], {
      env: this.#env,
      stdio: 'ignore',
    });
  }

  async waitForAgent(): Promise<void> {
    for (let attempt = 0; attempt < 40; attempt++) {
      if ((await this.#run('ipseckit', ['agent', 'status'])).status === 0) return;
      await sleep(100);
    }
    throw new Error(`the agent of ${this.#name} did not start`);
  }

  async #print(line: string, program: string, args: readonly string[]): Promise<void> {
    console.log(`${this.#name}# ${line}`);
    const result = await this.#run(program, args);
    process.stdout.write(result.stdout + result.stderr);
    if (result.status !== 0) throw new Error(`${program} ended with ${result.status}`);
  }

  #run(program: string, args: readonly string[]) {
    return this.#host.execute(process.execPath, [join(programs, `${program}.js`), ...args], {
      env: this.#env,
    });
  }
}

/** Captures what crosses a host's cable: one line a packet (`wire-watch.ts`). */
class WireWatch {
  readonly #child: ChildProcess;
  #text = '';

  constructor(host: Host) {
    this.#child = host.spawn(
      process.execPath,
      [fileURLToPath(new URL('wire-watch.js', import.meta.url)), 'eth0'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
    });
  }

  async ready(): Promise<void> {
    while (!this.#text.includes('watching') && this.#child.exitCode === null) await sleep(20);
  }

  async stop(): Promise<readonly string[]> {
    await stop(this.#child, 'SIGTERM');
    return this.#text.split('\n');
  }
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/** Debian packages of the programs the demonstration runs; root gets what is missing. */
function ensurePrograms(): void {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  const needed = { nft: 'nftables', ip: 'iproute2' };
  const missing = Object.entries(needed)
    .filter(
      ([program]) => spawnSync('sh', ['-c', `command -v ${program}`], { env: { PATH: path } }).status !== 0,
    )
    .map(([, debianPackage]) => debianPackage);
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) throw new Error(`these Debian packages are missing: ${missing.join(' ')}`);
  heading(`Installing ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  spawnSync('apt-get', ['update', '-q'], { stdio: 'inherit', env });
  if (spawnSync('apt-get', ['install', '-q', '-y', ...missing], { stdio: 'inherit', env }).status !== 0)
    throw new Error(`apt-get could not install ${missing.join(' ')}`);
}

function heading(text: string): void {
  console.log(`\n== ${text}`);
}

main().catch((error: unknown) => {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
