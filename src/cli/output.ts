import { IpseckitError } from '../report/errors.js';
import { describeError } from './errors.js';

/** Codes of a pipe whose reader has gone (`| head`): what is left to say interests nobody. */
const readerGoneCodes = new Set(['EPIPE', 'ERR_STREAM_DESTROYED']);

let isReaderGone = false;
let tellReaderGone = () => {};

/** Resolves when nobody reads standard output any more. */
export const readerGone = new Promise<void>(resolve => {
  tellReaderGone = resolve;
});

/** Whether nobody reads standard output any more: what goes on printing can end. */
export function readerHasGone(): boolean {
  return isReaderGone;
}

/** Call once, first: output that cannot be written ends in an error message or in silence, never in a stack trace. */
export function guardOutput(): void {
  process.stderr.on('error', () => {});
  // Before oclif's own listener, which throws.
  process.stdout.prependListener('error', (error: NodeJS.ErrnoException) => {
    if (readerGoneCodes.has(error.code ?? '')) {
      isReaderGone = true;
      tellReaderGone();
      return;
    }
    const failure = new IpseckitError('ENVIRONMENT', `the output cannot be written: ${error.message}`, {
      next: 'free space where stdout goes, and run it again',
    });
    process.stderr.write(describeError(failure));
    process.exit(failure.exitCode);
  });
}
