/**
 * Changes of a policy in the model's own words: what `policy create|edit`, `rule …` and `filter …` do. Pure: GUIDs,
 * resolved names and keys come in.
 */
import { IpseckitError } from '../report/errors.js';
import {
  type BuildContext,
  buildAuthentication,
  buildFilters,
  buildHost,
  defaultMethods,
  defaultResponseMethods,
  type FilterAddressText,
  type FilterText,
  sameName,
} from './build.js';
import { describeFilter, describeRule, specialNames } from './describe.js';
import type { AddressText, AuthenticationSpec, HostText } from './ipsecpol/command.js';
import { printFilterSpec } from './ipsecpol/filter-spec.js';
import type {
  Filter,
  FilterAction,
  Guid,
  MainModeMethod,
  NegotiateAction,
  Policy,
  Rule,
  SecurityMethod,
} from './model.js';

/** What is given replaces what is there. */
export interface PolicyChanges {
  readonly name?: string;
  /** Empty takes it away. */
  readonly description?: string;
  readonly pollIntervalMinutes?: number;
  readonly methods?: readonly MainModeMethod[];
  readonly lifetimeSeconds?: number;
  readonly masterKeyPfs?: boolean;
  readonly aggressive?: boolean;
  /** 0 is unlimited. */
  readonly quickModeLimit?: number;
}

/** What is given replaces what is there; a new rule gets the defaults of `ipsecpol` for the rest. */
export interface RuleChanges {
  readonly name?: string;
  /** Empty takes it away. */
  readonly description?: string;
  readonly active?: boolean;
  readonly filters?: readonly FilterText[];
  readonly action?: ActionChanges;
  /** In order of preference. */
  readonly authentication?: readonly AuthenticationSpec[];
  /** `none` makes it a transport rule. */
  readonly tunnel?: HostText | 'none';
  readonly connectionType?: Rule['connectionType'];
}

export type ActionChanges =
  | { readonly kind: 'permit' | 'block' }
  | {
      readonly kind: 'negotiate';
      readonly methods?: readonly SecurityMethod[];
      readonly acceptUnsecured?: boolean;
      readonly allowFallback?: boolean;
      /** For each method. */
      readonly lifetimeSeconds?: number;
      readonly lifetimeKilobytes?: number;
      readonly pfs?: NonNullable<SecurityMethod['pfs']> | 'none';
      readonly extendedSequence?: boolean;
    };

/** Which rule: itself, its name in any case, its number from 1, or `default` for the default response rule. */
export type RuleReference = string | Rule;

/** Host names the changes need resolved. */
export function namesInChanges({ filters = [], tunnel }: RuleChanges): string[] {
  const hosts = [
    ...filters.flatMap(({ source, destination }) => [source, destination]),
    ...(tunnel === undefined || tunnel === 'none' ? [] : [tunnel]),
  ];
  return [...new Set(hosts.flatMap(host => (host.kind === 'name' ? [host.name] : [])))];
}

/** The policy with changed settings. Throws `IpseckitError` (CONFLICT) for settings that exclude each other. */
export function changePolicy(policy: Policy, changes: PolicyChanges): Policy {
  const { keyExchange, description: oldDescription, ...rest } = policy;
  const { aggressive: wasAggressive = false, ...before } = keyExchange;
  const { description = oldDescription } = changes;
  const masterKeyPfs = changes.masterKeyPfs ?? before.masterKeyPfs;
  if (masterKeyPfs && (changes.quickModeLimit ?? 1) !== 1)
    throw new IpseckitError('CONFLICT', 'main mode PFS allows one quick mode for each main mode', {
      next: 'leave the limit of quick modes (--sessions) out',
    });
  const quickModeLimit = masterKeyPfs
    ? 1
    : (changes.quickModeLimit ?? (before.masterKeyPfs ? 0 : before.quickModeLimit));
  return {
    ...rest,
    name: changes.name ?? policy.name,
    ...(description === undefined || description === '' ? {} : { description }),
    pollIntervalMinutes: changes.pollIntervalMinutes ?? policy.pollIntervalMinutes,
    keyExchange: {
      ...before,
      masterKeyPfs,
      quickModeLimit,
      lifetimeSeconds: changes.lifetimeSeconds ?? before.lifetimeSeconds,
      methods: changes.methods ?? before.methods,
      ...((changes.aggressive ?? wasAggressive) ? { aggressive: true } : {}),
    },
  };
}

/**
 * The policy with a rule more; without `filters` that is the default response rule. Throws `IpseckitError` (CONFLICT)
 * when there is a rule of its name, or a second default response rule.
 */
