import { IpseckitError } from '../report/errors.js';
import { describeError } from './errors.js';

/** Codes of a pipe whose reader has gone (`| head`): what is left to say interests nobody. */
const readerGone = new Set(['EPIPE', 'ERR_STREAM_DESTROYED']);

/** Call once, first: output that cannot be written ends in an error message or in silence, never in a stack trace. */
export function guardOutput(): void {
  process.stderr.on('error', () => {});
  // Before oclif's own listener, which throws.
  process.stdout.prependListener('error', (error: NodeJS.ErrnoException) => {
    if (readerGone.has(error.code ?? '')) return;
    const failure = new IpseckitError('ENVIRONMENT', `the output cannot be written: ${error.message}`, {
      next: 'free space where stdout goes, and run it again',
    });
    process.stderr.write(describeError(failure));
    process.exit(failure.exitCode);
  });
}
