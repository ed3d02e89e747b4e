import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type {
  DriverEvent,
  DriverFilter,
  DriverStatistics,
  DropRecord,
  PairStatistics,
  SaPair,
  SoftSa,
  SoftSaStatistics,
} from '../../src/driver/api.js';
import { toHex } from '../../src/wire/bytes.js';
import type { LabHost } from '../lab/lab-host.js';
import type { DriverRequest, HexPair } from './driver-program.js';

/** What a driver counted. */
export interface DriverReport {
  readonly filters: readonly (readonly [filterId: string, packets: number])[];
  readonly driver: DriverStatistics;
  readonly pairs: readonly PairStatistics[];
  readonly recentDrops: readonly DropRecord[];
  /** Processor time its process has used. */
  readonly processorMs: number;
}

/** An error the driver refused a request with. */
export class DriverRefusal extends Error {
  readonly code: string | undefined;
  readonly next: string | undefined;

  constructor(error: { readonly message: string; readonly code?: string; readonly next?: string }) {
    super(error.message);
    this.code = error.code;
    this.next = error.next;
  }
}

/** A driver in a process of its own on a test host. */
export class DriverOnHost {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, lines: AsyncIterator<string>) {
    this.#child = child;
    this.#lines = lines;
  }

  /** Starts one; throws `DriverRefusal` when the driver cannot start. `nodeFlags` as for `node` itself. */
  static async start(
    host: LabHost,
    nodeFlags: readonly string[] = [],
    engine: 'userspace' | 'xfrm' = 'userspace',
  ): Promise<DriverOnHost> {
    const program = 'dist/test/support/driver-program.js';
    const child = host.spawn(process.execPath, [...nodeFlags, program, engine], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (child.stdout === null) throw new Error('no pipe');
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const driver = new DriverOnHost(child, lines);
    await driver.#reply();
    return driver;
  }

  async setFilters(filters: readonly DriverFilter[]): Promise<void> {
    await this.#ask({ kind: 'setFilters', filters });
  }

  /** Installs a pair, both directions. */
  async install(pair: SaPair): Promise<void> {
    const hexHalf = (half: SaPair['inbound'][number]) => ({
      ...half,
      encryptionKey: toHex(half.encryptionKey),
      integrityKey: toHex(half.integrityKey),
    });
    const hex: HexPair = {
      ...pair,
      inbound: pair.inbound.map(hexHalf),
      outbound: pair.outbound.map(hexHalf),
    };
    await this.#ask({ kind: 'install', pair: hex });
  }

  async remove(pairId: SaPair['id']): Promise<void> {
    await this.#ask({ kind: 'remove', pairId });
  }

  /** What IKE says when it gives up. */
  async negotiationFailed(filterId: SoftSa['filterId'], peer: SoftSa['peer']): Promise<void> {
    await this.#ask({ kind: 'negotiationFailed', soft: { filterId, peer } });
  }

  async addSoftSa(soft: SoftSa): Promise<void> {
    await this.#ask({ kind: 'addSoftSa', soft });
  }

  async removeSoftSa(soft: SoftSa): Promise<void> {
    await this.#ask({ kind: 'removeSoftSa', soft });
  }

  async softSaStatistics(): Promise<SoftSaStatistics[]> {
    return (await this.#ask({ kind: 'softSaStatistics' })) as SoftSaStatistics[];
  }

  async report(): Promise<DriverReport> {
    return (await this.#ask({ kind: 'statistics' })) as DriverReport;
  }

  /** Events since the last call. */
  async events(): Promise<DriverEvent[]> {
    return (await this.#ask({ kind: 'events' })) as DriverEvent[];
  }

  /** Stops the driver and ends its process. */
  async stop(): Promise<void> {
    await this.#ask({ kind: 'stop' });
    const gone = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await gone;
  }

  /** Ends the process with no chance to clean up. */
  async kill(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  async #ask(request: DriverRequest): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    return this.#reply();
  }

  async #reply(): Promise<unknown> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the driver program ended');
    const reply: {
      readonly result?: unknown;
      readonly error?: ConstructorParameters<typeof DriverRefusal>[0];
    } = JSON.parse(line.value);
    if (reply.error !== undefined) throw new DriverRefusal(reply.error);
    return reply.result;
  }
}
