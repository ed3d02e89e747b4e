import type { Credentials } from '../crypto/certificates/credentials.js';
import type { Secret } from '../crypto/secret.js';
import type { PairId, Subnet } from '../driver/api.js';
import type { Identity, XauthUser } from '../ike/api.js';
import { type MainModeMethod, policyDefaults, type SecurityMethod } from '../policy/model.js';
import { parseAhProposals, parseEspProposals, parseIkeProposals } from '../policy/proposals.js';
import { IpseckitError } from '../report/errors.js';
import { addressFamily, type IpAddress, parseIpAddress } from '../wire/ip/address.js';
import { isLinkLocal } from '../wire/ip/ip.js';
import { rangeCovers, subnetRange } from '../wire/ip/selector.js';
import type { Configuration } from '../wire/isakmp/transaction.js';
import { parseGatewayClient } from './gateway-client.js';
import { parseIdentity } from './identity-text.js';
import { parseTunnelAuthentication } from './tunnel-authentication.js';

/** An address with a prefix length, as `--local-net` takes it. */
export type Network = Subnet;

/** An ad-hoc connection: what `tunnel up` was asked for, complete. */
export interface TunnelSpec {
  readonly name: string;
  readonly local: IpAddress;
  /** Nobody chose `local`: it is the one that the route to the peer uses, and changes with it. */
  readonly localFollowsRoute: boolean;
  readonly peer: IpAddress;
  /** How the peers authenticate each other: by one of the two, or either, the certificate first. */
  readonly authentication: { readonly key?: Secret<string>; readonly credentials?: Credentials };
  /** Tunnel mode between networks, or transport mode for traffic between the two hosts. */
  readonly traffic:
    | {
        readonly mode: 'tunnel';
        readonly localNetworks: readonly Network[];
        readonly remoteNetworks: readonly Network[];
        /** Parts of the remote networks that are reached directly. */
        readonly excludedNetworks: readonly Network[];
      }
    | {
        readonly mode: 'transport';
        readonly protocol: number;
        readonly localPort: number;
        readonly remotePort: number;
      };
  readonly ike: readonly MainModeMethod[];
  readonly methods: readonly SecurityMethod[];
  readonly mainModeLifetimeSeconds: number;
  readonly forceEncapsulation: boolean;
  /** Aggressive mode instead of main mode. */
  readonly aggressive: boolean;
  /** The user, for a gateway that asks for one. */
  readonly xauth?: XauthUser;
  /** How our addresses inside the gateway's network come: asked for, or waited for; absent: they come from nowhere. */
  readonly modeConfig?: 'pull' | 'push';
  /** What the gateway has configured us with. */
  readonly configuration?: Configuration;
  readonly identity?: Identity;
  readonly peerIdentity?: Identity;
}

/** What `tunnel list` shows. */
export interface TunnelInfo {
  readonly name: string;
  readonly local: IpAddress;
  readonly peer: IpAddress;
  readonly mode: 'tunnel' | 'transport';
  readonly traffic: string;
  readonly state: 'up' | 'negotiating' | 'down';
  readonly pairs: readonly PairId[];
  /** What the gateway has given us. */
  readonly configuration?: Configuration;
  /** Why it is down, when the last attempt failed. */
  readonly lastFailure?: string;
}

/** Proposals offered when none are asked for: today's first, what Windows 2000 can do last. */
export const defaultTunnelProposals = {
  ike: 'aes256-sha256-modp2048,aes128-sha256-modp2048,aes128-sha1-modp2048,3des-sha1-modp2048,3des-sha1-modp1024',
  esp: 'aes256-sha256,aes128-sha256,aes128-sha1,3des-sha1,3des-md5',
} as const;

/** The text form of a tunnel: what the control socket carries and the agent keeps in a 0600 file. */
export interface TunnelDocument {
  readonly format: 'ipseckit-tunnel';
  readonly version: 1;
  readonly name: string;
  readonly local: string;
  /** `local` is only what the route to the peer used at first: an attempt begins from the one that it uses then. */
  readonly localFollowsRoute?: boolean;
  readonly peer: string;
  readonly presharedKey?: string;
  /** Instead of a preshared key, or besides: our certificate and its chain, its private key, the CAs trusted, CRLs. All PEM. */
  readonly certificate?: string;
  readonly privateKey?: string;
  readonly authorities?: string;
  readonly crls?: string;
  /** Windows' StrongCrlCheck for this tunnel: 0, 1 (when absent) or 2. */
  readonly crlCheck?: number;
  readonly localNetworks?: readonly string[];
  readonly remoteNetworks?: readonly string[];
  readonly excludedNetworks?: readonly string[];
  readonly protocol?: number;
  readonly localPort?: number;
  readonly remotePort?: number;
  readonly ike?: string;
  readonly esp?: string;
  readonly ah?: string;
  readonly lifetimeSeconds?: number;
  readonly lifetimeKilobytes?: number;
  readonly mainModeLifetimeSeconds?: number;
  readonly forceEncapsulation?: boolean;
  readonly aggressive?: boolean;
  readonly xauthUser?: string;
  readonly xauthPassword?: string;
  readonly modeConfig?: 'pull' | 'push';
  readonly localId?: string;
  readonly remoteId?: string;
}

