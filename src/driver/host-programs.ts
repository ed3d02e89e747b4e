/** The programs `nft` and `ip`, which change what the kernel does with packets. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { IpseckitError } from '../report/errors.js';

export type HostProgram = 'nft' | 'ip';

/** Runs a program to its end and returns its output. Throws `IpseckitError` when it fails, unless it may. */
export async function run(
  program: HostProgram,
  args: readonly string[],
  input: string,
  { mayFail = false }: { mayFail?: boolean } = {},
): Promise<string> {
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
    if (mayFail) return '';
    throw cannotRun(program, error);
  }
  if (child.exitCode === 0 || mayFail) return output.stdout;
  throw failed(program, output.stderr);
}

/** Like `run`, for exit paths that cannot wait; whether it succeeds is not looked at. */
export function runSync(program: HostProgram, args: readonly string[], input: string): void {
  spawnSync(program, args, { stdio: ['pipe', 'ignore', 'ignore'], env: programEnvironment(), input });
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
