/** An IKEv1 connection with a preshared key or certificates, as a test describes it, and as strongSwan's `load-conn` wants it. */
import type { ViciMessage } from './vici.js';

export interface PeerConnection {
  /** Names the connection and its one child. */
  readonly name: string;
  readonly local: string;
  /** `%any` for a responder that takes all. */
  readonly remote: string;
  readonly psk?: string;
  /** Instead of a preshared key; everything is PEM. */
  readonly certificates?: PeerCertificates;
  /** strongSwan proposals in order of preference: `3des-sha1-modp1024`. */
  readonly ike: readonly string[];
  /** `3des-sha1`, `aes128gcm16`, with PFS `3des-sha1-modp1024`. One of `esp` and `ah`. */
  readonly esp?: readonly string[];
  readonly ah?: readonly string[];
  readonly mode: 'transport' | 'tunnel';
  /** `10.1.0.0/24`, `dynamic[tcp/80]`; the connection's own address when absent. */
  readonly localSelector?: string | readonly string[];
  readonly remoteSelector?: string;
  readonly localId?: string;
  readonly remoteId?: string;
  /** UDP encapsulation even where no NAT is. */
  readonly encapsulate?: boolean;
  readonly ikeRekeySeconds?: number;
  /** How long after `ikeRekeySeconds` the IKE SA still lives. */
  readonly ikeOverSeconds?: number;
  readonly childRekeySeconds?: number;
  readonly childLifeSeconds?: number;
  readonly childRekeyBytes?: number;
  readonly childLifeBytes?: number;
  readonly dpdDelaySeconds?: number;
  readonly dpdTimeoutSeconds?: number;
  readonly dpdAction?: 'clear' | 'trap' | 'restart';
  /** `trap`: the first matching packet negotiates. */
  readonly startAction?: 'none' | 'trap' | 'start';
  /** Users with their passwords: the peer has to be one of them (XAUTH) after the other proof. */
  readonly users?: Readonly<Record<string, string>>;
  /** The user it is itself to a gateway that asks for one. */
  readonly asUser?: { readonly name: string; readonly password: string };
  /** Addresses for the peer (`10.3.0.0/24`), and what else mode-config gives it, as swanctl.conf names it. */
  readonly pool?: Pool;
  /** A second pool, of the other family. */
  readonly pool6?: Pool;
  /** Further settings of the connection and of the child, as swanctl.conf names them. */
  readonly extra?: ViciMessage;
  readonly childExtra?: ViciMessage;
}

type Pool = ViciMessage & { readonly addrs: string };

/** What strongSwan authenticates itself with and trusts. */
export interface PeerCertificates {
  readonly own: string;
  readonly privateKey: string;
  /** Root CAs, and intermediates that it sends along and knows. */
  readonly authorities: readonly string[];
  readonly crls?: readonly string[];
  /** `strict` refuses a certificate that no CRL clears. */
  readonly revocation?: 'strict' | 'ifuri' | 'relaxed';
}

export function loadConnMessage(one: PeerConnection): ViciMessage {
  return {
    [one.name]: {
      version: '1',
      local_addrs: [one.local],
      remote_addrs: [one.remote],
      proposals: one.ike,
      encap: one.encapsulate === true ? 'yes' : undefined,
      rekey_time: seconds(one.ikeRekeySeconds),
      over_time: seconds(one.ikeOverSeconds),
      rand_time: '0',
      dpd_delay: seconds(one.dpdDelaySeconds),
      dpd_timeout: seconds(one.dpdTimeoutSeconds),
      ...one.extra,
      ...(poolsOf(one).length === 0 ? {} : { pools: poolsOf(one).map(([name]) => name) }),
      local: localAuthentication(one),
      remote: {
        auth: one.certificates ? 'pubkey' : 'psk',
        id: one.certificates ? (one.remoteId ?? '%any') : remoteId(one),
        revocation: one.certificates?.revocation,
      },
      ...(one.users === undefined ? {} : { 'remote-user': { auth: 'xauth', round: '1' } }),
      ...(one.asUser === undefined
        ? {}
        : { 'local-user': { auth: 'xauth', round: '1', xauth_id: one.asUser.name } }),
      children: { [one.name]: child(one) },
    },
  };
}

function localAuthentication({ certificates, localId, local }: PeerConnection): ViciMessage {
  if (certificates === undefined) return { auth: 'psk', id: localId ?? local };
  return { auth: 'pubkey', certs: [certificates.own], id: localId };
}

export function loadSharedMessage(one: PeerConnection): ViciMessage {
  return { id: one.name, type: 'IKE', data: one.psk, owners: [remoteId(one)] };
}

/** The calls that load what a connection authenticates with. */
export function credentialMessages(
  one: PeerConnection,
): (readonly [command: string, message: ViciMessage])[] {
  const { certificates, asUser } = one;
  const users = { ...one.users, ...(asUser === undefined ? {} : { [asUser.name]: asUser.password }) };
  const others = [
    ...Object.entries(users).map(
      ([user, data]) => ['load-shared', { id: user, type: 'XAUTH', data, owners: [user] }] as const,
    ),
    ...poolsOf(one).map(([name, pool]) => ['load-pool', { [name]: pool }] as const),
  ];
  if (certificates === undefined) return [['load-shared', loadSharedMessage(one)], ...others];
  return [
    ...others,
    ['load-key', { type: 'any', data: certificates.privateKey }],
    ...certificates.authorities.map(data => ['load-cert', { type: 'X509', flag: 'CA', data }] as const),
    ...(certificates.crls ?? []).map(data => ['load-cert', { type: 'X509_CRL', data }] as const),
  ];
}

function poolsOf({ name, pool, pool6 }: PeerConnection): (readonly [name: string, pool: Pool])[] {
  return [
    ...(pool === undefined ? [] : [[name, pool] as const]),
    ...(pool6 === undefined ? [] : [[`${name}6`, pool6] as const]),
  ];
}

const remoteId = (one: PeerConnection): string => one.remoteId ?? one.remote;

function child(one: PeerConnection): ViciMessage {
  return {
    mode: one.mode,
    esp_proposals: one.esp,
    ah_proposals: one.ah,
    local_ts: [one.localSelector ?? 'dynamic'].flat(),
    remote_ts: [one.remoteSelector ?? 'dynamic'],
    rekey_time: seconds(one.childRekeySeconds),
    life_time: seconds(one.childLifeSeconds),
    rand_time: '0',
    rekey_bytes: one.childRekeyBytes?.toString(),
    life_bytes: one.childLifeBytes?.toString(),
    rand_bytes: '0',
    dpd_action: one.dpdAction,
    start_action: one.startAction,
    ...one.childExtra,
  };
}

function seconds(value: number | undefined): string | undefined {
  return value === undefined ? undefined : `${value}s`;
}
