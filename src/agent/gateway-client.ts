/** A tunnel whose gateway wants a user (XAUTH) and gives us an address (mode-config): what it asks for, what it gets. */
import { Secret } from '../crypto/secret.js';
import type { AssignedAddress, Subnet } from '../driver/api.js';
import { IpseckitError } from '../report/errors.js';
import { addressFamily, ipAddress } from '../wire/ip/address.js';
import type { Configuration } from '../wire/isakmp/transaction.js';
import type { TunnelSpec } from './tunnel.js';

/** The fields of a tunnel document about its gateway. Throws `IpseckitError` (USAGE, CONFLICT) naming the field. */
export function parseGatewayClient(
  document: Record<string, unknown>,
): Pick<TunnelSpec, 'xauth' | 'modeConfig'> {
  const { xauthUser, xauthPassword, modeConfig, localNetworks } = document;
  for (const [field, value] of Object.entries({ xauthUser, xauthPassword }))
    if (value !== undefined && (typeof value !== 'string' || value === '' || value.length > 1_024))
      throw new IpseckitError('USAGE', `${field}: must be text, and not empty`);
  if (modeConfig !== undefined && modeConfig !== 'pull' && modeConfig !== 'push')
    throw new IpseckitError('USAGE', 'modeConfig: must be "pull" or "push"');
  if (xauthUser === undefined && xauthPassword !== undefined)
    throw new IpseckitError('USAGE', 'xauthUser: is missing');
  if (modeConfig !== undefined && localNetworks !== undefined)
    throw new IpseckitError(
      'CONFLICT',
      'the gateway assigns our address: there is no local network to choose',
      {
        next: 'leave out --local-net, or --mode-config',
      },
    );
  return {
    ...(typeof xauthUser === 'string'
      ? {
          xauth: {
            user: xauthUser,
            ...(typeof xauthPassword === 'string' ? { password: new Secret(xauthPassword) } : {}),
          },
        }
      : {}),
    ...(modeConfig === undefined ? {} : { modeConfig }),
  };
}

/**
 * The tunnel as the gateway has configured it: from the address it assigned, to the networks asked for, else to those
 * it names, else to everywhere. Throws `IpseckitError` (NEGOTIATION_FAILED).
 */
export function configuredTunnel(tunnel: TunnelSpec, configuration: Configuration): TunnelSpec {
  const { address } = configuration;
  if (tunnel.modeConfig === undefined || tunnel.traffic.mode !== 'tunnel') return tunnel;
  if (address === undefined)
    throw new IpseckitError('NEGOTIATION_FAILED', `${tunnel.peer} assigned no address`);
  const { remoteNetworks: asked, excludedNetworks } = tunnel.traffic;
  const named = asked.length > 0 ? asked : configuration.networks;
  // A gateway that names no network takes all traffic.
  const remoteNetworks = named.length > 0 ? named : [everything];
  const localNetworks = [{ address, prefixLength: 32 }];
  return {
    ...tunnel,
    traffic: { mode: 'tunnel', localNetworks, remoteNetworks, excludedNetworks },
    configuration,
  };
}

const everything: Subnet = { address: ipAddress('0.0.0.0'), prefixLength: 0 };

/** The address for the driver to give this host. */
export function assignedAddress({ traffic, configuration }: TunnelSpec): AssignedAddress | undefined {
  if (configuration?.address === undefined || traffic.mode !== 'tunnel') return undefined;
  const ipv4 = (networks: readonly Subnet[]) =>
    networks.filter(({ address }) => addressFamily(address) === 4);
  const [networks, excluded] = [ipv4(traffic.remoteNetworks), ipv4(traffic.excludedNetworks)];
  return { address: configuration.address, networks, excluded };
}

/** For people: `address 10.3.0.1, DNS 10.2.0.53`. */
export function describeConfiguration({ address, dnsServers, domain }: Configuration): string {
  return [
    ...(address === undefined ? [] : [`address ${address}`]),
    ...(dnsServers.length === 0 ? [] : [`DNS ${dnsServers.join(' ')}`]),
    ...(domain === undefined ? [] : [`domain ${domain}`]),
  ].join(', ');
}
