import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { Agent, type AgentEvent, type PromptAnswers } from '../agent/agent.js';
import { systemClock } from '../agent/clock.js';
import { CrlFetcher } from '../agent/crl-fetcher.js';
import { localAddresses } from '../agent/local-addresses.js';
import { bringUp, bringUpAnew, type Patience } from '../agent/one-shot.js';
import type { TunnelSpec } from '../agent/tunnel.js';
import type { Driver } from '../driver/api.js';
import type { IkeOptions, UserPrompt } from '../ike/api.js';
import type { QuickModeInfo } from '../ike/info.js';
import { IpseckitError } from '../report/errors.js';
import type { Configuration } from '../wire/isakmp/transaction.js';

/** A connection of this process's own: up until `close`. */
export interface OneShotTunnel {
  readonly quickModes: readonly QuickModeInfo[];
  /** What the gateway has given this host. */
  readonly configuration?: Configuration;
  /** Deletes the SAs at the peer and leaves nothing behind. */
  close(): Promise<void>;
}

/**
 * Brings a tunnel up inside this process, without a daemon. Whatever goes wrong, nothing stays behind. Throws
 * `NegotiationError` or `IpseckitError`.
 */
export async function openOneShot(
  tunnel: TunnelSpec,
  options: {
    readonly driver: Driver;
    readonly patience: Patience;
    readonly ike: IkeOptions;
    onEvent(event: AgentEvent): void;
    /** The engine runs, and nothing has been sent yet. */
    onStarted?(): void;
    /** Asks the user what the gateway wants to know. */
    prompt(prompt: UserPrompt): Promise<PromptAnswers | undefined>;
  },
): Promise<OneShotTunnel> {
  const crls = new CrlFetcher({ nowMs: Date.now });
  const agent = new Agent({
    driver: options.driver,
    clock: systemClock,
    random: randomBytes,
    localAddresses,
    fetchCrls: urls => crls.fetch(urls),
    ike: options.ike,
    onEvent: event => {
      if (event.kind === 'reconfigured') rebuild(event.configuration);
      options.onEvent(event);
    },
    prompt: options.prompt,
  });
  const rebuild = (configuration: Configuration) => {
    const { timeoutMs } = options.patience;
    bringUpAnew(agent, tunnel, configuration, { timeoutMs }).catch((error: Error) =>
      options.onEvent({ kind: 'error', error }),
    );
  };
  try {
    await agent.start();
    options.onStarted?.();
    const { pairs, tunnel: up } = await bringUp(agent, tunnel, options.patience);
    return {
      quickModes: agent.quickModes().filter(({ pair }) => pairs.includes(pair.id)),
      ...(up.configuration === undefined ? {} : { configuration: up.configuration }),
      close: () => agent.stop('the tunnel was taken down'),
    };
  } catch (error) {
    await agent.stop('the tunnel did not come up');
    throw error;
  }
}

/** Runs a command to its end with our own terminal; its exit code, or 128 and the signal's number as a shell has it. */
export function runCommand(command: readonly string[]): Promise<number> {
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit' });
    // Ctrl-C reaches the command from the terminal itself; SIGTERM has to be handed on.
    const forward = () => child.kill('SIGTERM');
    process.on('SIGTERM', forward);
    const done = () => process.off('SIGTERM', forward);
    child.once('error', error => {
      done();
      reject(
        new IpseckitError('USAGE', `the command "${program}" cannot be run: ${error.message}`, {
          next: 'check its name; the connection is taken down again',
        }),
      );
    });
    child.once('exit', (code, signal) => {
      done();
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

/** Aborts on the first SIGINT, SIGTERM or SIGHUP, which then do not end the process. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => controller.abort());
  return controller.signal;
}

/** Resolves once `signal` is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }));
}
