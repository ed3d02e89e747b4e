/** Records what crosses an interface, from the first packet after `capture` returns to the last before `stop`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../support/namespaces.js';

export interface Capture {
  readonly file: string;
  /** Ends the recording; the file is whole when it returns. */
  stop(): Promise<void>;
}

/** Starts tcpdump on a device of a host. `file` should end in `.pcap`. */
export async function capture(host: Host, device: string, file: string, filter = ''): Promise<Capture> {
  const child = host.spawn(
    'tcpdump',
    [
      ...['-i', device, '-w', file],
      ...[
        '-U',
        '--immediate-mode',
        '-n',
        '-s',
        '2048',
        '-B',
        '4096',
        '-Z',
        'root',
        ...(filter === '' ? [] : [filter]),
      ],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()));
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
      if (said.includes('listening on')) resolve();
    });
    child.once('error', reject);
    child.once('exit', code => reject(new Error(`tcpdump ended with ${code}: ${said}`)));
  });
  return {
    file,
    async stop() {
      // tcpdump takes packets from the kernel in blocks: let the last one arrive.
      await sleep(200);
      child.kill('SIGINT');
      await ended;
    },
  };
}
