import type { Filter, Rule } from './model.js';
import type { Packet } from './packet.js';

/**
 * Something a check found. An `error` must not be put in force; a `warning` most likely is not what was meant; a `note`
 * is good to know.
 */
export interface PolicyFinding {
  readonly severity: 'error' | 'warning' | 'note';
  /** Stable word for scripts and tests. */
  readonly code: FindingCode;
  readonly where: FindingPlace;
  /** What is wrong, without the place. */
  readonly why: string;
  /** What is wrong, a sentence that names the place. */
  readonly message: string;
  /** What to do about it. */
  readonly next: string;
  /** A packet that shows it: one that the filter matches and that does not get what the filter says. */
  readonly counterExample?: Packet;
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

interface FindingKind {
  readonly severity: PolicyFinding['severity'];
  /** One line for the manual page. */
  readonly meaning: string;
}

/** Everything that can be found, in the order of the manual page. */
export const findingKinds = {
  'no-name': { severity: 'error', meaning: 'the policy has no name' },
  'duplicate-rule-id': { severity: 'error', meaning: 'two rules have the same id' },
  'duplicate-rule-name': { severity: 'warning', meaning: 'two rules have the same name' },
  'several-default-rules': { severity: 'warning', meaning: 'more than one default response rule' },
  'no-filters': { severity: 'error', meaning: 'a rule with an empty filter list' },
  'default-rule-action': { severity: 'error', meaning: 'a default response rule that does not negotiate' },
  'no-main-mode-methods': { severity: 'error', meaning: 'rules negotiate, and main mode has no methods' },
  'main-mode-cipher': { severity: 'error', meaning: 'a cipher that main mode cannot use' },
  'main-mode-lifetime': { severity: 'warning', meaning: 'a main mode lifetime under 5 minutes' },
  'aggressive-mode': {
    severity: 'warning',
    meaning: 'aggressive mode shows a hash of the preshared key to anyone who asks',
  },
  'master-key-pfs': { severity: 'warning', meaning: 'main mode PFS with room for several quick modes' },
  'no-methods': { severity: 'error', meaning: 'a negotiating rule without security methods' },
  'empty-method': { severity: 'error', meaning: 'a security method that is neither ESP nor AH' },
  'no-protection': { severity: 'error', meaning: 'ESP without encryption and without integrity' },
  'combined-with-hash': {
    severity: 'error',
    meaning: 'a hash beside a cipher that brings its own integrity',
  },
  'sequence-without-integrity': {
    severity: 'error',
    meaning: 'extended sequence numbers without integrity',
  },
  'duplicate-method': { severity: 'warning', meaning: 'the same security method twice' },
  'mixed-pfs': { severity: 'warning', meaning: 'security methods of a rule that differ in PFS' },
  'short-lifetime': { severity: 'warning', meaning: 'a quick mode that rekeys under 5 minutes or 50,000 KB' },
  'no-authentication': { severity: 'error', meaning: 'a negotiating rule without authentication method' },
  'not-negotiable': { severity: 'warning', meaning: 'only Kerberos, which is not negotiable yet' },
  'unresolved-name': { severity: 'error', meaning: 'a DNS name without an address' },
  'mixed-families': { severity: 'error', meaning: 'a filter from IPv4 to IPv6' },
  'link-local-not-secured': {
    severity: 'error',
    meaning: 'link-local addresses in a rule that secures: IKE cannot name the adapter',
  },
  'bad-prefix': { severity: 'error', meaning: 'a subnet with bits behind its mask' },
  'port-without-protocol': { severity: 'error', meaning: 'ports without TCP or UDP' },
  'tunnel-action': { severity: 'error', meaning: 'a tunnel rule that permits or blocks' },
  'tunnel-mirrored': { severity: 'error', meaning: 'a mirrored filter in a tunnel rule' },
  'tunnel-selector': { severity: 'warning', meaning: 'a tunnel for one protocol or port' },
  'tunnel-clear': { severity: 'warning', meaning: 'a tunnel that also takes clear text' },
  'tunnel-partner': { severity: 'warning', meaning: 'no tunnel rule for the way back' },
  'tunnel-same-end': { severity: 'warning', meaning: 'both ways of a tunnel name the same endpoint' },
  contradiction: { severity: 'warning', meaning: 'two rules do different things to the same traffic' },
  'duplicate-filter': { severity: 'warning', meaning: 'two filters on the same traffic' },
  'not-enforced': { severity: 'warning', meaning: 'a filter that stands for no traffic of this computer' },
  shadowed: { severity: 'warning', meaning: 'another filter covers exactly the same traffic and decides' },
  unreachable: { severity: 'warning', meaning: 'more specific filters together leave a filter no packet' },
  overlapping: { severity: 'note', meaning: 'two filters share some traffic and do different things to it' },
  'partly-checked': {
    severity: 'note',
    meaning: 'a check that was not brought to its end, because the policy is too large for it',
  },
  'lockout-blocked': { severity: 'error', meaning: 'the policy blocks the shell it is checked from' },
  'lockout-secured': { severity: 'warning', meaning: 'the shell it is checked from will have to negotiate' },
  'exemption-hole': { severity: 'warning', meaning: 'exempt traffic passes a rule that is to stop it' },
  'multicast-in-clear': { severity: 'note', meaning: 'multicast passes a rule that blocks or secures it' },
  'weak-cipher': {
    severity: 'warning',
    meaning: 'a rule that wants privacy accepts a cipher that gives none',
  },
  'no-integrity': { severity: 'warning', meaning: 'encryption without integrity' },
  'privacy-optional': {
    severity: 'note',
    meaning: 'a rule accepts methods that do not encrypt beside some that do',
  },
  'weak-hash': { severity: 'note', meaning: 'integrity by a weak hash' },
  'weak-main-mode': { severity: 'warning', meaning: 'a main mode method that can be broken' },
  'lifetime-order': { severity: 'warning', meaning: 'main mode ends before its quick modes do' },
  'long-lifetime': { severity: 'warning', meaning: 'keys are used for more than a day (main mode: two)' },
  'too-much-data': {
    severity: 'warning',
    meaning: 'more data under one key than a 64-bit block cipher stands',
  },
  'large-first-message': { severity: 'warning', meaning: 'a first message that has to be fragmented' },
  'empty-key': { severity: 'error', meaning: 'an empty preshared key' },
  'short-key': { severity: 'warning', meaning: 'a preshared key that can be guessed' },
  'key-white-space': { severity: 'warning', meaning: 'a preshared key with white space at an end' },
  'authentication-differs': {
    severity: 'warning',
    meaning: 'two rules for the same peers authenticate them in different ways',
  },
  'several-quick-modes': { severity: 'note', meaning: 'a tunnel that takes several quick modes' },
  'quick-mode-limit': { severity: 'warning', meaning: 'more quick modes than one main mode may make' },
  'clear-fallback': { severity: 'note', meaning: 'clear text towards a peer that gives no sign of IKE' },
} as const satisfies Record<string, FindingKind>;

export type FindingCode = keyof typeof findingKinds;

/** Makes a finding; its severity is the one in the table. */
export function finding(
  code: FindingCode,
  where: FindingPlace,
  why: string,
  next: string,
  counterExample?: Packet,
): PolicyFinding {
  const place = [where.rule, where.filter === undefined ? undefined : `filter '${where.filter}'`].filter(
    part => part !== undefined,
  );
  return {
    severity: findingKinds[code].severity,
    code,
    where,
    why,
    message: [...(place.length === 0 ? [] : [place.join(', ')]), why].join(': '),
    next,
    ...(counterExample === undefined ? {} : { counterExample }),
  };
}

const severities: readonly PolicyFinding['severity'][] = ['error', 'warning', 'note'];

/** The same findings, the worst first; those of one severity stay in their order. */
export function worstFirst(findings: readonly PolicyFinding[]): PolicyFinding[] {
  return severities.flatMap(severity => findings.filter(each => each.severity === severity));
}
