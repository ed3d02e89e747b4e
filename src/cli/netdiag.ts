/** `netdiag` from its argument list to its exit code. */
import { gatherHost } from '../diag/netdiag/gather-host.js';
import { type NetdiagOptions, netdiagUsage, parseNetdiag } from '../diag/netdiag/options.js';
import { renderReport } from '../diag/netdiag/render.js';
import { exitCodeOf, type NetdiagReport } from '../diag/netdiag/report.js';
import { runNetdiag } from '../diag/netdiag/run.js';
import { systemProbes } from '../diag/netdiag/system-probes.js';
import { ipseckitHome } from '../policy/stores/home.js';
import { writeWholeFile } from '../policy/stores/whole-file.js';
import { IpseckitError } from '../report/errors.js';
import { forTerminal } from '../report/terminal.js';
import { asIpseckitError, describeError } from './errors.js';
import { guardOutput } from './output.js';

/** netdiag's own exit code for wrong usage. */
const usageExitCode = 2;
const logFile = 'NetDiag.log';

/** Runs one command line and prints; resolves to the exit code. */
export async function netdiagMain(argv: readonly string[]): Promise<number> {
  guardOutput();
  try {
    const request = parseNetdiag(argv);
    if (request.kind === 'help') {
      process.stdout.write(`${netdiagUsage()}\n`);
      return 0;
    }
    return exitCodeOf(await netdiag(request, text => process.stdout.write(forTerminal(text))));
  } catch (error) {
    const known = asIpseckitError(error);
    process.stderr.write(describeError(known));
    return known.code === 'USAGE' ? usageExitCode : known.exitCode;
  }
}

/** Runs the tests; `print` gets progress as it happens, then the report. Throws `IpseckitError`. */
export async function netdiag(
  options: NetdiagOptions,
  print: (text: string) => void,
): Promise<NetdiagReport> {
  let log = '';
  const write = (text: string) => {
    log += text;
    print(text);
  };
  const verbose = options.level === 'verbose' || options.level === 'debug';
  write('\n');
  const report = await runNetdiag(
    options,
    gatherHost(),
    systemProbes(ipseckitHome(), options.domain),
    (_, text) => write(verbose ? `    ${text}\n` : '.'),
  );
  write(verbose ? '\n    Tests complete.\n\n' : '\n');
  write(`${renderReport(report, options.level).join('\n')}\n`);
  if (options.log) writeLog(log);
  return report;
}

function writeLog(text: string): void {
  try {
    // Also in a folder of others: a link there is replaced, not followed.
    writeWholeFile(logFile, text, 0o644);
  } catch (error) {
    throw new IpseckitError(
      'ACCESS_DENIED',
      `cannot write ${logFile}: ${error instanceof Error ? error.message : error}`,
      {
        next: 'change to a folder you may write, or leave /l out',
      },
    );
  }
}
