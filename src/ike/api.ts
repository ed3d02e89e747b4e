/**
 * What IKE exchanges with its surroundings: everything comes in as a call with the time, everything goes out
 * as an effect. Types only; `engine.ts` implements them. Nothing in `src/ike` opens a socket, sets a timer,
 * reads a clock or a file.
 */
import type { CertificateTest } from '../crypto/certificates/chain.js';
import type { Credentials } from '../crypto/certificates/credentials.js';
import type { Crl } from '../crypto/certificates/crl.js';
import type { Secret } from '../crypto/secret.js';
import type { Endpoint, FilterId, IkeDatagram, PairId, SaPair, Spi } from '../driver/api.js';
import type { AuthenticationMethod, MainModeMethod, SecurityMethod } from '../policy/model.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { UndeliveredReason } from '../wire/ip/icmp-errors.js';
import type { Selector } from '../wire/ip/selector.js';
import type { Configuration } from '../wire/isakmp/transaction.js';
import type { VendorProfile } from './vendor-profile.js';

/** Phase-1 settings towards one peer. */
export interface MainModePolicy {
  readonly methods: readonly MainModeMethod[];
  readonly authentication: readonly AuthenticationMethod[];
  readonly lifetimeSeconds: number;
  /** Tells this way of negotiating from others when the policy changes (`PolicyChange`); tells nothing of the keys. */
  readonly fingerprint?: string;
  /** 0 unlimited; 1 is master-key PFS. */
  readonly quickModeLimit: number;
  /** What certificate methods work with; without them none is offered. A main mode keeps what it began with. */
  readonly credentials?: Credentials;
  /**
   * Identity we send. When absent: with a preshared key ID_IPV4_ADDR of the local address, with a certificate its
   * subject. A certificate must carry it, else the peer refuses.
   */
  readonly identity?: Identity;
  /** Identity the peer must prove; anything when absent (behind NAT its address differs from the packet's). */
  readonly peerIdentity?: Identity;
  readonly natTraversal: 'auto' | 'forced' | 'off';
  /**
   * Aggressive mode: begun instead of main mode, and answered. Without it none is begun or answered, for it shows
   * identities in clear and, to anyone who asks, a hash from which a weak preshared key can be guessed.
   */
  readonly aggressive?: boolean;
  /** As client of a gateway that insists on XAUTH: only its methods are offered. */
  readonly xauth?: XauthUser;
  /**
   * As client of a gateway: our addresses inside its network come from it, asked for (`pull`) or waited for (`push`), at
   * most one of each of `families`. Those `inUse` are asked for again, and when others come instead, `reconfigured` says so.
   */
  readonly modeConfig?: {
    readonly kind: 'pull' | 'push';
    readonly families: readonly (4 | 6)[];
    readonly inUse?: readonly IpAddress[];
  };
  /** RFC 3706, used only with peers that announce it. */
  readonly deadPeerDetection?: {
    readonly idleSeconds: number;
    readonly retrySeconds: number;
    readonly retries: number;
  };
}

/** Who we are to a gateway that asks for a user by XAUTH (draft-beaulieu-ike-xauth-02). */
export interface XauthUser {
  readonly user: string;
  /** Without it the gateway's question becomes a `prompt` effect. */
  readonly password?: Secret<string>;
}

/** A question of a gateway to its user. `answerPrompt` answers it. */
export interface UserPrompt {
  readonly id: string;
  readonly peer: IpAddress;
  /** The gateway's own words: a message, a challenge. */
  readonly text?: string;
  readonly asks: readonly PromptField[];
}

/** What a gateway can ask for. */
export type PromptField = 'password' | 'passcode' | 'next PIN' | 'answer';

export type Identity =
  | { readonly kind: 'address'; readonly address: IpAddress }
  | { readonly kind: 'fqdn'; readonly name: string }
  | { readonly kind: 'userFqdn'; readonly name: string }
  /** `C=US, O=Example, CN=gw`: only as the identity expected of a peer; our own is the certificate's subject. */
  | { readonly kind: 'distinguishedName'; readonly name: string }
  | { readonly kind: 'other'; readonly idType: number; readonly bytes: Uint8Array };

/** Phase-2 settings of one filter. */
export interface QuickModePolicy {
  readonly filterId?: FilterId;
  readonly methods: readonly SecurityMethod[];
  readonly mode: 'transport' | 'tunnel';
  /** Outbound view. */
  readonly selector: Selector;
  /** It does not end for lack of traffic. */
  readonly staysUp?: boolean;
}

/** What a peer asks of us in quick mode message 1. */
export interface QuickModeRequest {
  readonly local: IpAddress;
  readonly peer: IpAddress;
  readonly mode: 'transport' | 'tunnel';
  /** Outbound view: source is our side. */
  readonly selector: Selector;
}