export function addRule(policy: Policy, changes: RuleChanges, context: BuildContext): Policy {
  const isDefault = changes.filters === undefined;
  const other = policy.rules.find(rule =>
    isDefault
      ? rule.filterList === undefined
      : changes.name !== undefined && rule.filterList !== undefined && sameName(rule.name, changes.name),
  );
  if (other !== undefined)
    throw new IpseckitError(
      'CONFLICT',
      `policy '${policy.name}' has ${isDefault ? 'a default response rule' : `a rule '${other.name}'`} already`,
      { next: 'change it with "ipseckit rule edit", or choose another name' },
    );
  const blank: Rule = {
    id: context.newGuid(),
    active: true,
    ...(isDefault ? {} : { filterList: { id: context.newGuid(), filters: [] } }),
    action: newAction(context.newGuid(), isDefault),
    authentication: [{ kind: 'kerberos' }],
    connectionType: 'all',
  };
  return { ...policy, rules: [...policy.rules, changed(blank, policy, changes, context)] };
}

/** The policy with a rule changed. Throws `IpseckitError`: STORE when there is none, CONFLICT for a name that is taken. */
export function editRule(
  policy: Policy,
  reference: RuleReference,
  changes: RuleChanges,
  context: BuildContext,
): Policy {
  const rule = findRule(policy, reference);
  const { name } = changes;
  if (name !== undefined && policy.rules.some(other => other !== rule && sameName(other.name, name)))
    throw new IpseckitError('CONFLICT', `policy '${policy.name}' has a rule '${name}' already`, {
      next: 'choose another name',
    });
  if (rule.filterList === undefined && changes.filters !== undefined)
    throw new IpseckitError('CONFLICT', 'the default response rule has no filters', {
      next: 'add a rule with "ipseckit rule add"',
    });
  return replaceRule(policy, rule, changed(rule, policy, changes, context));
}

/** The policy without a rule. Throws `IpseckitError` (STORE) when there is none. */
export function removeRule(policy: Policy, reference: RuleReference): Policy {
  const rule = findRule(policy, reference);
  return { ...policy, rules: policy.rules.filter(other => other !== rule) };
}

/** The policy with more filters in a rule. Throws `IpseckitError`: STORE, CONFLICT when one is there already. */
export function addFilters(
  policy: Policy,
  reference: RuleReference,
  filters: readonly FilterText[],
  context: BuildContext,
): Policy {
  const rule = findRule(policy, reference);
  const before = filtersOf(rule, policy);
  const there = new Set(before.map(describeFilter));
  const added = buildFilters(filters, [], context, false);
  for (const filter of added) {
    const text = describeFilter(filter);
    if (there.has(text))
      throw new IpseckitError('CONFLICT', `${nameOf(rule, policy)} has the filter '${text}' already`, {
        next: 'leave it out',
      });
    there.add(text);
  }
  return replaceRule(policy, rule, withFilters(rule, policy, [...before, ...added], context));
}

/** The policy with fewer filters in a rule. Throws `IpseckitError` (STORE) when one is not there. */
export function removeFilters(
  policy: Policy,
  reference: RuleReference,
  filters: readonly FilterText[],
  context: BuildContext,
): Policy {
  const rule = findRule(policy, reference);
  const before = filtersOf(rule, policy);
  const gone = new Set(filters.map(describeInput));
  const there = new Set(before.map(describeFilter));
  const missing = [...gone].find(text => !there.has(text));
  if (missing !== undefined)
    throw new IpseckitError('STORE', `${nameOf(rule, policy)} has no filter '${missing}'`, {
      next: '"ipseckit policy show" lists its filters as they are written',
    });
  const left = before.filter(filter => !gone.has(describeFilter(filter)));
  if (left.length === 0)
    throw new IpseckitError('CONFLICT', `${nameOf(rule, policy)} would have no filters left`, {
      next: 'remove the rule with "ipseckit rule remove"',
    });
  return replaceRule(policy, rule, withFilters(rule, policy, left, context));
}

/** Throws `IpseckitError` (STORE) when there is no such rule. */
export function findRule(policy: Policy, reference: RuleReference): Rule {
  const { rules } = policy;
  if (typeof reference !== 'string') return reference;
  const found =
    rules.find(rule => sameName(rule.name, reference)) ??
    (/^\d{1,9}$/.test(reference) ? rules[Number(reference) - 1] : undefined) ??
    (reference.toLowerCase() === 'default' ? rules.find(rule => rule.filterList === undefined) : undefined);
  if (found !== undefined) return found;
  throw new IpseckitError('STORE', `policy '${policy.name}' has no rule '${reference}'`, {
    next: 'name it, give its number, or write "default"; "ipseckit policy show" lists the rules',
  });
}

function filtersOf(rule: Rule, policy: Policy): readonly Filter[] {
  if (rule.filterList !== undefined) return rule.filterList.filters;
  throw new IpseckitError('CONFLICT', `${nameOf(rule, policy)} has no filters`, {
    next: 'add a rule with "ipseckit rule add"',
  });
}

