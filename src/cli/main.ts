import { fileURLToPath } from 'node:url';
import { Config, Errors, flush, run } from '@oclif/core';
import { asCommandError } from './base.js';
import { describeError } from './errors.js';
import { guardOutput, readerGone } from './output.js';
import { unknownCommand } from './usage-errors.js';

/** Runs one `ipseckit` command line; what a command does not catch (an unknown command) ends like its own errors. */
export async function main(argv: readonly string[]): Promise<void> {
  guardOutput();
  const config = await Config.load(fileURLToPath(new URL('../../../package.json', import.meta.url)));
  try {
    await run([...argv], config);
  } catch (error) {
    if (error instanceof Errors.ExitError) {
      process.exitCode = error.oclif.exit ?? 0;
    } else {
      const isUnknown = error instanceof Errors.CLIError && /^command .* not found$/.test(error.message);
      const known = isUnknown ? unknownCommand(argv, config) : asCommandError(error);
      process.exitCode = known.exitCode;
      process.stderr.write(describeError(known));
    }
  }
  // What waits for a reader that has gone is never flushed.
  await Promise.race([flush(), readerGone]);
}