/**
 * Checks a tunnel document from a command line, the control socket or a file. Throws `IpseckitError`: USAGE
 * naming the field, CONFLICT for fields that exclude each other or addresses of two families, UNSUPPORTED for link-local
 * addresses.
 */
export function parseTunnel(value: unknown): TunnelSpec {
  if (!isRecord(value)) throw bad('a tunnel', 'must be an object');
  if (value.format !== 'ipseckit-tunnel' || value.version !== 1)
    throw bad(
      'format',
      'must be "ipseckit-tunnel", version 1',
      'it was written by another version of ipseckit',
    );
  const lifetimes = {
    ...optional('lifetimeSeconds', count(value, 'lifetimeSeconds', 60, 86_400 * 30)),
    ...optional('lifetimeKilobytes', count(value, 'lifetimeKilobytes', 100, 0xffff_ffff)),
  };
  const methods = [
    ...parseEspProposals(text(value, 'esp') ?? (value.ah === undefined ? defaultTunnelProposals.esp : '')),
    ...parseAhProposals(text(value, 'ah') ?? ''),
  ].map(method => ({ ...method, ...lifetimes }));
  if (methods.length === 0) throw bad('esp', 'needs at least one proposal');
  const remoteId = text(value, 'remoteId');
  const [local, peer] = [address(value, 'local'), address(value, 'peer')];
  if (addressFamily(local) !== addressFamily(peer))
    throw new IpseckitError('CONFLICT', `local: ${local} and ${peer} are of different address families`, {
      next: 'give --local an address of the family of the peer',
    });
  return {
    name: requiredText(value, 'name'),
    local,
    localFollowsRoute: value.localFollowsRoute === true,
    peer,
    authentication: parseTunnelAuthentication(value),
    traffic: parseTraffic(value),
    ike: parseIkeProposals(text(value, 'ike') ?? defaultTunnelProposals.ike),
    methods,
    mainModeLifetimeSeconds:
      count(value, 'mainModeLifetimeSeconds', 60, 86_400 * 30) ?? policyDefaults.mainModeLifetimeSeconds,
    forceEncapsulation: value.forceEncapsulation === true,
    aggressive: value.aggressive === true,
    ...parseGatewayClient(value),
    ...optional('identity', ownIdentity(text(value, 'localId'))),
    ...optional('peerIdentity', remoteId === undefined ? undefined : parseIdentity(remoteId)),
  };
}

/** `10.0.1.0/24 <-> 10.0.2.0/24`, or `tcp 0 <-> 80` for transport mode. */
export function describeTraffic({ traffic }: TunnelSpec): string {
  if (traffic.mode === 'transport')
    return `protocol ${traffic.protocol === 0 ? 'any' : traffic.protocol} ports ${traffic.localPort}/${traffic.remotePort}`;
  const list = (networks: readonly Network[]) =>
    networks.map(net => `${net.address}/${net.prefixLength}`).join(' ');
  const excluded = traffic.excludedNetworks.length === 0 ? '' : ` without ${list(traffic.excludedNetworks)}`;
  return `${list(traffic.localNetworks)} <-> ${list(traffic.remoteNetworks)}${excluded}`;
}

function parseTraffic(value: Record<string, unknown>): TunnelSpec['traffic'] {
  const remoteNetworks = networks(value, 'remoteNetworks');
  const localNetworks = networks(value, 'localNetworks');
  const excludedNetworks = networks(value, 'excludedNetworks');
  const protocol = count(value, 'protocol', 0, 255) ?? 0;
  const localPort = count(value, 'localPort', 0, 65_535) ?? 0;
  const remotePort = count(value, 'remotePort', 0, 65_535) ?? 0;
  if (remoteNetworks.length === 0 && localNetworks.length === 0 && value.modeConfig === undefined) {
    if ((localPort !== 0 || remotePort !== 0) && protocol !== 6 && protocol !== 17)
      throw new IpseckitError('CONFLICT', 'ports need --protocol tcp or udp');
    if (excludedNetworks.length > 0) checkExcluded(excludedNetworks, []);
    return { mode: 'transport', protocol, localPort, remotePort };
  }
  if (protocol !== 0 || localPort !== 0 || remotePort !== 0)
    throw new IpseckitError(
      'CONFLICT',
      'networks (tunnel mode) and protocol or ports (transport mode) exclude each other',
      {
        next: 'leave out --local-net and --remote-net, or --protocol, --local-port and --remote-port',
      },
    );
  const host = (name: string): Network => {
    const own = address(value, name);
    return { address: own, prefixLength: addressBits(own) };
  };
  const traffic = {
    mode: 'tunnel',
    localNetworks: localNetworks.length > 0 ? localNetworks : [host('local')],
    // A gateway that assigns an address may name the networks, too.
    remoteNetworks:
      remoteNetworks.length > 0 || value.modeConfig !== undefined ? remoteNetworks : [host('peer')],
    excludedNetworks,
  } as const;
  if (traffic.remoteNetworks.length > 0) checkExcluded(excludedNetworks, traffic.remoteNetworks);
  // Which address of ours is at the other end of them, the gateway has still to say.
  if (value.modeConfig !== undefined) return traffic;
  checkCounterparts(traffic.localNetworks, 'localNetworks', traffic.remoteNetworks);
  checkCounterparts(traffic.remoteNetworks, 'remoteNetworks', traffic.localNetworks);
  return traffic;
}

