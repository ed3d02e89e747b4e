import { fileURLToPath } from 'node:url';
import { Errors, flush, run } from '@oclif/core';
import { asCommandError } from './base.js';
import { describeError } from './errors.js';
import { guardOutput } from './output.js';

/** Runs one `ipseckit` command line; what a command does not catch (an unknown command) ends like its own errors. */
export async function main(argv: readonly string[]): Promise<void> {
  guardOutput();
  try {
    await run([...argv], fileURLToPath(new URL('../../../package.json', import.meta.url)));
  } catch (error) {
    if (error instanceof Errors.ExitError) {
      process.exitCode = error.oclif.exit ?? 0;
    } else {
      const known = asCommandError(error);
      process.exitCode = known.exitCode;
      process.stderr.write(describeError(known));
    }
  }
  await flush();
}
