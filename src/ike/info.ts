/** What is shown of SAs and of IKE: types only. */
import type { SaPair, Spi } from '../driver/api.js';
import type { MainModeMethod, SecurityMethod } from '../policy/model.js';
import type { IpAddress } from '../wire/ip/address.js';

/** An IKE SA as shown by `sa list` and netdiag. */
export interface MainModeInfo {
  readonly local: IpAddress;
  readonly peer: IpAddress;
  readonly localPort: number;
  readonly peerPort: number;
  readonly initiatorCookie: string;
  readonly responderCookie: string;
  readonly role: 'initiator' | 'responder';
  readonly state: 'negotiating' | 'established' | 'expiring';
  readonly method?: MainModeMethod;
  readonly authentication?: 'preshared' | 'kerberos' | 'certificate';
  readonly peerIdentity?: string;
  /** Leaf first, with a certificate: subjects of the peer's chain. */
  readonly peerCertificates?: readonly string[];
  readonly natDetected: { readonly local: boolean; readonly peer: boolean };
  readonly vendorIds: readonly string[];
  readonly quickModes: number;
  readonly establishedAtMs?: number;
  readonly expiresAtMs?: number;
}

/** A negotiated pair as shown by `sa list` and netdiag. */
export interface QuickModeInfo {
  readonly pair: Omit<SaPair, 'inbound' | 'outbound'>;
  readonly inbound: readonly { readonly protocol: 'esp' | 'ah'; readonly spi: Spi }[];
  readonly outbound: readonly { readonly protocol: 'esp' | 'ah'; readonly spi: Spi }[];
  readonly method: SecurityMethod;
  readonly establishedAtMs: number;
  readonly expiresAtMs?: number;
  readonly role: 'initiator' | 'responder';
}

/** IKE (main mode) statistics of `monitoring.md` 2.1, with the names of its columns. */
export interface IkeStatistics {
  readonly mainModes: number;
  readonly quickModes: number;
  readonly softAssociations: number;
  readonly authenticationFailures: number;
  readonly activeAcquire: number;
  readonly activeReceive: number;
  readonly acquireFailures: number;
  readonly receiveFailures: number;
  readonly sendFailures: number;
  readonly acquireHeapSize: number;
  readonly receiveHeapSize: number;
  readonly negotiationFailures: number;
  readonly invalidCookies: number;
  readonly totalAcquire: number;
  readonly totalGetSpi: number;
  readonly keyAdditions: number;
  readonly keyUpdates: number;
  readonly getSpiFailures: number;
  readonly keyAdditionFailures: number;
  readonly keyUpdateFailures: number;
  readonly isadbListSize: number;
  readonly connectionListSize: number;
  readonly invalidPackets: number;
}