function networks(value: Record<string, unknown>, field: string): Network[] {
  const list = value[field] ?? [];
  if (!Array.isArray(list)) throw bad(field, 'must be a list of networks');
  return list.map((entry: unknown) => {
    const [host = '', prefix, ...more] = String(entry).split('/');
    const parsed = parseIpAddress(host);
    const prefixLength = prefix === undefined && parsed !== undefined ? addressBits(parsed) : Number(prefix);
    if (
      parsed === undefined ||
      more.length > 0 ||
      !/^\d+$/.test(prefix ?? '0') ||
      prefixLength > addressBits(parsed)
    )
      throw bad(field, `"${String(entry)}" is not a network`, 'write it as 10.0.1.0/24 or 2001:db8:1::/64');
    return { address: routable(parsed, field), prefixLength };
  });
}

/** Ours: a distinguished name is the certificate's subject, and nobody has to write it. */
function ownIdentity(spelled: string | undefined): Identity | undefined {
  const found = spelled === undefined ? undefined : parseIdentity(spelled);
  if (found?.kind === 'distinguishedName')
    throw bad('localId', 'a distinguished name comes from the certificate', 'leave --local-id out');
  return found;
}

function address(value: Record<string, unknown>, field: string): IpAddress {
  const spelled = requiredText(value, field);
  const parsed = parseIpAddress(spelled);
  if (parsed === undefined && spelled.includes('%'))
    throw bad(field, `"${spelled}" names an adapter, which IKE cannot`, 'use an address without "%"');
  if (parsed === undefined) throw bad(field, `"${spelled}" is not an IP address`);
  return routable(parsed, field);
}

/** Bits of an address of the same family. */
export function addressBits(own: IpAddress): 32 | 128 {
  return addressFamily(own) === 4 ? 32 : 128;
}

export const sameFamily = (one: Network) => (other: Network) =>
  addressFamily(one.address) === addressFamily(other.address);

/** Every network needs one of its family on the other side. */
function checkCounterparts(networksHere: readonly Network[], field: string, there: readonly Network[]): void {
  for (const network of networksHere)
    if (!there.some(sameFamily(network)))
      throw new IpseckitError(
        'CONFLICT',
        `${field}: nothing on the other side is of the address family of ${network.address}/${network.prefixLength}`,
        { next: 'give --local-net and --remote-net networks of one family, or of both' },
      );
}

/** What is excluded has to be a part of something. */
function checkExcluded(excluded: readonly Network[], remote: readonly Network[]): void {
  const range = ({ address: first, prefixLength }: Network) => subnetRange(first, prefixLength);
  for (const network of excluded)
    if (
      !remote.some(
        whole =>
          sameFamily(network)(whole) &&
          whole.prefixLength < network.prefixLength &&
          rangeCovers(range(whole), range(network)),
      )
    )
      throw new IpseckitError(
        'CONFLICT',
        `excludedNetworks: ${network.address}/${network.prefixLength} is not a part of a remote network`,
        { next: 'leave it out: what is in no --remote-net is reached directly anyway' },
      );
}

/** An address that says by itself where it is. */
function routable(parsed: IpAddress, field: string): IpAddress {
  if (isLinkLocal(parsed))
    throw new IpseckitError('UNSUPPORTED', `${field}: ${parsed} is valid on one link only`, {
      next: 'use a global (2000::/3) or unique local (fd00::/8) address',
    });
  if (parsed.startsWith('::ffff:'))
    throw bad(field, `${parsed} is an IPv4 address written as IPv6`, 'write it as IPv4: 192.0.2.1');
  return parsed;
}

function requiredText(value: Record<string, unknown>, field: string): string {
  const found = text(value, field);
  if (found === undefined || found === '') throw bad(field, 'is missing');
  return found;
}

function text(value: Record<string, unknown>, field: string): string | undefined {
  const found = value[field];
  if (found === undefined) return undefined;
  if (typeof found !== 'string') throw bad(field, 'must be text');
  return found;
}

function count(
  value: Record<string, unknown>,
  field: string,
  least: number,
  most: number,
): number | undefined {
  const found = value[field];
  if (found === undefined) return undefined;
  if (typeof found !== 'number' || !Number.isInteger(found) || found < least || found > most)
    throw bad(field, `must be a whole number from ${least} to ${most}`);
  return found;
}

export function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bad(field: string, why: string, next?: string): IpseckitError {
  return new IpseckitError('USAGE', `${field}: ${why}`, next === undefined ? {} : { next });
}