/** Policy as IKE sees it. Look-ups are pure and synchronous. */
export interface IkePolicy {
  /** The ways of all rules that cover a peer, in matching order, each once; none: refuse. */
  mainModes(local: IpAddress, peer: IpAddress): readonly MainModePolicy[];
  /** The way of a filter's rule, of the default response rule without one; `undefined` when it is gone. */
  mainModeOf(filterId: FilterId | undefined): MainModePolicy | undefined;
  /** As responder. A refusal says what was asked and what the nearest rule wanted. */
  quickMode(request: QuickModeRequest): QuickModePolicy | { readonly refused: string };
}

/** What still holds of the policy that SAs were negotiated under. */
export interface PolicyChange {
  /** Whether main mode between these hosts may still be negotiated as it was. */
  keepsMainMode(
    hosts: { readonly local: IpAddress; readonly peer: IpAddress },
    policy: MainModePolicy,
  ): boolean;
  /** Whether pairs of this filter stay as they are; without one, those made under the default response rule. */
  keepsFilter(filterId: FilterId | undefined): boolean;
}

/** The surroundings, injected. */
export interface IkeEnvironment {
  readonly policy: IkePolicy;
  /** `length` random bytes. Tests pass a seeded generator. */
  random(length: number): Uint8Array;
  /** When the driver last received an authenticated packet on this pair; for dead peer detection. */
  lastInboundAtMs(pairId: PairId): number | undefined;
  /** When it last sent one; with the time before, for whether the pair is in use. */
  lastOutboundAtMs?(pairId: PairId): number | undefined;
  /**
   * What the calendar says of a time the engine was given, for whether a certificate is valid; the same when absent. The
   * times in effects and answers are the engine's own.
   */
  calendarMs?(atMs: number): number;
  readonly options?: IkeOptions;
}

export interface IkeOptions {
  /** Emit `keys` effects (for decrypting captures). Off unless the user asked; asked again for each SA. */
  readonly exportKeys?: boolean;
  /** `ipseckit` when absent. */
  readonly vendorProfile?: VendorProfile;
  /** Revocation lists missing are asked for by a `fetchCrls` effect. */
  readonly fetchCrls?: boolean;
  /** A pair without traffic for so long ends (`idle.ts`); never when absent or 0. */
  readonly idleSeconds?: number;
  /** Half-open responder exchanges kept at most (oldest goes first). */
  readonly maxHalfOpen?: number;
}

/** Ask for a quick mode (and a main mode if none is there). `id` comes back in the outcome. */
export interface AcquireRequest {
  readonly id: string;
  readonly local: IpAddress;
  readonly peer: IpAddress;
  readonly quickMode: QuickModePolicy;
}

/** Ask for a main mode, and what the gateway configures us with; `id` comes back in the outcome. */
export interface ConnectRequest {
  readonly id: string;
  readonly local: IpAddress;
  readonly peer: IpAddress;
}

/** A protected packet came for an SA that is not there. */
export interface UnknownSpi {
  readonly protocol: 'esp' | 'ah';
  readonly spi: Spi;
  /** Where IKE between the two goes. */
  readonly local: Endpoint;
  readonly peer: Endpoint;
}

export type IkeEffect =
  | { readonly kind: 'send'; readonly datagram: IkeDatagram }
  | { readonly kind: 'installInbound'; readonly pair: SaPair }
  | { readonly kind: 'activateOutbound'; readonly pairId: PairId }
  | { readonly kind: 'removePair'; readonly pairId: PairId; readonly reason: string }
  | { readonly kind: 'acquired'; readonly requestId: string; readonly pairId: PairId }
  | { readonly kind: 'acquireFailed'; readonly requestId: string; readonly failure: NegotiationFailure }
  /** Answer with `crlsFetched`; asked only with `IkeOptions.fetchCrls`. */
  | { readonly kind: 'fetchCrls'; readonly requestId: string; readonly urls: readonly string[] }
  /** A `ConnectRequest` is done; a failed one ends as `acquireFailed`. */
  | { readonly kind: 'connected'; readonly requestId: string; readonly configuration: Configuration }
  /** A main mode ended with another address than the one its policy says is in use. */
  | {
      readonly kind: 'reconfigured';
      readonly local: IpAddress;
      readonly peer: IpAddress;
      readonly configuration: Configuration;
    }
  | { readonly kind: 'prompt'; readonly prompt: UserPrompt }
  | { readonly kind: 'audit'; readonly event: AuditEvent }
  | { readonly kind: 'progress'; readonly step: NegotiationStep }
  | { readonly kind: 'keys'; readonly keys: ExportedKeys };

/** What became of one distribution point: its list, or why there is none. */
export type FetchedCrl =
  | { readonly url: string; readonly crl: Crl }
  | { readonly url: string; readonly problem: string };

