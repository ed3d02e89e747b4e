/** A User Mode Linux machine as a host next to one of ours: what runs on ours meets a kernel with ESP and AH. */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { createHost, type Host } from '../support/namespaces.js';
import type { LabHost } from './lab-host.js';
import { type RunningUml, startUml } from './uml.js';

/** A host of ours and a machine, joined by a cable: `tap0` here is `eth0` there. A second one is for orders only. */
export interface UmlPair {
  readonly ours: Host;
  readonly theirs: LabHost;
  /** The machine's console, to be shown when something went wrong. */
  console(): string;
  destroy(): Promise<void>;
}

const orders = { ours: '192.168.255.1', machine: '192.168.255.2' } as const;

/** Boots a machine. Addresses with prefix lengths: `10.66.0.1/24`. */
export async function bootUmlPair(options: {
  readonly prefix: string;
  readonly ours: readonly string[];
  readonly theirs: readonly string[];
  readonly timeoutSeconds: number;
}): Promise<UmlPair> {
  const ours = await createHost(`${options.prefix}-ours`);
  try {
    addTap(ours, 'tap0', options.ours);
    addTap(ours, 'tap1', [`${orders.ours}/24`]);
    const setUp = [
      ...deviceUp('eth0', options.theirs),
      ...deviceUp('eth1', [`${orders.machine}/24`]),
      `exec ${process.execPath} dist/test/lab/uml/remote-shell.js ${orders.machine}`,
    ].join(' && ');
    const { output, uml } = await untilReady(ours, setUp, options.timeoutSeconds);
    return {
      ours,
      theirs: new UmlHost(`${options.prefix}-machine`, ours),
      console: output,
      destroy: async () => {
        uml.kill();
        await uml.ended;
        await ours.destroy();
      },
    };
  } catch (error) {
    await ours.destroy();
    throw error;
  }
}

function addTap(host: Host, device: string, addresses: readonly string[]): void {
  host.run('ip', 'tuntap', 'add', device, 'mode', 'tap');
  for (const address of addresses)
    host.run('ip', 'address', 'add', address, 'dev', device, ...ready(address));
  host.run('ip', 'link', 'set', device, 'up');
}

function deviceUp(device: string, addresses: readonly string[]): string[] {
  const add = (address: string) => ['ip address add', address, 'dev', device, ...ready(address)].join(' ');
  return [...addresses.map(add), `ip link set ${device} up`];
}

/** An IPv6 address is of use at once only if nobody asks whether another host has it. */
const ready = (address: string) => (address.includes(':') ? ['nodad'] : []);

async function untilReady(
  host: Host,
  setUp: string,
  timeoutSeconds: number,
): Promise<{ output: () => string; uml: RunningUml }> {
  let output = '';
  let ready = () => {};
  const isReady = new Promise<void>(resolve => {
    ready = resolve;
  });
  const uml = startUml(['sh', '-c', setUp], {
    timeoutSeconds,
    memoryMegabytes: 512,
    network: { host, taps: ['tap0', 'tap1'] },
    onOutput: text => {
      output += text;
      if (process.env.LAB_VERBOSE === '1') process.stderr.write(text);
      if (output.includes('remote shell ready')) ready();
    },
  });
  const died = uml.ended.then(() => {
    throw new Error(`the machine went down:\n${output}`);
  });
  await Promise.race([isReady, died]);
  died.catch(() => {}); // Later on it goes down because it is told to.
  return { output: () => output, uml };
}

/** Programs on the machine, each through a client on the host that it is joined with. */
class UmlHost implements LabHost {
  readonly name: string;
  readonly #ours: Host;

  constructor(name: string, ours: Host) {
    this.name = name;
    this.#ours = ours;
  }

  run(command: string, ...args: string[]): string {
    return this.#ours.run(process.execPath, ...client('run', command, ...args));
  }

  execute(command: string, args: readonly string[], options: { readonly timeoutMs?: number } = {}) {
    return this.#ours.execute(process.execPath, client('run', command, ...args), options);
  }

  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return this.#ours.spawn(process.execPath, client('run', command, ...args), options);
  }

  async connect(path: string): Promise<Duplex> {
    const child = this.#ours.spawn(process.execPath, client('connect', path), { stdio: 'pipe' });
    const { stdin, stdout, stderr } = child;
    if (stdin === null || stdout === null || stderr === null) throw new Error('no pipes');
    const failed = once(child, 'exit').then(() => {
      throw new Error(`${this.name}: nobody listens on ${path}`);
    });
    await Promise.race([once(stderr, 'data'), failed]);
    failed.catch(() => {}); // The end of a connection that was there.
    return Duplex.from({ readable: stdout, writable: stdin });
  }
}

function client(...args: readonly string[]): string[] {
  return ['dist/test/lab/uml/remote-client.js', orders.machine, ...args];
}
