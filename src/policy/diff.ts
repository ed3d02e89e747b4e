/** What changes from one policy to another, in the words of the model. Ids do not count; keys are compared, not shown. */
import { describeFilter, describeHost, describeRule } from './describe.js';
import { describeMethod, printMainModeMethod } from './ipsecpol/security-method.js';
import { addressKey } from './lint/traffic-key.js';
import { type AuthenticationMethod, type Filter, type Policy, policyDefaults, type Rule } from './model.js';
import { printAuthenticationMethod } from './print-policy.js';

/** One difference. `before` is absent for what is new, `after` for what is gone. */
export interface PolicyDifference {
  /** `the policy`, `rule 'Peer'`. */
  readonly where: string;
  /** `poll interval`, `filter`, `rule`, … */
  readonly what: string;
  readonly before?: string;
  readonly after?: string;
}

/** All differences, those of the policy first, then rule by rule in the order of the second policy. */
export function diffPolicies(before: Policy, after: Policy): PolicyDifference[] {
  const pairs = matchRules(before.rules, after.rules);
  return [
    ...compareFields('the policy', policyFields(before), policyFields(after)),
    ...pairs.flatMap(({ old, now, name }) => ruleDifferences(name, old, now)),
  ];
}

/** `rule 'Peer': lifetime: 60 s -> 3600 s`, with `+` and `-` for what is new and gone. */
export function printDifference({ where, what, before, after }: PolicyDifference): string {
  if (before === undefined) return what === 'rule' ? `+ ${where}` : `+ ${where}: ${what}: ${after}`;
  if (after === undefined) return what === 'rule' ? `- ${where}` : `- ${where}: ${what}: ${before}`;
  return `~ ${where}: ${what}: ${before} -> ${after}`;
}

interface RulePair {
  readonly old: Rule | undefined;
  readonly now: Rule | undefined;
  readonly name: string;
}

/** Rules belong together by id, else by name, else by what they say. */
function matchRules(before: readonly Rule[], after: readonly Rule[]): RulePair[] {
  const left = new Set(before);
  const partners = new Map<Rule, Rule>();
  for (const keyOf of [idKey, nameKey, meaningKey]) {
    const byKey = new Map<string, Rule[]>();
    for (const rule of left) {
      const key = keyOf(rule);
      if (key === undefined) continue;
      const known = byKey.get(key);
      if (known === undefined) byKey.set(key, [rule]);
      else known.push(rule);
    }
    for (const rule of after) {
      const key = keyOf(rule);
      const partner = partners.has(rule) || key === undefined ? undefined : byKey.get(key)?.shift();
      if (partner === undefined) continue;
      partners.set(rule, partner);
      left.delete(partner);
    }
  }
  return [
    ...after.map((now, i) => ({ old: partners.get(now), now, name: describeRule(now, i) })),
    ...before.flatMap((old, i) =>
      left.has(old) ? [{ old, now: undefined, name: describeRule(old, i) }] : [],
    ),
  ];
}

const idKey = ({ id }: Rule) => id;
const nameKey = ({ name, filterList }: Rule) =>
  filterList === undefined
    ? 'default response'
    : name === undefined
      ? undefined
      : `name ${name.toLowerCase()}`;
const meaningKey = (rule: Rule) =>
  JSON.stringify([[...ruleFields(rule)], (rule.filterList?.filters ?? []).map(filterKey)]);

function ruleDifferences(name: string, old: Rule | undefined, now: Rule | undefined): PolicyDifference[] {
  if (old === undefined && now === undefined) return [];
  const presence =
    old === undefined
      ? [{ where: name, what: 'rule', after: '' }]
      : now === undefined
        ? [{ where: name, what: 'rule', before: '' }]
        : [];
  // Of a rule that is gone nothing more needs to be said.
  if (now === undefined) return presence;
  return [
    ...presence,
    ...compareFields(name, old === undefined ? new Map() : ruleFields(old), ruleFields(now)),
    ...(old === undefined ? [] : keyDifferences(name, old.authentication, now.authentication)),
    ...filterDifferences(name, old?.filterList?.filters ?? [], now.filterList?.filters ?? []),
  ];
}

type Fields = ReadonlyMap<string, string>;

