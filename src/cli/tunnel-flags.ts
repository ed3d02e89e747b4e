import { Flags } from '@oclif/core';
import { localAddressTowards } from '../agent/local-addresses.js';
import { defaultTunnelProposals, type TunnelDocument, type TunnelSpec } from '../agent/tunnel.js';
import { IpseckitError } from '../report/errors.js';
import { parseIpAddress } from '../wire/ip/address.js';
import { crlCheckFlag } from './certificate-flags.js';
import type { CredentialFlagValues } from './credentials-at-hand.js';
import { tunnelCredentials } from './tunnel-credentials.js';
import { xauthPassword } from './xauth-prompt.js';

/** Flags that describe an ad-hoc connection. */
export const tunnelFlags = {
  'psk-file': Flags.file({
    summary: 'file whose first line is the preshared key',
    atLeastOne: ['psk-file', 'cert'],
  }),
  cert: Flags.string({
    summary:
      'authenticate by this certificate: a file with its chain (and its key, unless --key), or the name of an imported one',
    helpValue: 'FILE|NAME',
    atLeastOne: ['psk-file', 'cert'],
  }),
  key: Flags.file({ summary: 'private key of --cert', dependsOn: ['cert'] }),
  'passphrase-file': Flags.file({
    summary: 'file whose first line is the passphrase of the key',
    dependsOn: ['cert'],
  }),
  ca: Flags.file({
    summary:
      "CAs that may stand above the peer's certificate; the trusted ones of this machine when left out",
    multiple: true,
    multipleNonGreedy: true,
    dependsOn: ['cert'],
  }),
  crl: Flags.file({
    summary: 'certificate revocation list',
    multiple: true,
    multipleNonGreedy: true,
    dependsOn: ['cert'],
  }),
  'crl-check': crlCheckFlag({ dependsOn: ['cert'] }),
  local: Flags.string({
    summary:
      "this host's address; the one the route to the peer uses when left out, whichever that is at the time",
    helpValue: 'ADDRESS',
  }),
  'local-net': Flags.string({
    multiple: true,
    multipleNonGreedy: true,
    summary: 'network behind this host (tunnel mode)',
    helpValue: 'NET/LEN',
  }),
  'remote-net': Flags.string({
    multiple: true,
    multipleNonGreedy: true,
    summary: 'network behind the peer (tunnel mode)',
    helpValue: 'NET/LEN',
  }),
  'exclude-net': Flags.string({
    multiple: true,
    multipleNonGreedy: true,
    summary: 'part of a remote network to reach directly, as the subnet this host is in',
    helpValue: 'NET/LEN',
  }),
  protocol: Flags.string({ summary: 'only this protocol: tcp, udp, icmp or a number (transport mode)' }),
  'local-port': Flags.integer({ summary: 'only this port here (transport mode)', min: 1, max: 65_535 }),
  'remote-port': Flags.integer({
    summary: 'only this port at the peer (transport mode)',
    min: 1,
    max: 65_535,
  }),
  ike: Flags.string({
    summary: `IKE proposals, preferred first; default ${defaultTunnelProposals.ike}`,
    helpValue: '3des-sha1-modp1024,…',
  }),
  esp: Flags.string({
    summary: `ESP proposals; a group at the end asks for PFS, esn for extended sequence numbers; default ${defaultTunnelProposals.esp}`,
    helpValue: '3des-sha1,…',
  }),
  ah: Flags.string({ summary: 'AH proposals, instead of ESP or after it', helpValue: 'sha1,…' }),
  'local-id': Flags.string({
    summary:
      "identity to send: an address, @name or user@name; default the local address, or the certificate's subject",
  }),
  'remote-id': Flags.string({
    summary:
      'identity the peer must have, or the subject of its certificate; anyone who authenticates when left out',
  }),
  lifetime: Flags.integer({ summary: 'seconds until a key is replaced', min: 60 }),
  'ike-lifetime': Flags.integer({ summary: 'seconds until main mode is negotiated anew', min: 60 }),
  'xauth-user': Flags.string({
    summary: 'user name for a gateway that asks for one (XAUTH); the password is asked for on the terminal',
    helpValue: 'NAME',
  }),
  'xauth-password-file': Flags.file({
    summary: 'file, mode 0600, whose first line is the password of --xauth-user',
    dependsOn: ['xauth-user'],
  }),
  'mode-config': Flags.option({
    options: ['pull', 'push'] as const,
    summary:
      "get this host's addresses (IPv4, IPv6) inside the gateway's network from it, by asking (pull) or by waiting (push); without --remote-net also the networks behind it, or all traffic if it names none",
    exclusive: ['local-net'],
  })(),
  aggressive: Flags.boolean({
    summary:
      'negotiate in aggressive mode, and answer in it: for peers that know no other; shows identities and a hash of the preshared key to anyone who asks',
  }),
  encap: Flags.boolean({ summary: 'UDP encapsulation (port 4500) even without a NAT' }),
} as const;

