/** Checks a policy for what cannot work and what most likely is not meant. Pure; everything found is data. */
import { encryption } from '../crypto/algorithms.js';
import { addressFamily } from '../wire/ip/address.js';
import { subnetRange } from '../wire/ip/selector.js';
import { describeFilter, describeRule } from './describe.js';
import { type FindingPlace, finding, type PolicyFinding } from './findings.js';
import { printIpsecpolMethod, printMainModeMethod } from './ipsecpol/security-method.js';
import type { AddressSpec, Filter, KeyExchangeSettings, NegotiateAction, Policy, Rule } from './model.js';
import { carriesPorts, protocolName } from './protocols.js';
import { trafficFindings } from './validate-traffic.js';

/** Shorter quick modes only fill logs with "bad SPI" (`policy-semantics.md` 4.2). */
const shortestLifetime = { seconds: 300, kilobytes: 50_000 } as const;

/** Everything found, errors first, each group in the order of the policy. */
export function validatePolicy(policy: Policy): PolicyFinding[] {
  const findings = [
    ...(policy.name.trim() === '' ? [finding('no-name', {}, 'the policy has no name', 'give it one')] : []),
    ...keyExchangeFindings(policy),
    ...ruleListFindings(policy.rules),
    ...policy.rules.flatMap((rule, i) => ruleFindings(rule, describeRule(rule, i))),
    ...trafficFindings(policy.rules),
  ];
  return [
    ...findings.filter(({ severity }) => severity === 'error'),
    ...findings.filter(({ severity }) => severity === 'warning'),
  ];
}

