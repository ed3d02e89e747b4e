/** An ad-hoc tunnel as a policy in force. */
import {
  type AddressSpec,
  type Filter,
  type FilterAction,
  type Policy,
  policyDefaults,
  type Rule,
} from '../policy/model.js';
import type { IpAddress } from '../wire/ip/address.js';
import { ipProtocol } from '../wire/ip/packet.js';
import type { PolicySource } from './active-policy.js';
import { assignedToHost, wantedFamilies } from './gateway-client.js';
import { randomGuid } from './random-guid.js';
import { type Network, optional, sameFamily, type TunnelSpec } from './tunnel.js';
import { authenticationMethods } from './tunnel-authentication.js';

/**
 * The tunnel as a policy in force: two one-way rules in tunnel mode, one mirrored rule in transport mode. `families` are
 * those of which this host has addresses.
 */
export function tunnelSource(tunnel: TunnelSpec, families: readonly (4 | 6)[] = [4, 6]): PolicySource {
  const assigned = assignedToHost(tunnel);
  const policy: Policy = {
    id: randomGuid(),
    name: tunnel.name,
    pollIntervalMinutes: policyDefaults.pollIntervalMinutes,
    keyExchange: {
      masterKeyPfs: false,
      lifetimeSeconds: tunnel.mainModeLifetimeSeconds,
      quickModeLimit: 0,
      methods: tunnel.ike,
      ...(tunnel.aggressive ? { aggressive: true } : {}),
    },
    rules: rulesOf(tunnel),
  };
  return {
    origin: 'tunnel',
    policy,
    ike: {
      natTraversal: tunnel.forceEncapsulation ? 'forced' : 'auto',
      ...optional('xauth', tunnel.xauth),
      ...(tunnel.modeConfig === undefined
        ? {}
        : {
            modeConfig: {
              kind: tunnel.modeConfig,
              families: wantedFamilies(tunnel, families),
              inUse: assigned.map(({ address }) => address),
            },
          }),
      ...optional('identity', tunnel.identity),
      ...optional('peerIdentity', tunnel.peerIdentity),
      ...optional('credentials', tunnel.authentication.credentials),
    },
    ...(assigned.length === 0 ? {} : { assigned }),
  };
}

function rulesOf(tunnel: TunnelSpec): Rule[] {
  const { traffic } = tunnel;
  const rule = (
    name: string,
    filters: readonly Omit<Filter, 'id'>[],
    more: { readonly endpoint?: IpAddress; readonly action?: FilterAction } = {},
  ): Rule => ({
    id: randomGuid(),
    name: `${tunnel.name} ${name}`,
    active: true,
    filterList: { id: randomGuid(), filters: filters.map(filter => ({ id: randomGuid(), ...filter })) },
    action: more.action ?? {
      id: randomGuid(),
      kind: 'negotiate',
      methods: tunnel.methods,
      acceptUnsecured: false,
      allowFallback: false,
    },
    authentication: authenticationMethods(tunnel),
    ...optional('tunnelEndpoint', more.endpoint && ({ kind: 'host', address: more.endpoint } as const)),
    connectionType: 'all',
  });
  const host = (address: IpAddress): AddressSpec => ({ kind: 'host', address });
  const ends = { source: host(tunnel.local), destination: host(tunnel.peer) };
  if (traffic.mode === 'transport') {
    const { protocol, localPort, remotePort } = traffic;
    return [
      rule('transport', [
        { ...ends, protocol, sourcePort: localPort, destinationPort: remotePort, mirrored: true },
      ]),
    ];
  }
  const inAndOut = (out: readonly Omit<Filter, 'id'>[]) => [
    rule('out', out, { endpoint: tunnel.peer }),
    rule('in', out.map(turned), { endpoint: tunnel.local }),
  ];
  // Until the gateway has assigned an address, what no filter ever sees, IKE, stands for the traffic: all else goes on.
  if (isUnassigned(tunnel))
    return inAndOut([
      { ...ends, protocol: ipProtocol.udp, sourcePort: 500, destinationPort: 500, mirrored: false },
    ]);
  const between = (remoteNetworks: readonly Network[], mirrored: boolean) =>
    traffic.localNetworks.flatMap(local =>
      remoteNetworks.filter(sameFamily(local)).map(remote => ({
        source: { kind: 'subnet', ...local } as const,
        destination: { kind: 'subnet', ...remote } as const,
        ...{ protocol: 0, sourcePort: 0, destinationPort: 0, mirrored },
      })),
    );
  // From an assigned address there is no other way than the tunnel: what is excluded is reached from the host's own.
  const direct = tunnel.configuration === undefined ? between(traffic.excludedNetworks, true) : [];
  const action = { id: randomGuid(), kind: 'permit' } as const;
  return [
    ...inAndOut(between(traffic.remoteNetworks, false)),
    ...(direct.length > 0 ? [rule('direct', direct, { action })] : []),
  ];
}

function isUnassigned({ modeConfig, configuration }: TunnelSpec): boolean {
  return modeConfig !== undefined && configuration === undefined;
}

function turned<T extends Omit<Filter, 'id'>>(filter: T): T {
  return { ...filter, source: filter.destination, destination: filter.source };
}
