import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { callAgent } from '../../src/agent/control/client.js';
import type { ControlMethod, ControlMethods } from '../../src/agent/control/protocol.js';
import { controlSocketPath } from '../../src/agent/paths.js';
import type { TunnelDocument, TunnelInfo } from '../../src/agent/tunnel.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import type { CommandResult, Host } from './namespaces.js';

/** A real `ipseckit agent run` on a host of the lab, with a home of its own that goes with it. */
export class AgentOnHost {
  readonly home: string;
  readonly #host: Host;
  readonly #args: readonly string[];
  #child: ChildProcess;
  #log = '';

  private constructor(host: Host, home: string, args: readonly string[]) {
    this.home = home;
    this.#host = host;
    this.#args = args;
    this.#child = this.#spawn();
  }

  /**
   * Starts an agent and waits until it answers. Throws with its own words when it does not. Its engine, and that of
   * `tunnel up` with its home, is `userspace` unless said otherwise, whatever this kernel can.
   */
  static async start(
    host: Host,
    options: {
      readonly args?: readonly string[];
      readonly settings?: object;
      readonly engine?: 'userspace' | 'xfrm';
    } = {},
  ): Promise<AgentOnHost> {
    const home = mkdtempSync(join(tmpdir(), 'ipseckit-agent-'));
    mkdirSync(join(home, 'run'), { mode: 0o700 });
    const settings = { driver: options.engine ?? 'userspace', ...options.settings };
    writeFileSync(join(home, 'settings.json'), JSON.stringify(settings));
    const agent = new AgentOnHost(host, home, options.args ?? []);
    await agent.#ready();
    return agent;
  }

  /** Ends it and starts another with the same home. */
  async restart(): Promise<void> {
    await this.stop();
    this.#log = '';
    this.#child = this.#spawn();
    await this.#ready();
  }

  #spawn(): ChildProcess {
    const args = [resolve('bin/ipseckit.js'), 'agent', 'run', ...this.#args];
    const child = this.#host.spawn(process.execPath, args, {
      env: { ...process.env, IPSECKIT_HOME: this.home },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    return child;
  }

  async #ready(): Promise<void> {
    while (!this.#log.includes('The policy agent runs')) {
      const child = this.#child;
      const ended = child.exitCode !== null || child.signalCode !== null;
      if (ended) throw new Error(`the agent on ${this.#host.name} ended: ${this.#log}`);
      await Promise.race([once(child.stderr ?? child, 'data'), once(child, 'exit')]);
    }
  }

  /** What it printed so far. */
  get log(): string {
    return this.#log;
  }

  get processId(): number {
    return this.#child.pid ?? 0;
  }

  call<M extends ControlMethod>(
    method: M,
    params: ControlMethods[M]['params'],
    timeoutMs = 60_000,
  ): Promise<ControlMethods[M]['result']> {
    const path = controlSocketPath(ipseckitHome({ IPSECKIT_HOME: this.home }));
    return callAgent(path, method, params, { timeoutMs });
  }

  /** Brings up a persistent tunnel; the rest of the document has its defaults. */
  tunnelUp(tunnel: Omit<TunnelDocument, 'format' | 'version'>, timeoutMs = 60_000): Promise<TunnelInfo> {
    return this.call('tunnelUp', { tunnel: { format: 'ipseckit-tunnel', version: 1, ...tunnel } }, timeoutMs);
  }

  /** Runs one of our programs on the host with this agent's home. */
  command(program: 'ipseckit' | 'ipsecpol' | 'netdiag', ...args: readonly string[]): Promise<CommandResult> {
    return this.#host.execute(process.execPath, [resolve(`bin/${program}.js`), ...args], {
      env: { ...process.env, IPSECKIT_HOME: this.home },
      timeoutMs: 60_000,
    });
  }

  /** Ends it with SIGTERM (or as asked) and waits. The home stays until `remove`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill(signal);
    await gone;
  }

  /** Stops it and removes its home. */
  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.home, { recursive: true, force: true });
  }
}