function keyExchangeFindings({ keyExchange, rules }: Policy): PolicyFinding[] {
  const { methods, lifetimeSeconds, masterKeyPfs, quickModeLimit }: KeyExchangeSettings = keyExchange;
  const findings: PolicyFinding[] = [];
  if (methods.length === 0 && rules.some(({ action }) => action.kind === 'negotiate'))
    findings.push(
      finding('no-main-mode-methods', {}, 'there are no main mode methods', 'add some with -1s 3DES-SHA-2'),
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
}

function ruleListFindings(rules: readonly Rule[]): PolicyFinding[] {
  const findings: PolicyFinding[] = [];
  const ids = new Set<string>();
  const names = new Set<string>();
  for (const [i, rule] of rules.entries()) {
    const where = { rule: describeRule(rule, i), ruleId: rule.id };
    if (ids.has(rule.id))
      findings.push(
        finding('duplicate-rule-id', where, `another rule has the id ${rule.id}`, 'delete one of them'),
      );
    ids.add(rule.id);
    const name = rule.name?.toLowerCase();
    if (name === undefined) continue;
    if (names.has(name))
      findings.push(
        finding(
          'duplicate-rule-name',
          where,
          'another rule has this name',
          'rename one: -r changes only the first',
        ),
      );
    names.add(name);
  }
  if (rules.filter(rule => rule.active && rule.filterList === undefined).length > 1)
    findings.push(
      finding(
        'several-default-rules',
        {},
        'there are several default response rules',
        'only the first counts',
      ),
    );
  return findings;
}

function ruleFindings(rule: Rule, name: string): PolicyFinding[] {
  const where: FindingPlace = { rule: name, ruleId: rule.id };
  const { action, filterList } = rule;
  const findings: PolicyFinding[] = [];
  if (filterList?.filters.length === 0)
    findings.push(finding('no-filters', where, 'its filter list is empty', 'give it filters with -f'));
  if (filterList === undefined && action.kind !== 'negotiate')
    findings.push(
      finding(
        'default-rule-action',
        where,
        'the default response rule can only negotiate',
        'use a rule with filters',
      ),
    );
  if (action.kind === 'negotiate')
    findings.push(...methodFindings(action, where), ...authenticationFindings(rule, where));
  for (const filter of filterList?.filters ?? [])
    findings.push(
      ...filterFindings(rule, filter, { ...where, filter: describeFilter(filter), filterId: filter.id }),
    );
  if (rule.tunnelEndpoint !== undefined) findings.push(...tunnelFindings(rule, where));
  return findings;
}

function methodFindings({ methods }: NegotiateAction, where: FindingPlace): PolicyFinding[] {
  if (methods.length === 0)
    return [finding('no-methods', where, 'it has no security methods', 'add some with -n ESP[3DES,SHA]')];
  const findings: PolicyFinding[] = [];
  const seen = new Set<string>();
  for (const method of methods) {
    const text = printIpsecpolMethod(method);
    const { ah, esp, lifetimeSeconds = 0, lifetimeKilobytes = 0 } = method;
    if (ah === undefined && esp === undefined)
      findings.push(finding('empty-method', where, 'a security method is neither ESP nor AH', 'delete it'));
    if (esp?.encryption === 'null' && esp.hash === undefined)
      findings.push(
        finding(
          'no-protection',
          where,
          `${text} neither encrypts nor authenticates`,
          'name a cipher or a hash',
        ),
      );
    if (esp?.hash !== undefined && encryption(esp.encryption).tagBytes !== undefined)
      findings.push(
        finding(
          'combined-with-hash',
          where,
          `${text}: the cipher brings its own integrity`,
          'leave the hash out',
        ),
      );
    if (seen.has(text))
      findings.push(finding('duplicate-method', where, `${text} stands twice`, 'delete the second'));
    seen.add(text);
    if (
      (lifetimeSeconds > 0 && lifetimeSeconds < shortestLifetime.seconds) ||
      (lifetimeKilobytes > 0 && lifetimeKilobytes < shortestLifetime.kilobytes)
    )
      findings.push(
        finding(
          'short-lifetime',
          where,
          `${text} rekeys very often`,
          `use ${shortestLifetime.seconds}S and ${shortestLifetime.kilobytes}K or more`,
        ),
      );
  }
  const groups = new Set(methods.map(({ pfs }) => (pfs ? (pfs.group ?? 'main mode') : 'none')));
  if (groups.size > 1)
    findings.push(
      finding(
        'mixed-pfs',
        where,
        `its methods differ in PFS (${[...groups].join(', ')}), and a quick mode carries one key exchange`,
        'give all methods the same PFS; as it is, only those like the first are offered',
      ),
    );
  return findings;
}

function authenticationFindings({ authentication }: Rule, where: FindingPlace): PolicyFinding[] {
  if (authentication.length === 0)
    return [
      finding(
        'no-authentication',
        where,
        'it has no authentication method',
        'add one with -a PRESHARE:"key"',
      ),
    ];
  if (authentication.some(({ kind }) => kind === 'preshared')) return [];
  const kinds = [...new Set(authentication.map(({ kind }) => (kind === 'kerberos' ? 'KERBEROS' : 'CERT')))];
  return [
    finding(
      'not-negotiable',
      where,
      `${kinds.join(' and ')} authentication is not negotiable yet, so its traffic will be dropped`,
      'add -a PRESHARE:"key" or -a PRESHARE-FILE:path',
    ),
  ];
}

function filterFindings(rule: Rule, filter: Filter, where: FindingPlace): PolicyFinding[] {
  const { protocol, sourcePort, destinationPort } = filter;
  const findings = [filter.source, filter.destination].flatMap(spec => addressFindings(spec, where));
  if ((sourcePort !== 0 || destinationPort !== 0) && !carriesPorts(protocol))
    findings.push(
      finding(
        'port-without-protocol',
        where,
        `ports mean nothing with protocol ${protocolName(protocol)}`,
        'use TCP or UDP, or leave the ports out',
      ),
    );
  const families = [filter.source, filter.destination].map(familyOf).filter(family => family !== undefined);
  if (new Set(families).size > 1)
    findings.push(
      finding('mixed-families', where, 'one side is IPv4 and the other IPv6', 'use one family on both sides'),
    );
  if (rule.tunnelEndpoint === undefined) return findings;
  if (filter.mirrored)
    findings.push(
      finding(
        'tunnel-mirrored',
        where,
        "a tunnel's filters have one direction, this one is mirrored",
        "write '=', and a second rule with the other endpoint for the way back",
      ),
    );
  if (protocol !== 0)
    findings.push(
      finding(
        'tunnel-selector',
        where,
        'tunnels by protocol or port are not dependable: fragments have no ports, and peers may refuse',
        'tunnel all protocols between the two networks',
      ),
    );
  return findings;
}

function addressFindings(spec: AddressSpec, where: FindingPlace): PolicyFinding[] {
  if (spec.kind === 'dns' && spec.addresses.length === 0)
    return [
      finding(
        'unresolved-name',
        where,
        `no address is known for '${spec.name}'`,
        'write the rule again to resolve it',
      ),
    ];
  if (spec.kind !== 'subnet') return [];
  const bits = addressFamily(spec.address) === 4 ? 32 : 128;
  if (spec.prefixLength <= bits && subnetRange(spec.address, spec.prefixLength).first === spec.address)
    return [];
  return [
    finding(
      'bad-prefix',
      where,
      `${spec.address}/${spec.prefixLength} is not a subnet`,
      'write the subnet address, with no bits behind the mask',
    ),
  ];
}

function familyOf(spec: AddressSpec): 4 | 6 | undefined {
  return spec.kind === 'host' || spec.kind === 'subnet' ? addressFamily(spec.address) : undefined;
}

function tunnelFindings({ action, tunnelEndpoint }: Rule, where: FindingPlace): PolicyFinding[] {
  const findings: PolicyFinding[] = [];
  if (action.kind !== 'negotiate')
    findings.push(
      finding('tunnel-action', where, `a tunnel rule cannot ${action.kind}`, 'leave -t out, or negotiate'),
    );
  else if (action.acceptUnsecured || action.allowFallback)
    findings.push(
      finding(
        'tunnel-clear',
        where,
        'a tunnel that also takes clear text protects nothing',
        'leave -soft and INPASS out',
      ),
    );
  if (tunnelEndpoint?.kind === 'dns' && tunnelEndpoint.addresses.length === 0)
    findings.push(
      finding(
        'unresolved-name',
        where,
        `no address is known for the tunnel endpoint '${tunnelEndpoint.name}'`,
        'write the rule again to resolve it',
      ),
    );
  return findings;
}
