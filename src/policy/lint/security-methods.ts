/** Security methods that cannot be offered, or not together. */
import { encryption } from '../../crypto/algorithms.js';
import { finding, type PolicyFinding } from '../findings.js';
import { describeMethod } from '../ipsecpol/security-method.js';
import type { SecurityMethod } from '../model.js';
import { type Check, type NamedRule, placeOf } from './check.js';

export const securityMethodCheck: Check = {
  name: 'security-methods',
  run: ({ rules }) =>
    rules.flatMap(named =>
      named.rule.action.kind === 'negotiate' ? methodFindings(named, named.rule.action.methods) : [],
    ),
};

function authenticates({ ah, esp }: SecurityMethod): boolean {
  return (
    ah !== undefined ||
    esp?.hash !== undefined ||
    encryption(esp?.encryption ?? 'null').tagBytes !== undefined
  );
}

function methodFindings(named: NamedRule, methods: readonly SecurityMethod[]): PolicyFinding[] {
  if (methods.length === 0)
    return [
      finding('no-methods', placeOf(named), 'it has no security methods', 'add some with -n ESP[3DES,SHA]'),
    ];
  const findings: PolicyFinding[] = [];
  const seen = new Set<string>();
  for (const method of methods) {
    const text = describeMethod(method);
    const { ah, esp } = method;
    if (ah === undefined && esp === undefined)
      findings.push(
        finding('empty-method', placeOf(named), 'a security method is neither ESP nor AH', 'delete it'),
      );
    if (esp?.encryption === 'null' && esp.hash === undefined)
      findings.push(
        finding(
          'no-protection',
          placeOf(named),
          `${text} neither encrypts nor authenticates`,
          'name a cipher or a hash',
        ),
      );
    if (esp?.hash !== undefined && encryption(esp.encryption).tagBytes !== undefined)
      findings.push(
        finding(
          'combined-with-hash',
          placeOf(named),
          `${text}: the cipher brings its own integrity`,
          'leave the hash out',
        ),
      );
    if (method.extendedSequence && !authenticates(method))
      findings.push(
        finding(
          'sequence-without-integrity',
          placeOf(named),
          `${text}: extended sequence numbers are told by an integrity check, and there is none`,
          'name a hash, or leave the extended sequence numbers out',
        ),
      );
    if (seen.has(text))
      findings.push(finding('duplicate-method', placeOf(named), `${text} stands twice`, 'delete the second'));
    seen.add(text);
  }
  const groups = new Set(methods.map(({ pfs }) => (pfs ? (pfs.group ?? 'main mode') : 'none')));
  if (groups.size > 1)
    findings.push(
      finding(
        'mixed-pfs',
        placeOf(named),
        `its methods differ in PFS (${[...groups].join(', ')}), and a quick mode carries one key exchange`,
        'give all methods the same PFS; as it is, only those like the first are offered',
      ),
    );
  return findings;
}
