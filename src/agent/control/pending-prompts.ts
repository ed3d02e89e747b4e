import { Secret } from '../../crypto/secret.js';
import type { PromptField, UserPrompt } from '../../ike/api.js';
import type { PromptAnswers } from '../agent.js';

/** The questions to the user at the other end of one connection that are not answered yet. */
export class PendingPrompts {
  readonly #closed: AbortSignal;
  readonly #waiting = new Map<
    string,
    { readonly asks: readonly PromptField[]; settle(answers: PromptAnswers | undefined): void }
  >();

  /** Whoever waits hears `undefined` when `closed` is aborted. */
  constructor(closed: AbortSignal) {
    this.#closed = closed;
  }

  add({ id, asks }: UserPrompt): Promise<PromptAnswers | undefined> {
    return new Promise(resolve => {
      if (this.#closed.aborted) return resolve(undefined);
      const hangUp = () => settle(undefined);
      const settle = (answers: PromptAnswers | undefined) => {
        this.#waiting.delete(id);
        this.#closed.removeEventListener('abort', hangUp);
        resolve(answers);
      };
      this.#closed.addEventListener('abort', hangUp);
      this.#waiting.set(id, { asks, settle });
    });
  }

  /** Whether the line is an answer; one to a question that nobody waits for any more is no error. */
  take(line: string): boolean {
    const answer = objectIn(line);
    if (typeof answer?.prompt !== 'string') return false;
    const waiting = this.#waiting.get(answer.prompt);
    const given = answer.answers;
    if (typeof given !== 'object' || given === null) waiting?.settle(undefined);
    else waiting?.settle(answersIn(given, waiting.asks));
    return true;
  }
}

function answersIn(given: object, asks: readonly PromptField[]): PromptAnswers {
  return Object.fromEntries(
    asks.flatMap(field => {
      const text: unknown = Reflect.get(given, field);
      return typeof text === 'string' ? [[field, new Secret(text)]] : [];
    }),
  );
}

function objectIn(line: string): { readonly prompt?: unknown; readonly answers?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
