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
  /** When it was last changed, as the Windows store it came from says: seconds since 1970-01-01 UTC. */
  readonly changedAtSeconds?: number;
  readonly keyExchange: KeyExchangeSettings;
  readonly rules: readonly Rule[];
}

/** Main-mode (phase 1) settings, one set for the whole policy. */
export interface KeyExchangeSettings {
  /** Names the settings as an object of their own in a Windows store; derived from the policy's id when absent. */
  readonly id?: Guid;
  /** A new main mode for every quick mode. */
  readonly masterKeyPfs: boolean;
  readonly lifetimeSeconds: number;
  /** Quick modes one main mode may create; 0 is unlimited. */
  readonly quickModeLimit: number;
  /** In order of preference. */
  readonly methods: readonly MainModeMethod[];
  /** Aggressive mode is begun instead of main mode, and answered; otherwise neither. Not known to Windows. */
  readonly aggressive?: boolean;
  /** A soft SA ends after so many seconds without traffic (ipseccmd -1e); `policyDefaults` when absent. */
  readonly softSaSeconds?: number;
  /** A peer's certificate must belong to an account of the domain. Kept for Windows; not enforced here. */
  readonly certificateToAccount?: boolean;
  /** Certificate requests name no CA. */
  readonly excludeCaNames?: boolean;
}

/** One phase-1 offer, `3DES-SHA-2`. */
export interface MainModeMethod {
  readonly encryption: EncryptionId;
  readonly hash: HashId;
  readonly group: GroupId;
  /** Limits of this method alone, where a Windows store has such; ipseckit uses those of the policy. */
  readonly lifetimeSeconds?: number;
  readonly quickModeLimit?: number;
}

/** A rule (Windows: NFA): which traffic, what happens to it, how the peers authenticate. */
export interface Rule {
  readonly id: Guid;
  readonly name?: string;
  readonly description?: string;
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

/** Filters that belong together. Several rules of one id share the list. */
export interface FilterList {
  readonly id: Guid;
  readonly name?: string;
  readonly description?: string;
  readonly filters: readonly Filter[];
  /** Where a Windows store gives a rule more lists than one: which of `filters` belong to the further ones. */
  readonly furtherLists?: readonly FurtherFilterList[];
}

/** A second, third … filter list of a rule; its filters stand among those of the first. */
export interface FurtherFilterList {
  readonly id: Guid;
  readonly name?: string;
  readonly description?: string;
  readonly filterIds: readonly Guid[];
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

/** What happens to traffic that a rule's filters match (Windows: negotiation policy). Several rules may share one. */
export type FilterAction = PermitAction | BlockAction | NegotiateAction;

interface NamedAction {
  readonly id: Guid;
  readonly name?: string;
  readonly description?: string;
}

export interface PermitAction extends NamedAction {
  readonly kind: 'permit';
}

export interface BlockAction extends NamedAction {
  readonly kind: 'block';
}

export interface NegotiateAction extends NamedAction {
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
  /** Sequence numbers of 64 bits (RFC 4303 2.2.1, negotiated by RFC 4304). Not known to Windows. */
  readonly extendedSequence?: boolean;
}

export type AuthenticationMethod =
  | { readonly kind: 'preshared'; readonly key: Secret<string> }
  | { readonly kind: 'kerberos' }
  | CertificateMethod;

export interface CertificateMethod {
  readonly kind: 'certificate';
  /** Distinguished name of the CA, as the Windows tools show it. */
  readonly authority: string;
  /** As in `KeyExchangeSettings`, for this CA alone (Windows XP and later). */
  readonly certificateToAccount?: boolean;
  readonly excludeCaName?: boolean;
}

/** Filter lists and filter actions of a store that no rule uses: a Windows store keeps them for later. */
export interface PolicyLibrary {
  readonly filterLists: readonly FilterList[];
  readonly actions: readonly FilterAction[];
}

/** Defaults of RFC-less origin: what ipsecpol and Windows use when nothing is said (`ipsecpol.md` 4, 6). */
export const policyDefaults = {
  pollIntervalMinutes: 180,
  mainModeLifetimeSeconds: 28_800,
  quickModeLifetimeSeconds: 3_600,
  quickModeLifetimeKilobytes: 100_000,
  softSaSeconds: 300,
} as const;
