/** The three policies every Windows 2000 has, with their settings (`policy-semantics.md` 2). */
import { defaultKeyExchange, defaultMethods, defaultResponseMethods } from './build.js';
import type { AuthenticationMethod, Filter, FilterAction, FilterList, Guid, Policy, Rule } from './model.js';
import { policyDefaults, type SecurityMethod } from './model.js';

/** The built-in policies by what `policy create --builtin` calls them. */
export const builtinNames = {
  client: 'Client (Respond Only)',
  server: 'Server (Request Security)',
  'secure-server': 'Secure Server (Require Security)',
} as const;

export type BuiltinName = keyof typeof builtinNames;

const descriptions: Record<BuiltinName, string> = {
  client:
    'Communicate normally (unsecured). Use the default response rule to negotiate with servers that request security. Only the requested protocol and port traffic with that server is secured.',
  server:
    'For all IP traffic, always request security using Kerberos trust. Allow unsecured communication with clients that do not respond to request.',
  'secure-server':
    'For all IP traffic, always require security using Kerberos trust. Do NOT allow unsecured communication with untrusted clients.',
};

/** Lifetimes of the stock filter actions: those of ESP and of AH methods. */
const espLifetime = { lifetimeSeconds: 900, lifetimeKilobytes: 100_000 };
const ahLifetime = { lifetimeSeconds: 300, lifetimeKilobytes: 100_000 };

const espMethods: readonly SecurityMethod[] = defaultMethods.map(method => ({ ...method, ...espLifetime }));
const ahMethods: readonly SecurityMethod[] = defaultResponseMethods
  .filter(({ esp }) => esp === undefined)
  .map(method => ({ ...method, ...ahLifetime }));

const kerberos: readonly AuthenticationMethod[] = [{ kind: 'kerberos' }];

/**
 * All three, with ids from `newGuid`. The filter lists and the Permit action are shared between the policies, as in
 * Windows. The security methods of the stock actions were never published; they are the ones people recall.
 */
export function builtinPolicies(newGuid: () => Guid): Record<BuiltinName, Policy> {
  const traffic = (name: string, protocol: number): FilterList => {
    const filter: Filter = {
      id: newGuid(),
      source: { kind: 'me' },
      destination: { kind: 'any' },
      protocol,
      sourcePort: 0,
      destinationPort: 0,
      mirrored: true,
    };
    return { id: newGuid(), name, filters: [filter] };
  };
  const allIp = traffic('All IP Traffic', 0);
  const allIcmp = traffic('All ICMP Traffic', 1);
  const permit: FilterAction = { id: newGuid(), name: 'Permit', kind: 'permit' };
  const negotiate = (
    name: string,
    methods: readonly SecurityMethod[],
    allowFallback: boolean,
  ): FilterAction => ({
    id: newGuid(),
    name,
    kind: 'negotiate',
    methods,
    acceptUnsecured: true,
    allowFallback,
  });
  const rule = (filterList: FilterList, action: FilterAction): Rule => ({
    id: newGuid(),
    name: filterList.name ?? '',
    active: true,
    filterList,
    action,
    authentication: kerberos,
    connectionType: 'all',
  });
  const defaultResponse = (): Rule => ({
    id: newGuid(),
    active: true,
    action: {
      id: newGuid(),
      name: 'Default Response',
      kind: 'negotiate',
      methods: defaultResponseMethods,
      acceptUnsecured: false,
      allowFallback: false,
    },
    authentication: kerberos,
    connectionType: 'all',
  });
  const policy = (name: BuiltinName, rules: readonly Rule[]): Policy => ({
    id: newGuid(),
    name: builtinNames[name],
    description: descriptions[name],
    pollIntervalMinutes: policyDefaults.pollIntervalMinutes,
    keyExchange: defaultKeyExchange,
    rules: [...rules, defaultResponse()],
  });
  const request = negotiate('Request Security (Optional)', [...espMethods, ...ahMethods], true);
  const require = negotiate('Require Security', espMethods, false);
  return {
    client: policy('client', []),
    server: policy('server', [rule(allIp, request), rule(allIcmp, permit)]),
    'secure-server': policy('secure-server', [rule(allIp, require), rule(allIcmp, permit)]),
  };
}