function nameOf(rule: Rule, policy: Policy): string {
  return describeRule(rule, policy.rules.indexOf(rule));
}

function changed(rule: Rule, policy: Policy, changes: RuleChanges, context: BuildContext): Rule {
  const { name: oldName, description: oldDescription, tunnelEndpoint: oldEndpoint, ...rest } = rule;
  const { name = oldName, description = oldDescription, tunnel, action, authentication } = changes;
  const endpoint =
    tunnel === undefined ? oldEndpoint : tunnel === 'none' ? undefined : buildHost(tunnel, context, false);
  const next: Rule = {
    ...rest,
    ...(name === undefined ? {} : { name }),
    ...(description === undefined || description === '' ? {} : { description }),
    active: changes.active ?? rule.active,
    action: action === undefined ? rule.action : changeAction(rule, policy, action, context),
    authentication:
      authentication === undefined
        ? rule.authentication
        : authentication.map(method => buildAuthentication(method, context)),
    ...(endpoint === undefined ? {} : { tunnelEndpoint: endpoint }),
    connectionType: changes.connectionType ?? rule.connectionType,
  };
  if (changes.filters === undefined) return next;
  return withFilters(
    next,
    policy,
    buildFilters(changes.filters, rule.filterList?.filters ?? [], context, false),
    context,
  );
}

/** An action that other rules share stays with them: this rule gets one of its own. */
function changeAction(
  rule: Rule,
  policy: Policy,
  changes: ActionChanges,
  context: BuildContext,
): FilterAction {
  const { action } = rule;
  const shared = policy.rules.some(other => other.id !== rule.id && other.action.id === action.id);
  const id = shared ? context.newGuid() : action.id;
  if (changes.kind !== 'negotiate') return { id, kind: changes.kind };
  const before: NegotiateAction =
    action.kind === 'negotiate' ? action : newAction(id, rule.filterList === undefined);
  const { methods = before.methods, acceptUnsecured, allowFallback } = changes;
  const { name, description, ...unnamed } = before;
  return {
    ...unnamed,
    ...(shared || name === undefined ? {} : { name }),
    ...(shared || description === undefined ? {} : { description }),
    id,
    methods: methods.map(method => changeMethod(method, changes)),
    acceptUnsecured: acceptUnsecured ?? before.acceptUnsecured,
    allowFallback: allowFallback ?? before.allowFallback,
  };
}

function changeMethod(
  { pfs: oldPfs, extendedSequence: wasExtended = false, ...method }: SecurityMethod,
  {
    lifetimeSeconds,
    lifetimeKilobytes,
    pfs = oldPfs,
    extendedSequence = wasExtended,
  }: Extract<ActionChanges, { kind: 'negotiate' }>,
): SecurityMethod {
  return {
    ...method,
    ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }),
    ...(lifetimeKilobytes === undefined ? {} : { lifetimeKilobytes }),
    ...(pfs === undefined || pfs === 'none' ? {} : { pfs }),
    ...(extendedSequence ? { extendedSequence } : {}),
  };
}

function newAction(id: Guid, isDefault: boolean): NegotiateAction {
  return {
    id,
    kind: 'negotiate',
    methods: isDefault ? defaultResponseMethods : defaultMethods,
    acceptUnsecured: false,
    allowFallback: false,
  };
}

/** A filter list that other rules share stays with them: this rule gets one of its own. */
function withFilters(rule: Rule, policy: Policy, filters: readonly Filter[], context: BuildContext): Rule {
  const { filterList } = rule;
  const shared = policy.rules.some(
    other => other.id !== rule.id && filterList !== undefined && other.filterList?.id === filterList.id,
  );
  if (filterList === undefined || shared) return { ...rule, filterList: { id: context.newGuid(), filters } };
  const kept = new Set(filters.map(({ id }) => id));
  const { furtherLists, ...list } = filterList;
  return {
    ...rule,
    filterList: {
      ...list,
      filters,
      ...(furtherLists === undefined
        ? {}
        : {
            furtherLists: furtherLists.map(further => ({
              ...further,
              filterIds: further.filterIds.filter(id => kept.has(id)),
            })),
          }),
    },
  };
}

/** As `describeFilter` has it once the names are resolved. */
function describeInput(filter: FilterText): string {
  const named = (address: FilterAddressText): AddressText =>
    address.kind === 'special' ? { kind: 'name', name: specialNames[address.group] } : address;
  return printFilterSpec({
    ...filter,
    kind: 'traffic',
    source: named(filter.source),
    destination: named(filter.destination),
  });
}

function replaceRule(policy: Policy, before: Rule, after: Rule): Policy {
  return { ...policy, rules: policy.rules.map(rule => (rule === before ? after : rule)) };
}
