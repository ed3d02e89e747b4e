/** Tunnels between several networks: each pair of them takes a quick mode of its own. */
import type { IpAddress } from '../../wire/ip/address.js';
import { finding, type PolicyFinding } from '../findings.js';
import type { Rule } from '../model.js';
import { type Check, placeOf } from './check.js';

export const quickModeCheck: Check = {
  name: 'quick-modes',
  run(input) {
    const { masterKeyPfs, quickModeLimit } = input.policy.keyExchange;
    const limit = masterKeyPfs ? 1 : quickModeLimit;
    const tunnels = new Map<IpAddress, { readonly rule: Rule; count: number }>();
    for (const { filter, rule } of input.traffic().expansion.filters) {
      if (filter.tunnelEndpoint === undefined || filter.direction !== 'outbound') continue;
      const known = tunnels.get(filter.tunnelEndpoint);
      if (known === undefined) tunnels.set(filter.tunnelEndpoint, { rule, count: 1 });
      else known.count++;
    }
    return [...tunnels].flatMap(([endpoint, { rule, count }]): PolicyFinding[] => {
      if (count < 2) return [];
      const place = placeOf(input.named(rule));
      if (limit > 0 && count > limit)
        return [
          finding(
            'quick-mode-limit',
            place,
            `the tunnel to ${endpoint} takes ${count} quick modes, one for each pair of networks, and one main mode makes ${limit}: ${Math.ceil(count / limit)} main modes are needed`,
            masterKeyPfs
              ? 'use PFS in the security methods (ESP[…]PFS) in place of -1p'
              : `raise the limit: -1k ${count}Q or more`,
          ),
        ];
      return [
        finding(
          'several-quick-modes',
          place,
          `the tunnel to ${endpoint} takes ${count} quick modes, one for each pair of networks`,
          'the peer needs the same pairs, each as one connection; one larger subnet at each end needs only one',
        ),
      ];
    });
  },
};
