/**
 * Hosts for tests: network namespaces on this machine, joined by veth cables. A host is kept alive by one child
 * process that reads a pipe of ours, and everything started on it dies with us, so nothing outlives the test
 * run, not even one that was killed. Works as root, and as any user inside `runAsNamespaceRoot`.
 */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';

/** What a finished command said. */
export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A network namespace (with a mount namespace of its own) that plays a host. */
export interface Host {
  readonly name: string;
  /** A process in the namespace: `nsenter --target <pid> --net --mount` gets into it. */
  readonly pid: number;
  /** Runs a command to its end and returns its output; throws with its error output when it fails. */
  run(command: string, ...args: string[]): string;
  /** Runs a command to its end without blocking this process; never throws for a failing command. */
  execute(
    command: string,
    args: readonly string[],
    options?: { readonly timeoutMs?: number; readonly env?: NodeJS.ProcessEnv },
  ): Promise<CommandResult>;
  /** Starts a command. The child's pid is the command's own; it is killed when this process dies. */
  spawn(command: string, args: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Connects to a Unix socket of the host; rejects when nobody listens. */
  connect(path: string): Promise<Duplex>;
  /** Kills every process on the host and lets the namespace vanish. */
  destroy(): Promise<void>;
}

/** One end of a cable: `address` with its prefix length, `10.0.0.1/24`. */
export interface CableEnd {
  readonly host: Host;
  readonly device: string;
  readonly addresses: readonly string[];
}

/** Two hosts on one cable, each with the device `eth0`. */
export interface HostPair {
  readonly a: Host;
  readonly b: Host;
  destroy(): Promise<void>;
}

/** `ip` and `nft` live in sbin folders that an ordinary user's PATH lacks. */
const path = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

/** Whether this process may make network namespaces: root of the machine, or of a user namespace. */
export function canMakeNamespaces(): boolean {
  return spawnSync('unshare', ['--net', '--mount', 'true'], { stdio: 'ignore' }).status === 0;
}

/**
 * Makes sure the running program may make namespaces: returns when it may, otherwise runs the whole program
 * again as root of a new user namespace and exits with its status. Returns `false` where that is not allowed
 * either.
 */
export function runAsNamespaceRoot(): boolean {
  if (canMakeNamespaces()) return true;
  const unshare = ['--user', '--map-root-user', '--net', '--mount'];
  if (spawnSync('unshare', [...unshare, 'true'], { stdio: 'ignore' }).status !== 0) return false;
  const program = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const again = spawnSync('unshare', [...unshare, ...program], { stdio: 'inherit' });
  process.exit(again.status ?? 1);
}

/** Makes a host with a working loopback device and no cable. */
export async function createHost(name: string): Promise<Host> {
  const setup = 'ip link set lo up && mount -t sysfs none /sys 2>/dev/null; echo ready; exec cat';
  const keeper = spawn('unshare', ['--net', '--mount', 'sh', '-c', setup], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PATH: path },
  });
  const { pid } = keeper;
  if (pid === undefined) throw new Error(`cannot start unshare for the host ${name}`);
  await once(keeper.stdout, 'data');
  return new NamespaceHost(name, pid, keeper);
}

/** Joins two hosts with a veth cable and brings both ends up. */
export function joinHosts(one: CableEnd, other: CableEnd, options: { readonly mtu?: number } = {}): void {
  const mtu = String(options.mtu ?? 1500);
  one.host.run(
    ...(['ip', 'link', 'add', 'name', one.device, 'mtu', mtu, 'type', 'veth'] as const),
    ...['peer', 'name', other.device, 'mtu', mtu, 'netns', String(other.host.pid)],
  );
  for (const { host, device, addresses } of [one, other]) {
    for (const address of addresses) host.run('ip', 'address', 'add', address, 'dev', device, 'nodad');
    host.run('ip', 'link', 'set', 'dev', device, 'up');
  }
}

/** Two hosts, `10.66.0.1` and `10.66.0.2` unless said otherwise, joined by one cable. */
export async function createPair(
  options: {
    readonly prefix?: string;
    readonly a?: readonly string[];
    readonly b?: readonly string[];
    readonly mtu?: number;
  } = {},
): Promise<HostPair> {
  const prefix = options.prefix ?? 'host';
  const a = await createHost(`${prefix}-a`);
  const b = await createHost(`${prefix}-b`);
  joinHosts(
    { host: a, device: 'eth0', addresses: options.a ?? ['10.66.0.1/24'] },
    { host: b, device: 'eth0', addresses: options.b ?? ['10.66.0.2/24'] },
    options.mtu === undefined ? {} : { mtu: options.mtu },
  );
  return {
    a,
    b,
    destroy: async () => {
      await Promise.all([a.destroy(), b.destroy()]);
    },
  };
}

class NamespaceHost implements Host {
  readonly name: string;
  readonly pid: number;
  readonly #keeper: ChildProcess;
  readonly #namespace: string;

  constructor(name: string, pid: number, keeper: ChildProcess) {
    this.name = name;
    this.pid = pid;
    this.#keeper = keeper;
    this.#namespace = readlinkSync(`/proc/${pid}/ns/net`);
  }

  run(command: string, ...args: string[]): string {
    const [program, ...rest] = this.#enter(command, args);
    const result = spawnSync(program, rest, { encoding: 'utf8', env: { ...process.env, PATH: path } });
    if (result.status === 0) return result.stdout;
    const said = result.error?.message ?? result.stderr.trim();
    throw new Error(`${this.name}: ${[command, ...args].join(' ')}: status ${result.status}: ${said}`);
  }

  async execute(
    command: string,
    args: readonly string[],
    options: { readonly timeoutMs?: number; readonly env?: NodeJS.ProcessEnv } = {},
  ): Promise<CommandResult> {
    const child = this.spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.env === undefined ? {} : { env: { ...process.env, PATH: path, ...options.env } }),
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    });
    const output = { stdout: '', stderr: '' };
    child.stdout?.setEncoding('utf8').on('data', text => {
      output.stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', text => {
      output.stderr += text;
    });
    await once(child, 'close');
    return { status: child.exitCode ?? -1, ...output };
  }

  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const [program, ...rest] = this.#enter(command, args);
    return spawn(program, rest, { env: { ...process.env, PATH: path }, ...options });
  }

  async connect(path: string): Promise<Duplex> {
    const socket = createConnection(path);
    await once(socket, 'connect');
    return socket;
  }

  async destroy(): Promise<void> {
    if (this.#keeper.exitCode !== null || this.#keeper.signalCode !== null) return;
    for (const pid of this.#processes()) if (pid !== this.pid) kill(pid);
    const gone = once(this.#keeper, 'exit');
    this.#keeper.kill('SIGKILL');
    await gone;
  }

  /** nsenter and setpriv both become the command by exec, so that the pid we know is the command's. */
  #enter(command: string, args: readonly string[]): [string, ...string[]] {
    const target = ['--target', String(this.pid), '--net', '--mount', '--wd=.'];
    return ['nsenter', ...target, 'setpriv', '--pdeathsig', 'KILL', command, ...args];
  }

  #processes(): number[] {
    return readdirSync('/proc')
      .filter(entry => /^\d+$/.test(entry))
      .map(Number)
      .filter(pid => {
        try {
          return readlinkSync(`/proc/${pid}/ns/net`) === this.#namespace;
        } catch {
          return false; // It ended meanwhile, or is not ours to look at.
        }
      });
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}
