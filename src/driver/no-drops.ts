import type { DropReason } from './api.js';

/** Counters of every reason, at 0. */
export function noDrops(): Record<DropReason, number> {
  return {
    blocked: 0,
    'clear-but-secured': 0,
    'no-sa-queue-full': 0,
    'negotiation-failed': 0,
    'bad-spi': 0,
    replay: 0,
    'not-authenticated': 0,
    'not-decrypted': 0,
    malformed: 0,
    fragment: 0,
    'selector-mismatch': 0,
    'client-gone': 0,
    'too-big': 0,
    expired: 0,
    'send-failed': 0,
  };
}
