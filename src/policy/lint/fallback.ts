/** Falling back to clear text: what the rule says, and what is done about it so far. */
import { finding } from '../findings.js';
import { type Check, placeOf } from './check.js';

export const fallbackCheck: Check = {
  name: 'fallback',
  run: ({ rules }) =>
    rules.flatMap(named =>
      named.rule.action.kind === 'negotiate' && named.rule.action.allowFallback
        ? [
            finding(
              'fallback-not-enforced',
              placeOf(named),
              'it allows clear text towards peers that do not answer (-soft), which is not done yet: their traffic is dropped',
              'add a rule that permits the traffic of peers without IPsec, or leave it: nothing leaks',
            ),
          ]
        : [],
    ),
};
