import type { FailureReason, NegotiationFailure } from '../ike/api.js';
import { type ErrorCode, IpseckitError } from '../report/errors.js';

const codeOf: Partial<Record<FailureReason, ErrorCode>> = {
  'no-response': 'NO_RESPONSE',
  'dead-peer': 'NO_RESPONSE',
  'authentication-failed': 'AUTHENTICATION_FAILED',
  'preshared-keys-differ': 'AUTHENTICATION_FAILED',
  'no-certificate': 'AUTHENTICATION_FAILED',
  'no-peer-certificate': 'AUTHENTICATION_FAILED',
  'certificate-refused': 'AUTHENTICATION_FAILED',
  'xauth-failed': 'AUTHENTICATION_FAILED',
  'invalid-signature': 'AUTHENTICATION_FAILED',
  'authentication-unsupported': 'UNSUPPORTED',
};

/** A negotiation that failed, as an error a command can end with. */
export class NegotiationError extends IpseckitError {
  readonly failure: NegotiationFailure;

  constructor(failure: NegotiationFailure) {
    super(codeOf[failure.reason] ?? 'NEGOTIATION_FAILED', failure.text, { next: failure.next });
    this.failure = failure;
  }
}
