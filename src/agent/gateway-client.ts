/** A tunnel whose gateway wants a user (XAUTH) and gives us an address (mode-config): what it asks for, what it gets. */
import { Secret } from '../crypto/secret.js';
import type { AssignedAddress, Subnet } from '../driver/api.js';
import { IpseckitError } from '../report/errors.js';
import { addressFamily, ipAddress } from '../wire/ip/address.js';
import { assignedAddresses, type Configuration } from '../wire/isakmp/transaction.js';
import { addressBits, sameFamily, type TunnelSpec } from './tunnel.js';

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
 * The families of which an address is wanted: those of the networks asked for. A gateway that is to name them is asked for
 * both, where the host has both.
 */
export function wantedFamilies({ traffic }: TunnelSpec, ofHost: readonly Family[]): readonly Family[] {
  const asked = traffic.mode === 'tunnel' ? traffic.remoteNetworks : [];
  if (asked.length === 0) return ofHost;
  return families.filter(family => asked.some(isOf(family)));
}

/**
 * The tunnel as the gateway has configured it: from the addresses it assigned, to the networks asked for, else to those
 * it names, else to everywhere. An address of a family without a network is not used. Throws `IpseckitError`
 * (NEGOTIATION_FAILED).
 */
export function configuredTunnel(tunnel: TunnelSpec, configuration: Configuration): TunnelSpec {
  if (tunnel.modeConfig === undefined || tunnel.traffic.mode !== 'tunnel') return tunnel;
  const { remoteNetworks: asked, excludedNetworks } = tunnel.traffic;
  const addresses = assignedAddresses(configuration);
  if (addresses.length === 0)
    throw new IpseckitError('NEGOTIATION_FAILED', `${tunnel.peer} assigned no address`);
  const named = asked.length > 0 ? asked : configuration.networks;
  // A gateway that names no network takes all traffic.
  const remoteNetworks =
    named.length > 0 ? named : addresses.map(address => everything[addressFamily(address)]);
  const localNetworks = addresses
    .map(address => ({ address, prefixLength: addressBits(address) }))
    .filter(local => remoteNetworks.some(sameFamily(local)));
  // What was asked for must not stay outside; what the gateway names for want of a wish may.
  const apart = remoteNetworks.filter(network => !localNetworks.some(sameFamily(network)));
  const [stranded] = asked.length > 0 || localNetworks.length === 0 ? apart : [];
  if (stranded !== undefined)
    throw new IpseckitError(
      'NEGOTIATION_FAILED',
      `${tunnel.peer} assigned no IPv${addressFamily(stranded.address)} address for ${stranded.address}/${stranded.prefixLength}`,
      { next: 'ask it for networks of a family that it has addresses for: --remote-net' },
    );
  return {
    ...tunnel,
    traffic: { mode: 'tunnel', localNetworks, remoteNetworks, excludedNetworks },
    configuration,
  };
}

type Family = 4 | 6;

const families: readonly Family[] = [4, 6];

const everything: Readonly<Record<Family, Subnet>> = {
  4: { address: ipAddress('0.0.0.0'), prefixLength: 0 },
  6: { address: ipAddress('::'), prefixLength: 0 },
};

const isOf =
  (family: Family) =>
  ({ address }: Subnet) =>
    addressFamily(address) === family;

/** The addresses for the driver to give this host. */
export function assignedToHost({ traffic, configuration }: TunnelSpec): readonly AssignedAddress[] {
  if (configuration === undefined || traffic.mode !== 'tunnel') return [];
  return traffic.localNetworks.map(local => ({
    address: local.address,
    networks: traffic.remoteNetworks.filter(sameFamily(local)),
    excluded: traffic.excludedNetworks.filter(sameFamily(local)),
  }));
}

/** For people: `address 10.3.0.1 and fd03::1, DNS 10.2.0.53`. */
export function describeConfiguration(configuration: Configuration): string {
  const { dnsServers, domain } = configuration;
  const addresses = assignedAddresses(configuration);
  return [
    ...(addresses.length === 0 ? [] : [`address ${addresses.join(' and ')}`]),
    ...(dnsServers.length === 0 ? [] : [`DNS ${dnsServers.join(' ')}`]),
    ...(domain === undefined ? [] : [`domain ${domain}`]),
  ].join(', ');
}