const protocolNumbers: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17 };

/** What the flags of `tunnelFlags` come out as. */
export interface TunnelFlagValues extends CredentialFlagValues {
  readonly 'psk-file'?: string | undefined;
  readonly local?: string | undefined;
  readonly 'local-net'?: readonly string[] | undefined;
  readonly 'remote-net'?: readonly string[] | undefined;
  readonly 'exclude-net'?: readonly string[] | undefined;
  readonly protocol?: string | undefined;
  readonly 'local-port'?: number | undefined;
  readonly 'remote-port'?: number | undefined;
  readonly ike?: string | undefined;
  readonly esp?: string | undefined;
  readonly ah?: string | undefined;
  readonly 'local-id'?: string | undefined;
  readonly 'remote-id'?: string | undefined;
  readonly lifetime?: number | undefined;
  readonly 'ike-lifetime'?: number | undefined;
  readonly 'xauth-user'?: string | undefined;
  readonly 'xauth-password-file'?: string | undefined;
  readonly 'mode-config'?: 'pull' | 'push' | undefined;
  readonly aggressive?: boolean | undefined;
  readonly encap?: boolean | undefined;
}

/** The tunnel document the flags describe. Reads the key file and asks the kernel and the resolver for addresses. */
export async function tunnelDocument(
  name: string,
  peerText: string,
  flags: TunnelFlagValues,
): Promise<TunnelDocument> {
  const peer = parseIpAddress(peerText) ?? (await resolveName(peerText));
  const given = {
    localNetworks: flags['local-net'],
    remoteNetworks: flags['remote-net'],
    excludedNetworks: flags['exclude-net'],
    protocol: flags.protocol === undefined ? undefined : protocolNumber(flags.protocol),
    localPort: flags['local-port'],
    remotePort: flags['remote-port'],
    ike: flags.ike,
    esp: flags.esp,
    ah: flags.ah,
    localId: flags['local-id'],
    remoteId: flags['remote-id'],
    lifetimeSeconds: flags.lifetime,
    mainModeLifetimeSeconds: flags['ike-lifetime'],
    forceEncapsulation: flags.encap,
    aggressive: flags.aggressive,
    xauthUser: flags['xauth-user'],
    modeConfig: flags['mode-config'],
  };
  return {
    format: 'ipseckit-tunnel',
    version: 1,
    name,
    local: flags.local ?? localAddressTowards(peer),
    ...(flags.local === undefined ? { localFollowsRoute: true } : {}),
    peer,
    ...(await tunnelCredentials(flags)),
    ...(await xauthPassword(flags)),
    ...withoutUndefined(given),
  };
}

/** What whoever asks for aggressive mode has to know. */
export function aggressiveWarning({ authentication }: Pick<TunnelSpec, 'authentication'>): string {
  const exposed =
    authentication.key !== undefined
      ? 'sends its identity and a hash of the preshared key in clear to anyone who asks: a weak key can be guessed from it offline'
      : 'sends identities and certificates in clear to anyone who asks';
  return `warning: aggressive mode ${exposed}`;
}

async function resolveName(name: string) {
  // Loaded only when there is a name to resolve.
  const { lookup } = await import('node:dns/promises');
  try {
    const address = parseIpAddress((await lookup(name, { order: 'ipv4first' })).address);
    if (address !== undefined) return address;
  } catch {
    // Said below, in our words.
  }
  throw new IpseckitError('NAME_RESOLUTION', `cannot resolve '${name}'`, {
    next: 'check the name, or give the address',
  });
}

function protocolNumber(text: string): number {
  const number = protocolNumbers[text.toLowerCase()] ?? (/^\d{1,3}$/.test(text) ? Number(text) : Number.NaN);
  if (!(number <= 255))
    throw new IpseckitError('USAGE', `protocol: "${text}" is not a protocol`, {
      next: 'tcp, udp, icmp or a number from 0 to 255',
    });
  return number;
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>;
}
