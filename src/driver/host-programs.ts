/** The programs `nft` and `ip`, which change what the kernel does with packets. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { IpseckitError } from '../report/errors.js';

export type HostProgram = 'nft' | 'ip';

/** Runs a program to its end and returns its output. Throws `IpseckitError` when it fails. */
export async function run(program: HostProgram, args: readonly string[], input: string): Promise<string> {
  const { status, stdout, stderr } = await execute(program, args, input);
  if (status === 0) return stdout;
  throw failed(program, stderr);
}

/** Like `run` where it may fail, or may not be installed: what it has printed until then. */
export async function attempt(program: HostProgram, args: readonly string[], input: string): Promise<string> {
  return execute(program, args, input).then(
    ({ stdout }) => stdout,
    () => '',
  );
}

/** Has `ip` do the lines of a batch for one family, going on where one fails; returns how many it has done. */
export async function ipBatch(family: 4 | 6, lines: readonly string[]): Promise<number> {
  if (lines.length === 0) return 0;
  const args = [`-${family}`, '-force', '-batch', '-'];
  return execute('ip', args, `${lines.join('\n')}\n`).then(
    ({ stderr }) => lines.length - (stderr.match(/^Command failed/gm)?.length ?? 0),
    () => 0,
  );
}

async function execute(
  program: HostProgram,
  args: readonly string[],
  input: string,
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(program, args, { env: programEnvironment() });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', text => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    output.stderr += text;
  });
  child.stdin.on('error', () => {}); // It ended without reading all; its status says why.
  child.stdin.end(input);
  try {
    await once(child, 'close');
  } catch (error) {
    throw cannotRun(program, error);
  }
  return { status: child.exitCode, ...output };
}

/** They live in folders that an ordinary user's PATH lacks. */
function programEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };
}

function cannotRun(program: HostProgram, cause: unknown): IpseckitError {
  const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
  return new IpseckitError(
    'ENVIRONMENT',
    missing ? `the program ${program} is not installed` : `cannot run ${program}: ${String(cause)}`,
    { next: 'install the packages nftables and iproute2', cause },
  );
}

function failed(program: HostProgram, complaint: string): IpseckitError {
  const text = `${program}: ${complaint.trim().split('\n').slice(0, 3).join('; ') || 'failed without saying why'}`;
  if (/operation not permitted|permission denied/i.test(complaint))
    return new IpseckitError('ACCESS_DENIED', text, {
      next: 'run as root, or with the capabilities CAP_NET_ADMIN and CAP_NET_RAW',
    });
  if (/message too long/i.test(complaint))
    return new IpseckitError(
      'ENVIRONMENT',
      `${text} (the filters are too many for one nftables transaction)`,
      {
        next: 'run as root of the machine, or raise net.core.wmem_default',
      },
    );
  return new IpseckitError('ENVIRONMENT', text, {
    next:
      program === 'nft'
        ? 'check that the kernel has nf_tables for IPv4 and inet ("modprobe nf_tables", "nft list ruleset")'
        : 'check that the kernel has policy routing ("ip rule")',
  });
}
