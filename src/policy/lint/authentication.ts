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
      if (authentication.some(({ kind }) => kind !== 'kerberos')) return [];
      return [
        finding(
          'not-negotiable',
          placeOf(named),
          'KERBEROS authentication is not negotiable yet, so its traffic will be dropped',
          'add -a PRESHARE-FILE:path, PRESHARE:"key" or CERT:"authority"',
        ),
      ];
    }),
};
