import { Secret } from '../crypto/secret.js';
import { IpseckitError } from '../report/errors.js';
import { forTerminal } from '../report/terminal.js';

/**
 * Asks for a secret on the terminal, without echo; the question goes to stderr. Throws `IpseckitError`: USAGE where there is
 * no terminal, INTERRUPTED on Ctrl-C.
 */
export async function askSecret(
  question: string,
  next = 'put it in a file, mode 0600, and name that with --passphrase-file',
): Promise<Secret<string>> {
  if (!process.stdin.isTTY)
    throw new IpseckitError('USAGE', `${question}: there is no terminal to ask on`, { next });
  // Loaded only to ask.
  const { default: inquirer } = await import('inquirer');
  const prompt = inquirer.createPromptModule({ output: process.stderr });
  const message = forTerminal(question);
  try {
    const { secret } = await prompt([{ type: 'password', name: 'secret', message, mask: '*' }]);
    return new Secret(String(secret));
  } catch (error) {
    if (error instanceof Error && error.name === 'ExitPromptError')
      throw new IpseckitError('INTERRUPTED', `${question}: nothing was entered`);
    throw error;
  }
}

/** Asks twice for a new secret. */
export async function askNewSecret(question: string): Promise<Secret<string>> {
  const first = await askSecret(question);
  const second = await askSecret('Again');
  if (first.reveal() === second.reveal() && first.reveal() !== '') return first;
  throw new IpseckitError('USAGE', 'the two passphrases differ, or are empty', { next: 'try again' });
}
