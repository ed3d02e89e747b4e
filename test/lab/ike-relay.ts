/** A cable between two hosts that can hold back what IKE sends, so that messages of both sides truly cross. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { exchangeTypes } from '../../src/wire/isakmp/numbers.js';
import type { CableEnd } from '../support/namespaces.js';
import { waitFor } from './command.js';

export type RelayEnd = 'one' | 'other';

export class IkeRelay {
  readonly #child: ChildProcess;
  #told = '';
  #heldFrom = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#told += text;
    });
  }

  /** Joins two hosts, as `joinHosts` does. */
  static async join(one: CableEnd, other: CableEnd): Promise<IkeRelay> {
    const ends = [one, other].flatMap(({ host, device }) => [String(host.pid), device]);
    const child = spawn('python3', ['test/lab/ike-relay.py', ...ends], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const relay = new IkeRelay(child);
    while (!relay.#told.includes('ready\n')) {
      if (child.exitCode !== null) throw new Error(`the relay ended with ${child.exitCode}`);
      await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    }
    for (const { host, device, addresses } of [one, other]) {
      for (const address of addresses) host.run('ip', 'address', 'add', address, 'dev', device, 'nodad');
      host.run('ip', 'link', 'set', 'dev', device, 'up');
    }
    return relay;
  }

  /** Holds back every IKE message from now on. */
  async hold(): Promise<void> {
    this.#heldFrom = this.#told.length;
    this.#order('hold');
    await waitFor('the relay to hold', () => this.#told.includes('holding\n', this.#heldFrom));
  }

  /** How many messages of an exchange `end` has sent since `hold`. */
  held(end: RelayEnd, exchange: keyof typeof exchangeTypes): number {
    const line = `held ${end} ${exchangeTypes[exchange]}`;
    return this.#told
      .slice(this.#heldFrom)
      .split('\n')
      .filter(told => told === line).length;
  }

  async untilHeld(end: RelayEnd, exchange: keyof typeof exchangeTypes, count = 1): Promise<void> {
    await waitFor(`${end} to send ${exchange}`, () => this.held(end, exchange) >= count);
  }

  /** Delivers the first message held back of an end. */
  next(end: RelayEnd): void {
    this.#order(`next ${end}`);
  }

  /** Delivers everything held back, in the order in which it was sent, and holds nothing more. */
  release(): void {
    this.#order('release');
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await gone;
  }

  #order(words: string): void {
    this.#child.stdin?.write(`${words}\n`);
  }
}
