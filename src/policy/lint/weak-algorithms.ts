/** Algorithms that do not give what a rule asks of them: which rules want privacy, and which methods give it. */
import { encryption, group, hash, type Strength } from '../../crypto/algorithms.js';
import { finding, type PolicyFinding } from '../findings.js';
import { printMainModeMethod, printSuite } from '../ipsecpol/security-method.js';
import type { MainModeMethod, NegotiateAction, SecurityMethod } from '../model.js';
import { type Check, type NamedRule, placeOf } from './check.js';

export const weakAlgorithmCheck: Check = {
  name: 'weak-algorithms',
  run: ({ policy, rules }) => [
    ...(rules.some(({ rule }) => rule.active && rule.action.kind === 'negotiate')
      ? mainModeFindings(policy.keyExchange.methods)
      : []),
    ...rules.flatMap(named =>
      named.rule.action.kind === 'negotiate' ? ruleFindings(named, named.rule.action) : [],
    ),
  ],
};

/** Whether a rule's traffic is encrypted whatever method is agreed on. */
export type Privacy = 'required' | 'optional' | 'none';

/** What a rule wants of privacy, going by its methods. */
export function privacyOf(methods: readonly SecurityMethod[]): Privacy {
  const encrypting = methods.filter(encrypts).length;
  if (encrypting === 0) return 'none';
  return encrypting === methods.length ? 'required' : 'optional';
}

const encrypts = ({ esp }: SecurityMethod) => esp !== undefined && esp.encryption !== 'null';

/** What it takes to break an algorithm of each strength, for a sentence. */
const breakers: Record<Strength, string | undefined> = {
  broken: 'anyone with a computer can break',
  weak: 'a state can break',
  legacy: undefined,
  strong: undefined,
};

function ruleFindings(named: NamedRule, action: NegotiateAction): PolicyFinding[] {
  const { methods } = action;
  const privacy = privacyOf(methods);
  const findings: PolicyFinding[] = [];
  const weak = methods.filter(method => encrypts(method) && breakerOf(method) !== undefined);
  const [first] = weak;
  if (first?.esp !== undefined)
    findings.push(
      finding(
        'weak-cipher',
        placeOf(named),
        `${listed(weak.map(printSuite))} encrypts with ${encryption(first.esp.encryption).name}, which ${breakerOf(first)}; ${wanted(privacy, weak.length === methods.length)}`,
        'use ESP[AES256,SHA256] or ESP[AES128-GCM], and delete the weak methods once all peers have better ones',
      ),
    );
  const open = methods.filter(
    ({ ah, esp }) =>
      ah === undefined &&
      esp !== undefined &&
      esp.encryption !== 'null' &&
      esp.hash === undefined &&
      encryption(esp.encryption).tagBytes === undefined,
  );
  if (open.length > 0)
    findings.push(
      finding(
        'no-integrity',
        placeOf(named),
        `${listed(open.map(printSuite))} encrypts without integrity: packets can be changed on their way, and be read by changing them`,
        'add a hash, for example ESP[AES256,SHA256]',
      ),
    );
  if (privacy === 'optional')
    findings.push(
      finding(
        'privacy-optional',
        placeOf(named),
        `it does not require privacy: ${listed(methods.filter(method => !encrypts(method)).map(printSuite))} is accepted too and leaves the traffic readable`,
        'delete the methods without encryption if the traffic is private',
      ),
    );
  const weakHashes = methods.filter(method => hashesOf(method).some(id => hash(id).strength === 'weak'));
  if (weakHashes.length > 0)
    findings.push(
      finding(
        'weak-hash',
        placeOf(named),
        `${listed(weakHashes.map(printSuite))} relies on MD5`,
        'use SHA256',
      ),
    );
  return findings;
}

function wanted(privacy: Privacy, all: boolean): string {
  if (privacy === 'optional')
    return 'the rule does not require privacy, but where it encrypts, this may be agreed on';
  return all
    ? 'the rule requires privacy, and none of its methods gives it'
    : 'the rule requires privacy, and a peer may agree on this';
}

function breakerOf({ esp }: SecurityMethod): string | undefined {
  return esp === undefined ? undefined : breakers[encryption(esp.encryption).strength];
}

function hashesOf({ ah, esp }: SecurityMethod) {
  return [ah?.hash, esp?.hash].filter(id => id !== undefined);
}

/** Main mode guards the keys of all quick modes without PFS, so its weakest method is the privacy of all of them. */
function mainModeFindings(methods: readonly MainModeMethod[]): PolicyFinding[] {
  const weak = methods.flatMap(method => {
    const parts = [
      [encryption(method.encryption).name, encryption(method.encryption).strength],
      [hash(method.hash).name, hash(method.hash).strength],
      [`group ${method.group}`, group(method.group).strength],
    ] as const;
    const reasons = parts.flatMap(([name, strength]) =>
      breakers[strength] === undefined ? [] : [`${name}: ${breakers[strength]}`],
    );
    return reasons.length === 0 ? [] : [`${printMainModeMethod(method)} (${reasons.join(', ')})`];
  });
  if (weak.length === 0) return [];
  return [
    finding(
      'weak-main-mode',
      {},
      `main mode accepts ${listed(weak)}; the keys of quick modes without PFS are no safer than that`,
      'use -1s AES256-SHA256-14, or a group above, and delete the weak methods once all peers have better ones',
    ),
  ];
}

function listed(texts: readonly string[]): string {
  return texts.length < 2 ? texts.join() : `${texts.slice(0, -1).join(', ')} or ${texts.at(-1)}`;
}
