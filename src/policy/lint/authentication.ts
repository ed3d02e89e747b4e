/** Rules whose peers have no way to authenticate. */
import { finding } from '../findings.js';
import { type Check, placeOf } from './check.js';

export const authenticationCheck: Check = {
  name: 'authentication',
  run: ({ rules }) =>
    rules.flatMap(named => {
      const { action, authentication } = named.rule;
      if (action.kind !== 'negotiate') return [];
      if (authentication.length === 0)
        return [
          finding(
            'no-authentication',
            placeOf(named),
            'it has no authentication method',
            'add one with -a PRESHARE:"key"',
          ),
        ];
      if (authentication.some(({ kind }) => kind === 'preshared')) return [];
      const kinds = new Set(authentication.map(({ kind }) => (kind === 'kerberos' ? 'KERBEROS' : 'CERT')));
      return [
        finding(
          'not-negotiable',
          placeOf(named),
          `${[...kinds].join(' and ')} authentication is not negotiable yet, so its traffic will be dropped`,
          'add -a PRESHARE:"key" or -a PRESHARE-FILE:path',
        ),
      ];
    }),
};
