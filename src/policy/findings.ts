import type { Filter, Rule } from './model.js';

/** Something a check found. An `error` must not be put in force; a `warning` most likely is not what was meant. */
export interface PolicyFinding {
  readonly severity: 'error' | 'warning';
  /** Stable word for scripts and tests. */
  readonly code: FindingCode;
  readonly where: FindingPlace;
  /** What is wrong, a sentence that names the place. */
  readonly message: string;
  /** What to do about it. */
  readonly next: string;
}

/** Absent parts: the finding is about the policy, or about a whole rule. */
export interface FindingPlace {
  /** `rule 'Peer'`. */
  readonly rule?: string;
  readonly ruleId?: Rule['id'];
  /** As a filter spec: `0+192.0.2.20`. */
  readonly filter?: string;
  readonly filterId?: Filter['id'];
}

/** Every check there is: how bad it is when it finds something. */
export const findingSeverities = {
  'no-name': 'error',
  'no-main-mode-methods': 'error',
  'main-mode-cipher': 'error',
  'main-mode-lifetime': 'warning',
  'master-key-pfs': 'warning',
  'duplicate-rule-id': 'error',
  'duplicate-rule-name': 'warning',
  'several-default-rules': 'warning',
  'no-filters': 'error',
  'no-methods': 'error',
  'empty-method': 'error',
  'no-protection': 'error',
  'combined-with-hash': 'error',
  'duplicate-method': 'warning',
  'mixed-pfs': 'warning',
  'short-lifetime': 'warning',
  'no-authentication': 'error',
  'not-negotiable': 'warning',
  'default-rule-action': 'error',
  'tunnel-action': 'error',
  'tunnel-mirrored': 'error',
  'tunnel-selector': 'warning',
  'tunnel-clear': 'warning',
  'tunnel-partner': 'warning',
  'tunnel-same-end': 'warning',
  'unresolved-name': 'error',
  'mixed-families': 'error',
  'bad-prefix': 'error',
  'port-without-protocol': 'error',
  contradiction: 'warning',
  'duplicate-filter': 'warning',
} as const satisfies Record<string, PolicyFinding['severity']>;

export type FindingCode = keyof typeof findingSeverities;

export function finding(
  code: FindingCode,
  where: FindingPlace,
  problem: string,
  next: string,
): PolicyFinding {
  const place = [where.rule, where.filter === undefined ? undefined : `filter '${where.filter}'`].filter(
    part => part !== undefined,
  );
  return {
    severity: findingSeverities[code],
    code,
    where,
    message: [...(place.length === 0 ? [] : [place.join(', ')]), problem].join(': '),
    next,
  };
}
