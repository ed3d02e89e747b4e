import type { EncryptionId, GroupId, HashId } from '../crypto/algorithms.js';
import type { Secret } from '../crypto/secret.js';
import type { IpAddress } from '../wire/ip/address.js';

/** `{XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}`, upper case: how the Windows store names its objects. */
export type Guid = string & { readonly __brand: 'Guid' };

/** An IP Security policy: at most one is assigned to a computer at a time. */
export interface Policy {
  readonly id: Guid;
  readonly name: string;
  readonly description?: string;
  readonly pollIntervalMinutes: number;
  readonly keyExchange: KeyExchangeSettings;
  readonly rules: readonly Rule[];
}

/** Main-mode (phase 1) settings, one set for the whole policy. */
export interface KeyExchangeSettings {
  /** A new main mode for every quick mode. */
  readonly masterKeyPfs: boolean;
  readonly lifetimeSeconds: number;
  /** Quick modes one main mode may create; 0 is unlimited. */
  readonly quickModeLimit: number;
  /** In order of preference. */
  readonly methods: readonly MainModeMethod[];
}

/** One phase-1 offer, `3DES-SHA-2`. */
export interface MainModeMethod {
  readonly encryption: EncryptionId;
  readonly hash: HashId;
  readonly group: GroupId;
}

/** A rule (Windows: NFA): which traffic, what happens to it, how the peers authenticate. */
export interface Rule {
  readonly id: Guid;
  readonly name?: string;
  readonly active: boolean;
  /** `undefined` is the default response rule: it has no filters of its own. */
  readonly filterList?: FilterList;
  readonly action: FilterAction;
  /** In order of preference; never empty for a negotiating rule. */
  readonly authentication: readonly AuthenticationMethod[];
  /** The gateway *towards which* the filtered packets travel; absent in transport mode. */
  readonly tunnelEndpoint?: HostSpec;
  readonly connectionType: 'all' | 'lan' | 'dialup';
}

export interface FilterList {
  readonly id: Guid;
  readonly name?: string;
  readonly filters: readonly Filter[];
}

/** One filter as written; `expandPolicy` turns it into specific, one-directional ones. */
export interface Filter {
  readonly id: Guid;
  readonly name?: string;
  readonly source: AddressSpec;
  readonly destination: AddressSpec;
  /** IP protocol, 0 any. */
  readonly protocol: number;
  /** 0 any; only with TCP and UDP. */
  readonly sourcePort: number;
  /** 0 any; only with TCP and UDP. */
  readonly destinationPort: number;
  readonly mirrored: boolean;
}

/** A host by address or by name; a name keeps the addresses it had when the policy was written. */
export type HostSpec =
  | { readonly kind: 'host'; readonly address: IpAddress }
  | { readonly kind: 'dns'; readonly name: string; readonly addresses: readonly IpAddress[] };

export type AddressSpec =
  | { readonly kind: 'me' }
  | { readonly kind: 'any' }
  | { readonly kind: 'subnet'; readonly address: IpAddress; readonly prefixLength: number }
  | { readonly kind: 'special'; readonly group: 'dns' | 'wins' | 'dhcp' | 'gateway' }
  | HostSpec;

/** What happens to traffic that a rule's filters match (Windows: negotiation policy). */
export type FilterAction =
  | { readonly id: Guid; readonly name?: string; readonly kind: 'permit' }
  | { readonly id: Guid; readonly name?: string; readonly kind: 'block' }
  | NegotiateAction;

export interface NegotiateAction {
  readonly id: Guid;
  readonly name?: string;
  readonly kind: 'negotiate';
  /** In order of preference; never empty. */
  readonly methods: readonly SecurityMethod[];
  /** Inbound clear packets are accepted; our answer negotiates (ipsecpol INPASS). */
  readonly acceptUnsecured: boolean;
  /** Fall back to clear (soft SA) when the peer does not answer IKE at all (ipsecpol -soft). */
  readonly allowFallback: boolean;
}

/** One phase-2 offer: AH, ESP, or both in one proposal (AH outside ESP). At least one is present. */
export interface SecurityMethod {
  readonly ah?: { readonly hash: HashId };
  /** `hash` is absent for a combined-mode cipher, and for ESP without integrity. */
  readonly esp?: { readonly encryption: EncryptionId; readonly hash?: HashId };
  readonly lifetimeSeconds?: number;
  readonly lifetimeKilobytes?: number;
  /** Session-key PFS; without `group` the group of the main mode in use. */
  readonly pfs?: { readonly group?: GroupId };
}

export type AuthenticationMethod =
  | { readonly kind: 'preshared'; readonly key: Secret<string> }
  | { readonly kind: 'kerberos' }
  | { readonly kind: 'certificate'; readonly authority: string };

/** Defaults of RFC-less origin: what ipsecpol and Windows use when nothing is said (`ipsecpol.md` 4, 6). */
export const policyDefaults = {
  pollIntervalMinutes: 180,
  mainModeLifetimeSeconds: 28_800,
  quickModeLifetimeSeconds: 3_600,
  quickModeLifetimeKilobytes: 100_000,
} as const;
