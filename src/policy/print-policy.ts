import { describeFilter, describeHost, describeRule } from './describe.js';
import { describeMethod, printMainModeMethod } from './ipsecpol/security-method.js';
import type { AuthenticationMethod, KeyExchangeSettings, Policy, Rule } from './model.js';

const connectionTypes: Record<Rule['connectionType'], string> = {
  all: 'all adapters',
  lan: 'LAN adapters',
  dialup: 'dial-up adapters',
};

/** A policy as text for people, line by line; keys are not shown. */
export function printPolicy(policy: Policy, assigned: boolean): string[] {
  return [
    `Policy '${policy.name}'${assigned ? ' (assigned)' : ''}`,
    `    Id               ${policy.id}`,
    ...(policy.description === undefined ? [] : [`    Description      ${policy.description}`]),
    `    Poll interval    ${policy.pollIntervalMinutes} minutes`,
    `    Main mode        ${policy.keyExchange.methods.map(printMainModeMethod).join(' ')}`,
    `    Main mode rekey  ${printMainModeLimits(policy.keyExchange)}`,
    ...(policy.keyExchange.softSaSeconds === undefined
      ? []
      : [`    Soft SA expiry   ${policy.keyExchange.softSaSeconds} seconds`]),
    ...policy.rules.flatMap((rule, i) => ['', ...printRule(rule, i)]),
  ];
}

/** `unlimited quick modes / 28800 seconds, PFS No`. */
export function printMainModeLimits({
  masterKeyPfs,
  lifetimeSeconds,
  quickModeLimit,
}: KeyExchangeSettings): string {
  const quickModes = quickModeLimit === 0 ? 'unlimited' : String(quickModeLimit);
  return `${quickModes} quick modes / ${lifetimeSeconds} seconds, PFS ${masterKeyPfs ? 'Yes' : 'No'}`;
}

/** The method's name, and for a certificate its authority; never the key. */
export function printAuthenticationMethod(method: AuthenticationMethod): string {
  switch (method.kind) {
    case 'preshared':
      return 'PRESHARE (key not shown)';
    case 'kerberos':
      return 'KERBEROS';
    case 'certificate':
      return `CERT:"${method.authority}"`;
  }
}

function printRule(rule: Rule, index: number): string[] {
  const name = describeRule(rule, index);
  const list = (title: string, items: readonly string[]) =>
    items.map((item, i) => `    ${(i === 0 ? title : '').padEnd(17)}${item}`);
  return [
    `${name.charAt(0).toUpperCase()}${name.slice(1)}${rule.active ? '' : ' (not active)'}`,
    ...list('Filters', rule.filterList?.filters.map(describeFilter) ?? []),
    ...list('Action', [printAction(rule)]),
    ...list('Methods', rule.action.kind === 'negotiate' ? rule.action.methods.map(describeMethod) : []),
    ...list(
      'Authentication',
      rule.action.kind === 'negotiate' ? rule.authentication.map(printAuthenticationMethod) : [],
    ),
    ...list('Tunnel endpoint', rule.tunnelEndpoint === undefined ? [] : [describeHost(rule.tunnelEndpoint)]),
    ...list('Connections', [connectionTypes[rule.connectionType]]),
  ];
}

function printAction({ action }: Rule): string {
  if (action.kind !== 'negotiate') return action.kind;
  return [
    'negotiate',
    ...(action.acceptUnsecured ? ['accept clear text inbound'] : []),
    ...(action.allowFallback ? ['fall back to clear text without an answer'] : []),
  ].join(', ');
}