function compareFields(where: string, before: Fields, after: Fields): PolicyDifference[] {
  return [...new Set([...after.keys(), ...before.keys()])].flatMap(what => {
    const [old, now] = [before.get(what), after.get(what)];
    if (old === now) return [];
    return [
      {
        where,
        what,
        ...(old === undefined ? {} : { before: old }),
        ...(now === undefined ? {} : { after: now }),
      },
    ];
  });
}

function policyFields({ name, description, pollIntervalMinutes, keyExchange }: Policy): Fields {
  const { masterKeyPfs, lifetimeSeconds, quickModeLimit, methods, aggressive } = keyExchange;
  const { softSaSeconds = policyDefaults.softSaSeconds } = keyExchange;
  return fields({
    name,
    description,
    'poll interval': `${pollIntervalMinutes} minutes`,
    'main mode methods': methods.map(printMainModeMethod).join(' '),
    'main mode lifetime': `${lifetimeSeconds} s`,
    'quick modes a main mode': quickModeLimit === 0 ? 'unlimited' : String(quickModeLimit),
    'main mode PFS': masterKeyPfs ? 'on' : 'off',
    'soft SA expiry': `${softSaSeconds} s`,
    'aggressive mode': aggressive ? 'on' : 'off',
  });
}

function ruleFields({
  name,
  description,
  active,
  filterList,
  action,
  authentication,
  tunnelEndpoint,
  connectionType,
}: Rule): Fields {
  const negotiate = action.kind === 'negotiate' ? action : undefined;
  return fields({
    name,
    description,
    state: active ? 'active' : 'not active',
    action: action.kind,
    'filter list': filterList?.name,
    'filter action': action.name,
    'security methods': negotiate?.methods.map(describeMethod).join(' '),
    'clear text inbound': negotiate && (negotiate.acceptUnsecured ? 'accepted' : 'refused'),
    'fall back to clear text': negotiate && (negotiate.allowFallback ? 'allowed' : 'not allowed'),
    authentication: negotiate && authentication.map(printAuthenticationMethod).join(', '),
    'tunnel endpoint': tunnelEndpoint && describeHost(tunnelEndpoint),
    adapters: connectionType,
  });
}

function fields(values: Readonly<Record<string, string | undefined>>): Fields {
  return new Map(
    Object.entries(values).flatMap(([what, value]) => (value === undefined ? [] : [[what, value] as const])),
  );
}

/** Where both have preshared keys in the same places, whether those are the same. */
function keyDifferences(
  where: string,
  before: readonly AuthenticationMethod[],
  after: readonly AuthenticationMethod[],
): PolicyDifference[] {
  const keysOf = (methods: readonly AuthenticationMethod[]) =>
    methods.flatMap(method => (method.kind === 'preshared' ? [method.key.reveal()] : []));
  const [old, now] = [keysOf(before), keysOf(after)];
  if (old.length !== now.length || old.every((key, i) => key === now[i])) return [];
  return [{ where, what: 'preshared key', before: '(not shown)', after: '(another one)' }];
}

function filterDifferences(
  where: string,
  before: readonly Filter[],
  after: readonly Filter[],
): PolicyDifference[] {
  const missing = new Map<string, Filter[]>();
  for (const filter of before) {
    const key = filterKey(filter);
    const known = missing.get(key);
    if (known === undefined) missing.set(key, [filter]);
    else known.push(filter);
  }
  const added = after.filter(filter => missing.get(filterKey(filter))?.shift() === undefined);
  return [
    ...added.map(filter => ({ where, what: 'filter', after: describeFilter(filter) })),
    ...[...missing.values()]
      .flat()
      .map(filter => ({ where, what: 'filter', before: describeFilter(filter) })),
  ];
}

/** A filter as comparable text; names with the addresses they stand for. */
function filterKey(filter: Filter): string {
  const { name = '', source, destination, protocol, sourcePort, destinationPort, mirrored } = filter;
  const side = (spec: Filter['source']) =>
    spec.kind === 'dns' ? `${addressKey(spec)} ${spec.addresses.join()}` : addressKey(spec);
  return JSON.stringify([
    name,
    side(source),
    side(destination),
    protocol,
    sourcePort,
    destinationPort,
    mirrored,
  ]);
}
