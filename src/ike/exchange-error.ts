import { WireError } from '../wire/bytes.js';
import type { AttributeMismatch, FailureReason } from './api.js';

/**
 * A received message cannot be accepted. Thrown by the steps of an exchange, caught where messages are handed to
 * exchanges: there it is decided whether it ends the exchange, is answered, or only remembered.
 */
export class ExchangeError extends Error {
  readonly reason: FailureReason;
  readonly #refused: { readonly refused: readonly AttributeMismatch[] };

  constructor(
    reason: FailureReason,
    text: string,
    /** A refusing verdict, asked only by who wants to tell of it: that may cost more than the refusal. */
    refused: { readonly refused: readonly AttributeMismatch[] } = { refused: [] },
  ) {
    super(text);
    this.name = 'ExchangeError';
    this.reason = reason;
    this.#refused = refused;
  }

  get mismatches(): readonly AttributeMismatch[] {
    return this.#refused.refused;
  }
}

/** What is wrong with a message, whether its bytes or its meaning. Other errors are our own: they go on. */
export function asExchangeError(error: unknown): ExchangeError {
  if (error instanceof ExchangeError) return error;
  if (error instanceof WireError) return new ExchangeError('malformed', error.message);
  throw error;
}
