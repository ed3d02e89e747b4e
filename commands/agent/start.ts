import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentStatus } from '../../src/agent/control/protocol.js';
import { agentCallIfRunning } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { driverFlag } from '../../src/cli/driver.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import { type ErrorCode, errorClasses, IpseckitError } from '../../src/report/errors.js';

/** Reading the policy may take that long: a directory is asked for it. */
const longestStartMs = 60_000;

export default class AgentStartCommand extends IpseckitCommand<AgentStatus> {
  static override summary = 'start the policy agent in the background';
  static override description = 'Returns once the policy is in force. Harmless when an agent runs already.';
  static override flags = { driver: driverFlag() };

  async run(): Promise<AgentStatus> {
    const { flags } = await this.parse(AgentStartCommand);
    const engine = flags.driver === undefined ? [] : ['--driver', flags.driver];
    const running = await agentCallIfRunning('status', {});
    if (running) {
      this.print(`The policy agent runs already (process ${running.processId}).`);
      return running;
    }
    const { runtime } = ipseckitHome();
    mkdirSync(runtime, { recursive: true, mode: 0o700 });
    const logFile = join(runtime, 'agent.log');
    const log = openSync(logFile, 'w', 0o600);
    const program = process.argv[1] ?? '';
    const child = spawn(process.execPath, [program, 'agent', 'run', ...engine], {
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    let exitCode: number | null = null;
    child.once('exit', code => {
      exitCode = code ?? 1;
    });
    for (let waitedMs = 0; waitedMs < longestStartMs; waitedMs += 100) {
      const status = await agentCallIfRunning('status', {});
      if (status?.starting === false) {
        child.unref();
        this.print(`The policy agent has started (process ${status.processId}, log ${logFile}).`);
        return status;
      }
      if (exitCode !== null) throw startError(readFileSync(logFile, 'utf8'), exitCode, logFile);
      await sleep(100);
    }
    child.unref();
    throw new IpseckitError(
      'AGENT_UNREACHABLE',
      `the policy agent is still starting after ${longestStartMs / 1_000} s (process ${child.pid})`,
      {
        next: `see ${logFile}; "ipseckit agent status" tells when it is ready, "ipseckit agent stop" ends it`,
      },
    );
  }
}

/** The agent's own last words, with its own exit code. */
function startError(log: string, exitCode: number, logFile: string): IpseckitError {
  const code = (Object.keys(errorClasses) as ErrorCode[]).find(
    known => errorClasses[known].exitCode === exitCode,
  );
  const message = /^error: (.*)$/m.exec(log)?.[1] ?? `the policy agent ended at once with ${exitCode}`;
  return new IpseckitError(code ?? 'ENVIRONMENT', message, {
    next: /^next: (.*)$/m.exec(log)?.[1] ?? `see ${logFile}`,
  });
}
