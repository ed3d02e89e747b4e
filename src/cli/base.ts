import { Command, Errors } from '@oclif/core';
import type { IpseckitError } from '../report/errors.js';
import { isColourTerminal, renderTable } from '../report/table.js';
import { forTerminal } from '../report/terminal.js';
import { asIpseckitError, describeError } from './errors.js';
import { usageError } from './usage-errors.js';

/**
 * What every command shares: `run` returns the data and prints it through `print`; with `--json` the same data is
 * printed as JSON instead. Errors end as `error: what and where`, `next: what to do`, and a documented exit code.
 */
export abstract class IpseckitCommand<Result> extends Command {
  static override enableJsonFlag = true;

  abstract override run(): Promise<Result>;

  /** Prints lines for people; silent with `--json`. */
  protected print(...lines: readonly string[]): void {
    for (const line of lines) this.log(forTerminal(line));
  }

  /** Says something on stderr; silent with `--json`. */
  override logToStderr(text = ''): void {
    super.logToStderr(forTerminal(text));
  }

  /** Prints a table with these titles; titles bold on a terminal. */
  protected printTable(titles: readonly string[], rows: readonly (readonly string[])[]): void {
    const columns = titles.map(title => ({ title }));
    const cells = rows.map(row => row.map(forTerminal));
    this.log(renderTable(columns, cells, isColourTerminal(process.stdout)));
  }

  protected override async catch(error: Error): Promise<void> {
    // `--help` and `--version` end this way.
    if (error instanceof Errors.ExitError) throw error;
    const flags = Object.keys({ json: true, help: true, ...this.ctor.flags });
    const known = asCommandError(error, flags);
    process.exitCode = known.exitCode;
    if (this.jsonEnabled()) this.logJson({ error: known });
    else process.stderr.write(describeError(known));
  }
}

/** Any error as one a user can read, oclif's own among them; `flags` are the names of those that the command has. */
export function asCommandError(error: unknown, flags: readonly string[] = []): IpseckitError {
  return error instanceof Errors.CLIError ? usageError(error, flags) : asIpseckitError(error);
}
