/** A tunnel that would cut off the remote shell it is brought up from. */
import type { TunnelSpec } from '../agent/tunnel.js';
import type { ShellConnection } from '../policy/lint/check.js';
import { IpseckitError } from '../report/errors.js';
import type { IpAddress } from '../wire/ip/address.js';
import { addressFamily } from '../wire/ip/address.js';
import { rangeContains, subnetRange } from '../wire/ip/selector.js';

/**
 * Throws `IpseckitError` (CONFLICT) when everything, the gateway's own address included, goes into the tunnel, and with it
 * the connection of the shell. From an assigned address it does not: connections keep the address they have.
 */
export function refuseLockout({ traffic, modeConfig, peer }: TunnelSpec, shell?: ShellConnection): void {
  if (shell === undefined || modeConfig !== undefined || traffic.mode !== 'tunnel') return;
  const { localNetworks, remoteNetworks, excludedNetworks } = traffic;
  const contains = (networks: typeof remoteNetworks, address: IpAddress) =>
    networks.some(
      network =>
        addressFamily(network.address) === addressFamily(address) &&
        rangeContains(subnetRange(network.address, network.prefixLength), address),
    );
  const isTaken = contains(remoteNetworks, shell.client) && !contains(excludedNetworks, shell.client);
  if (!isTaken || !contains(remoteNetworks, peer) || !contains(localNetworks, shell.server)) return;
  const prefixLength = addressFamily(shell.client) === 4 ? 32 : 128;
  throw new IpseckitError(
    'CONFLICT',
    `this shell from ${shell.client} would be cut off: all traffic of ${shell.server} goes into the tunnel`,
    { next: `leave its way as it is: --exclude-net ${shell.client}/${prefixLength}` },
  );
}