/** One thing that happened on the wire, in order, for people who watch. */
export interface NegotiationStep {
  readonly atMs: number;
  readonly peer: IpAddress;
  readonly direction: 'sent' | 'received' | 'note';
  /** `main mode 1`, `quick mode 2`, `informational`, … */
  readonly message: string;
  /** Payloads or what was concluded: `SA KE NONCE`, `NAT detected: we are behind it`. */
  readonly detail: string;
  readonly bytes?: number;
  /** 0 for the first transmission. */
  readonly retransmission?: number;
  /** An ICMP error about a message of ours: why it did not arrive. */
  readonly undelivered?: UndeliveredReason;
}

/** Stable words for why a negotiation ended. */
export type FailureReason =
  | 'no-response'
  | 'no-policy'
  /** The rule of the traffic wants the peer authenticated in another way than its main mode did. */
  | 'authentication-differs'
  | 'no-proposal-chosen'
  | 'authentication-failed'
  | 'preshared-keys-differ'
  | 'authentication-unsupported'
  /** We have none under the CAs of the policy. */
  | 'no-certificate'
  | 'no-peer-certificate'
  /** A certificate failed a test; `point` says who refused the other's. */
  | 'certificate-refused'
  | 'invalid-signature'
  | 'invalid-id'
  /** The gateway does not accept the user or the password, or nobody was there to answer it. */
  | 'xauth-failed'
  /** The gateway gave no usable address. */
  | 'no-address'
  | 'address-lost'
  | 'invalid-key-exchange'
  | 'malformed'
  /** Its main mode has made as many quick modes as the policy allows (master-key PFS: one). */
  | 'quick-mode-limit'
  | 'peer-refused'
  | 'peer-deleted'
  | 'dead-peer'
  | 'policy-changed'
  | 'cancelled'
  | 'expired';

/** A refusal, as data: what was wanted and what was offered, attribute by attribute. */
export interface AttributeMismatch {
  /** Proposal and transform number, as on the wire. */
  readonly proposal: number;
  readonly transform: number;
  /** Field's name: `encryption`, `hash`, `group`, `encapsulation`, `authentication`, `PFS group`, … */
  readonly attribute: string;
  readonly wanted: string;
  readonly offered: string;
}

export interface NegotiationFailure {
  readonly mode: 'main' | 'quick';
  readonly local: IpAddress;
  readonly peer: IpAddress;
  /** Which side failed or refused (field of audit event 547). */
  readonly point: 'me' | 'peer';
  readonly reason: FailureReason;
  /** A sentence that says what happened. */
  readonly text: string;
  /** What to do about it, a sentence. */
  readonly next: string;
  /** The message that was lost, refused or bad: `main mode 3`. */
  readonly message?: string;
  /** Win32 error of [MS-ERREF], 13800 … 13897. */
  readonly windowsCode: number;
  readonly notify?: { readonly type: number; readonly name: string };
  readonly mismatches?: readonly AttributeMismatch[];
  /** Every test of the peer's certificate chain, passed or failed, when that decided. */
  readonly certificateTests?: readonly CertificateTest[];
}

/** Security-log audit events (`monitoring.md` 3), as data. */
export type AuditEvent = { readonly atMs: number; readonly peer: IpAddress; readonly local: IpAddress } & (
  | {
      readonly id: 541;
      readonly mode: 'main';
      readonly peerIdentity: string;
      readonly filter: Selector;
      readonly parameters: {
        readonly encryption: string;
        readonly hash: string;
        readonly group: string;
        readonly lifetimeSeconds: number;
      };
    }
  | {
      readonly id: 541;
      readonly mode: 'quick';
      readonly peerIdentity: string;
      readonly filter: Selector;
      readonly parameters: {
        readonly esp: string;
        readonly hmac: string;
        readonly ah: string;
        readonly encapsulation: 'Transport Mode' | 'Tunnel Mode';
        readonly inboundSpi: Spi;
        readonly outboundSpi: Spi;
        readonly lifetimeSeconds: number;
        readonly lifetimeKilobytes: number;
      };
    }
  | {
      readonly id: 542;
      readonly filter: Selector;
      readonly inboundSpi: Spi;
      readonly outboundSpi: Spi;
      readonly reason: string;
    }
  | { readonly id: 543; readonly filter: Selector; readonly reason: string }
  | {
      readonly id: 544 | 545;
      readonly peerIdentity: string;
      readonly filter: Selector;
      readonly reason: string;
    }
  | {
      readonly id: 546;
      readonly mode: 'main' | 'quick';
      readonly filter: Selector;
      readonly attribute: string;
      readonly expected: string;
      readonly received: string;
    }
  | {
      readonly id: 547;
      readonly mode: 'main' | 'quick';
      readonly filter: Selector;
      readonly failurePoint: 'Me' | 'Peer';
      readonly failureReason: string;
    }
);

/** Key material for decrypting a capture: only ever written to a 0600 file the user asked for. */
export type ExportedKeys =
  | {
      readonly kind: 'ike';
      readonly initiatorCookie: Uint8Array;
      readonly encryptionKey: Uint8Array;
      readonly encryption: string;
    }
  | { readonly kind: 'sa'; readonly pair: SaPair };
