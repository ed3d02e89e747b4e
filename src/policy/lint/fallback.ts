/** Falling back to clear text: what it costs. */
import { finding } from '../findings.js';
import { type Check, placeOf } from './check.js';

export const fallbackCheck: Check = {
  name: 'fallback',
  run: ({ rules }) =>
    rules.flatMap(named =>
      named.rule.action.kind === 'negotiate' && named.rule.action.allowFallback
        ? [
            finding(
              'clear-fallback',
              placeOf(named),
              'it falls back to clear text towards a peer that gives no sign of IKE (-soft), so whoever drops UDP 500 on the way reads the traffic',
              'leave -soft out for traffic that must not be read, and permit the peers without IPsec by name',
            ),
          ]
        : [],
    ),
};
