/** Traffic between two hosts, and what became of it. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from './command.js';
import type { LabHost } from './lab-host.js';

export interface PingResult {
  readonly sent: number;
  readonly received: number;
}

/**
 * Pings `address` from `host`; never throws for lost packets. Waits `waitSeconds` for each answer, 5 unless said otherwise.
 * Several are a program each: one that sends several gives up on the last as soon as a busy
 * machine makes it late.
 */
export async function ping(
  host: LabHost,
  address: string,
  options: {
    readonly count: number;
    readonly intervalSeconds?: number;
    readonly bytes?: number;
    readonly waitSeconds?: number;
  },
): Promise<PingResult> {
  const { count, intervalSeconds = 0.2, bytes, waitSeconds = 5 } = options;
  const once = ['ping', '-n', '-q', '-c', '1', '-W', String(waitSeconds)];
  if (bytes !== undefined) once.push('-s', String(bytes));
  const several = `for i in $(seq ${count}); do [ $i = 1 ] || sleep ${intervalSeconds}; "$@" & done; wait`;
  const [program = '', ...args] = count === 1 ? once : ['sh', '-c', several, 'sh', ...once];
  const result = await host.execute(program, [...args, address], {
    timeoutMs: (count * intervalSeconds + waitSeconds + 20) * 1000,
  });
  const answers = [...result.stdout.matchAll(/1 packets transmitted, ([01]) received/g)];
  if (answers.length !== count) throw new Error(`ping said: ${result.stdout}${result.stderr}`);
  return { sent: count, received: answers.filter(([, received]) => received === '1').length };
}

/** Sent behind what counts: with any answer missing, ping waits for its last ones hardly longer than an interval. */
const trailingSeconds = 1;

/**
 * One ping after the other, `count` of them, without the cost of a program each. A second's worth of further ones follows,
 * which do not count: those before have that long to be answered.
 */
export async function pingSteadily(
  host: LabHost,
  address: string,
  options: { readonly count: number; readonly intervalSeconds: number; readonly bytes?: number },
): Promise<PingResult> {
  const { count, intervalSeconds, bytes = 56 } = options;
  const all = count + Math.ceil(trailingSeconds / intervalSeconds);
  const args = ['-n', '-c', String(all), '-i', String(intervalSeconds), '-W', '5', '-s', String(bytes)];
  const { stdout, stderr } = await host.execute('ping', [...args, address], {
    timeoutMs: (all * intervalSeconds + 25) * 1000,
  });
  if (!stdout.includes(`${all} packets transmitted`)) throw new Error(`ping said: ${stdout}${stderr}`);
  const answered = [...answeredIn(stdout)].filter(number => number <= count);
  return { sent: count, received: answered.length };
}

/** Numbers, from 1, of the pings that were answered, by what ping printed of each. */
function answeredIn(said: string): Set<number> {
  return new Set([...said.matchAll(/ icmp_seq=(\d+) ttl=/g)].map(([, number]) => Number(number)));
}

interface StreamResult {
  readonly sent: number;
  readonly lost: readonly number[];
}

/** Fifty pings a second until it is stopped. */
export class PingStream {
  readonly #child: ChildProcess;
  #said = '';
  #ended: Promise<StreamResult> | undefined;

  constructor(host: LabHost, address: string) {
    this.#child = host.spawn('ping', ['-n', '-i', '0.02', address], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
  }

