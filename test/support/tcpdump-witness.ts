import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CableWitness } from './driver-behaviour.js';
import type { Host, HostPair } from './namespaces.js';

/** First fragments and whole packets; ARP, and what IPv6 has for the like, are of no interest. */
const everything = [
  'ip and ip[6:2] & 0x1fff = 0',
  [
    'ip6 and not src net fe80::/10 and not dst net ff00::/8',
    'not (ip6[6] = 44 and ip6[42:2] & 0xfff8 != 0)',
    'not (ip6[6] = 58 and ip6[40] >= 133 and ip6[40] <= 137)',
  ].join(' and '),
]
  .map(part => `(${part})`)
  .join(' or ');
const secured = /: (frag \(0\|\d+\) )?(ESP|AH)\(|UDP-encap: ESP\(/;

/**
 * Counts what both hosts put on their cable, by tcpdump. Unlike a counter where packets arrive it is not fooled by a
 * kernel that shows opened packets as if they had arrived so.
 */
export class TcpdumpWitness implements CableWitness {
  readonly #children: ChildProcess[] = [];
  #counts = { secured: 0, clear: 0 };

  /** `filter`: which packets count, in tcpdump's words; all when absent. */
  static async on({ a, b }: Pick<HostPair, 'a' | 'b'>, filter: string = everything): Promise<TcpdumpWitness> {
    const witness = new TcpdumpWitness();
    await Promise.all([witness.#watch(a, filter), witness.#watch(b, filter)]);
    return witness;
  }

  async take(atLeast = 0): Promise<{ readonly secured: number; readonly clear: number }> {
    // tcpdump is another process, and the machine may be slow.
    for (let waitedMs = 0; waitedMs < 10_000 && this.#counts.secured < atLeast; waitedMs += 50)
      await sleep(50);
    await sleep(100);
    const counts = this.#counts;
    this.#counts = { secured: 0, clear: 0 };
    return counts;
  }

  async stop(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
  }

  async #watch(host: Host, filter: string): Promise<void> {
    const args = ['-i', 'eth0', '-Q', 'out', '-l', '-n', '--immediate-mode', '-Z', 'root', filter];
    const child = host.spawn('tcpdump', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.push(child);
    if (child.stdout === null || child.stderr === null) throw new Error('no pipes');
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#counts[secured.test(line) ? 'secured' : 'clear']++;
      if (process.env.LAB_VERBOSE === '1')
        for (const line of lines) if (!secured.test(line)) process.stderr.write(`clear: ${line}\n`);
    });
    child.stderr.resume();
    await once(child.stderr, 'data');
  }
}
