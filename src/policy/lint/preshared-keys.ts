/** Preshared keys that can be guessed, or that were not meant. No finding says anything about a key's characters. */
import { finding, type PolicyFinding } from '../findings.js';
import { type Check, type NamedRule, placeOf } from './check.js';

/** One captured negotiation lets anyone try keys as fast as he can hash. */
const shortestKey = 20;

export const presharedKeyCheck: Check = {
  name: 'preshared-keys',
  run: ({ rules }) => rules.flatMap(keyFindings),
};

function keyFindings(named: NamedRule): PolicyFinding[] {
  const { action, authentication } = named.rule;
  if (action.kind !== 'negotiate') return [];
  return authentication.flatMap(method => {
    if (method.kind !== 'preshared') return [];
    const key = method.key.reveal();
    if (key === '')
      return [
        finding(
          'empty-key',
          placeOf(named),
          'its preshared key is empty',
          'give it one: -a PRESHARE-FILE:path',
        ),
      ];
    const findings: PolicyFinding[] = [];
    if (key.trim() !== key)
      findings.push(
        finding(
          'key-white-space',
          placeOf(named),
          'its preshared key begins or ends with white space, which the peer most likely does not have',
          'write the key again, without the blank or line end',
        ),
      );
    if (key.length < shortestKey)
      findings.push(
        finding(
          'short-key',
          placeOf(named),
          `its preshared key has fewer than ${shortestKey} characters, so it can be guessed from one recorded negotiation`,
          'use a random one, for example of "openssl rand -base64 24", and PRESHARE-FILE:path',
        ),
      );
    return findings;
  });
}
