/** Running other programs from tests: one place that knows how to wait for them and how to show what they said. */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandResult } from '../support/namespaces.js';

export interface CommandOptions {
  readonly timeoutSeconds?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs a program to its end, however that is (status -1: killed). Rejects only when it cannot be started. */
export function attempt(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      {
        timeout: (options.timeoutSeconds ?? 60) * 1000,
        killSignal: 'SIGKILL',
        maxBuffer: 256 * 2 ** 20,
        env: { ...process.env, ...options.environment },
      },
      (error, stdout, stderr) => {
        if (error === null) resolve({ status: 0, stdout, stderr });
        else if (typeof error.code === 'string') reject(error);
        else resolve({ status: error.code ?? -1, stdout, stderr });
      },
    );
    child.stdin?.end();
  });
}

/** Runs a program that has to succeed; the error shows its command line and everything it said. */
export async function run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await attempt(argv, options);
  if (status !== 0) throw new Error(`${argv.join(' ')}: status ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** Polls until `condition` is true or has a value. */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutSeconds = 15,
): Promise<NonNullable<T>> {
  const deadlineMs = Date.now() + timeoutSeconds * 1000;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== null && value !== false) return value;
    if (Date.now() > deadlineMs) throw new Error(`waited ${timeoutSeconds} s for ${what}`);
    await sleep(50);
  }
}
