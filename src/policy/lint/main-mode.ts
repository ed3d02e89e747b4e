/** Main mode settings that cannot work, or contradict themselves. */
import { encryption } from '../../crypto/algorithms.js';
import { finding, type PolicyFinding } from '../findings.js';
import { printMainModeMethod } from '../ipsecpol/security-method.js';
import type { Check } from './check.js';
import { shortestLifetime } from './lifetimes.js';

export const mainModeCheck: Check = {
  name: 'main-mode',
  run({ policy: { keyExchange, rules } }) {
    const { methods, lifetimeSeconds, masterKeyPfs, quickModeLimit, aggressive } = keyExchange;
    const findings: PolicyFinding[] = [];
    if (methods.length === 0 && rules.some(({ action }) => action.kind === 'negotiate'))
      findings.push(
        finding(
          'no-main-mode-methods',
          {},
          'there are no main mode methods',
          'add some with -1s AES256-SHA256-14',
        ),
      );
    for (const method of methods)
      if (encryption(method.encryption).ikeId === undefined)
        findings.push(
          finding(
            'main-mode-cipher',
            {},
            `main mode cannot use ${encryption(method.encryption).name} (${printMainModeMethod(method)})`,
            'use DES, 3DES or AES for main mode',
          ),
        );
    if (lifetimeSeconds > 0 && lifetimeSeconds < shortestLifetime.seconds)
      findings.push(
        finding(
          'main-mode-lifetime',
          {},
          `the main mode lifetime of ${lifetimeSeconds} s is very short`,
          `use ${shortestLifetime.seconds} s or more`,
        ),
      );
    if (aggressive)
      findings.push(
        finding(
          'aggressive-mode',
          {},
          'aggressive mode is on: identities, and a hash from which a weak preshared key can be guessed, are sent to anyone who asks',
          'switch it off with "ipseckit policy edit NAME --no-aggressive" unless a peer needs it',
        ),
      );
    if (masterKeyPfs && quickModeLimit !== 1)
      findings.push(
        finding(
          'master-key-pfs',
          {},
          `main mode PFS allows one quick mode, not ${quickModeLimit === 0 ? 'any number' : quickModeLimit}`,
          'leave the limit of -1k out',
        ),
      );
    return findings;
  },
};
