import type { AttributeMismatch, FailureReason } from './api.js';

/**
 * A received message cannot be accepted. Thrown by the steps of an exchange, caught where messages are handed to
 * exchanges: there it is decided whether it ends the exchange, is answered, or only remembered.
 */
export class ExchangeError extends Error {
  readonly reason: FailureReason;
  readonly mismatches: readonly AttributeMismatch[];

  constructor(reason: FailureReason, text: string, mismatches: readonly AttributeMismatch[] = []) {
    super(text);
    this.name = 'ExchangeError';
    this.reason = reason;
    this.mismatches = mismatches;
  }
}