  /**
   * Ends it. `lost` are the numbers, from 1, of those that were not answered; what was sent after it was
   * to stop does not count, as long as answers come.
   */
  stop(): Promise<StreamResult> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<StreamResult> {
    const upTo = this.#lastAnswered();
    const deadlineMs = Date.now() + 5_000;
    while (this.#lastAnswered() < upTo + 10 && this.#child.exitCode === null && Date.now() < deadlineMs)
      await sleep(20);
    const flows = this.#lastAnswered() >= upTo + 10;
    if (this.#child.kill('SIGINT')) await once(this.#child, 'close');
    const sent = Number(/(\d+) packets transmitted/.exec(this.#said)?.[1]);
    const answered = answeredIn(this.#said);
    const numbers = Array.from({ length: flows ? upTo : sent }, (_, index) => index + 1);
    return { sent, lost: numbers.filter(number => !answered.has(number)) };
  }

  #lastAnswered(): number {
    return Math.max(0, ...answeredIn(this.#said));
  }
}

/** Whether a TCP port where nobody listens answers; what is dropped on the way does not. */
export async function answersTcp(client: LabHost, address: string, port: number): Promise<boolean> {
  const connect = `exec 3<>/dev/tcp/${address}/${port}`;
  const { stdout, stderr } = await client.execute('timeout', ['2', 'bash', '-c', connect], {});
  return `${stdout}${stderr}`.includes('refused');
}

const receiver = `
const hash = require('node:crypto').createHash('sha256');
require('node:net').createServer(socket => {
  socket.on('data', chunk => hash.update(chunk));
  socket.on('end', () => socket.end(hash.digest('hex'), () => process.exit(0)));
}).listen(Number(process.argv[1]), '::', () => console.log('listening'));`;

const sender = `
const [address, port, bytes] = process.argv.slice(1);
const data = require('node:crypto').randomBytes(Number(bytes));
const socket = require('node:net').connect(Number(port), address, () => socket.end(data));
let answer = '';
socket.setEncoding('utf8').on('data', text => (answer += text));
socket.on('end', () => {
  const sent = require('node:crypto').createHash('sha256').update(data).digest('hex');
  console.log(answer === sent ? 'same' : 'different: ' + answer);
});`;

/** Sends random bytes in one TCP connection; throws unless the very same bytes arrive and the answer comes back. */
export async function transfer(
  client: LabHost,
  server: LabHost,
  address: string,
  options: { readonly bytes: number; readonly port?: number; readonly timeoutSeconds?: number },
): Promise<void> {
  const port = String(options.port ?? 7000);
  const listener = server.spawn(process.execPath, ['-e', receiver, port], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    if (listener.stdout === null) throw new Error('the receiver has no output');
    await once(listener.stdout, 'data');
    const { status, stdout, stderr } = await client.execute(
      process.execPath,
      ['-e', sender, address, port, String(options.bytes)],
      { timeoutMs: (options.timeoutSeconds ?? 30) * 1000 },
    );
    if (stdout.trim() === 'same') return;
    const said = status === -1 ? 'not finished in time' : stdout + stderr;
    throw new Error(`TCP from ${client.name} to ${address}:${port}: ${said}`);
  } finally {
    listener.kill('SIGKILL');
  }
}

/** Sends TCP as fast as it goes to an iperf3 server started on `server`; Mbit/s as received there. */
export async function throughput(
  client: LabHost,
  server: LabHost,
  address: string,
  options: { readonly seconds: number; readonly port?: number },
): Promise<number> {
  const port = String(options.port ?? 5201);
  const listener = server.spawn('iperf3', ['--server', '--one-off', '--port', port], { stdio: 'ignore' });
  try {
    await waitFor('iperf3 to listen', () => server.run('ss', '-Hltn', 'sport', '=', port).includes('LISTEN'));
    const { stdout, stderr } = await client.execute(
      'iperf3',
      [
        '--client',
        address,
        '--port',
        port,
        '--json',
        '--connect-timeout',
        '5000',
        '--time',
        String(options.seconds),
      ],
      { timeoutMs: (options.seconds + 30) * 1000 },
    );
    const report: { error?: string; end?: { sum_received?: { bits_per_second: number } } } = JSON.parse(
      stdout || '{}',
    );
    const received = report.end?.sum_received;
    if (report.error !== undefined || received === undefined) {
      throw new Error(`iperf3 to ${address}: ${report.error ?? stderr}`);
    }
    return received.bits_per_second / 1e6;
  } finally {
    listener.kill('SIGKILL');
  }
}
