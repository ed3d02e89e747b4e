/** The user's side of XAUTH: the password, and what a gateway asks for besides. */
import type { PromptAnswers } from '../agent/agent.js';
import type { TunnelDocument } from '../agent/tunnel.js';
import type { Secret } from '../crypto/secret.js';
import type { PromptField, UserPrompt } from '../ike/api.js';
import { askSecret } from './ask-secret.js';
import { readSecretFile } from './secret-file.js';
import type { TunnelFlagValues } from './tunnel-flags.js';

const toFile = 'put it in a file, mode 0600, and name that with --xauth-password-file';

/** The password of `--xauth-user`: from its file, else asked for now. Throws `IpseckitError`. */
export async function xauthPassword(flags: TunnelFlagValues): Promise<Pick<TunnelDocument, 'xauthPassword'>> {
  const { 'xauth-user': user, 'xauth-password-file': file } = flags;
  if (user === undefined) return {};
  if (file === undefined) return { xauthPassword: (await askSecret(`Password of ${user}`, toFile)).reveal() };
  return { xauthPassword: readSecretFile(file, 'password').reveal() };
}

/** Asks what the gateway wants to know, in its words; `undefined` where there is no terminal to ask on. */
export async function askUser(prompt: UserPrompt): Promise<PromptAnswers | undefined> {
  if (!process.stdin.isTTY) return undefined;
  if (prompt.text !== undefined) process.stderr.write(`${prompt.peer} says: ${prompt.text}\n`);
  const answers: Partial<Record<PromptField, Secret<string>>> = {};
  for (const field of prompt.asks) answers[field] = await askSecret(`${prompt.peer} asks for the ${field}`);
  return answers;
}
