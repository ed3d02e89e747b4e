/**
 * A Linux kernel with ESP and AH on a host that has neither: Debian's User Mode Linux, booted with the host's root
 * file system as its own. Inside it runs whatever is installed here: Node, strongSwan, iproute2, this project.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../support/namespaces.js';

const kernel = '/usr/bin/linux.uml';
const kernelModules = '/usr/lib/uml/modules';
const jobRoot = '/var/tmp';

export interface UmlOptions {
  /** The machine is killed after this time. */
  readonly timeoutSeconds: number;
  readonly memoryMegabytes?: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** Gets the machine's console as it comes. */
  readonly onOutput?: (text: string) => void;
  /** Where the machine's cables end: TAP devices of a host, inside they are eth0, eth1 … */
  readonly network?: { readonly host: Host; readonly taps: readonly string[] };
}

export interface UmlResult {
  /** The command's exit code; `undefined` when the machine died or was killed before it ended. */
  readonly exitCode: number | undefined;
  readonly timedOut: boolean;
  /** Kernel messages, stdout and stderr, interleaved. */
  readonly output: string;
}

/** Why no machine can be booted here, or `undefined` when one can. */
export function umlLacks(): string | undefined {
  if (!existsSync(kernel)) return `${kernel} is missing`;
  if (!existsSync(kernelModules)) return `${kernelModules} is missing`;
  return undefined;
}

/** A machine that was started. */
export interface RunningUml {
  /** Settles when the machine is off. */
  readonly ended: Promise<UmlResult>;
  /** Switches the machine off at once. */
  kill(): void;
}

/**
 * Boots a machine, runs `command` in it as root with the repository as its working directory, and halts it. Files
 * written outside /run and /dev are the host's. A boot takes about four seconds, a `node` in it two more.
 */
export function runInUml(command: readonly string[], options: UmlOptions): Promise<UmlResult> {
  return startUml(command, options).ended;
}

/** Like `runInUml`, for a machine that is switched off from here. */
export function startUml(command: readonly string[], options: UmlOptions): RunningUml {
  const job = prepareJob(command, options.environment ?? {});
  const child = boot(job, options);
  return { ended: outcome(job, child, options), kill: () => child.kill('SIGKILL') };
}

async function outcome(job: string, child: ChildProcess, options: UmlOptions): Promise<UmlResult> {
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, options.timeoutSeconds * 1000);
  let output = '';
  const take = (chunk: Buffer) => {
    const text = chunk.toString('utf8').replaceAll('\r\n', '\n');
    output += text;
    options.onOutput?.(text);
  };
  child.stdout?.on('data', take);
  child.stderr?.on('data', take);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => resolve());
    });
    const status = join(job, 'status');
    const exitCode = existsSync(status) ? Number(readFileSync(status, 'utf8')) : undefined;
    return { exitCode: timedOut ? undefined : exitCode, timedOut, output };
  } finally {
    clearTimeout(timer);
    rmSync(job, { recursive: true, force: true });
  }
}

function prepareJob(command: readonly string[], environment: Readonly<Record<string, string>>): string {
  const job = mkdtempSync(join(jobRoot, 'ipseckit-uml-'));
  const [version] = readdirSync(kernelModules);
  if (version === undefined) throw new Error(`${kernelModules} holds no kernel's modules`);
  mkdirSync(join(job, 'lib/modules'), { recursive: true });
  symlinkSync(join(kernelModules, version), join(job, 'lib/modules', version));
  for (const script of ['init.sh', 'modprobe']) {
    copyFileSync(join('test/lab/uml', script), join(job, script));
    chmodSync(join(job, script), 0o755);
  }
  const exports = Object.entries(environment).map(([name, value]) => `export ${name}=${quote(value)}\n`);
  writeFileSync(
    join(job, 'command.sh'),
    `cd ${quote(process.cwd())}\n${exports.join('')}exec ${command.map(quote).join(' ')}\n`,
  );
  return job;
}

function boot(job: string, options: UmlOptions): ChildProcess {
  const memory = options.memoryMegabytes ?? 1024;
  const { network } = options;
  // Each process inside is one of the host: a process namespace takes them all down with the first, which dies with us.
  const argv = [
    ...[
      'setpriv',
      '--pdeathsig',
      'KILL',
      'unshare',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      kernel,
    ],
    `mem=${memory}M`,
    'rootfstype=hostfs',
    'rootflags=/',
    'rw',
    `init=${join(job, 'init.sh')}`,
    `uml_dir=${job}/`,
    'con=null',
    'con0=fd:0,fd:1',
    ...(network?.taps ?? []).map((tap, index) => `eth${index}=tuntap,${tap}`),
    'quiet',
  ] as const;
  const [program, ...args] = argv;
  const settings: SpawnOptions = {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...memoryFolder(job, memory) },
  };
  return network === undefined ? spawn(program, args, settings) : network.host.spawn(program, args, settings);
}

/** The machine's memory is a file, by default in /dev/shm, which containers keep small. */
function memoryFolder(job: string, memoryMegabytes: number): { TMPDIR?: string } {
  const shm = existsSync('/dev/shm') ? statfsSync('/dev/shm') : undefined;
  const free = shm === undefined ? 0 : shm.bavail * shm.bsize;
  return { TMPDIR: free > memoryMegabytes * 2 ** 20 ? '/dev/shm' : job };
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
