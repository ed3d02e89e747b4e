/** What replaying a capture found, as data: the command prints it, `--json` is it. Times are seconds since the first packet. */
import type { CertificateTest } from '../../crypto/certificates/chain.js';
import type { AttributeMismatch, NegotiationFailure } from '../../ike/api.js';
import type { IpAddress } from '../../wire/ip/address.js';
import type { Configuration } from '../../wire/isakmp/transaction.js';

export interface ReplayReport {
  /** Packets in the file. */
  readonly packets: number;
  /** When the first packet was captured, ISO 8601. */
  readonly startedAt?: string;
  readonly negotiations: readonly ReplayNegotiation[];
  /** ESP and AH, by SPI, in the order they begin. */
  readonly protectedFlows: readonly ProtectedFlow[];
  /** What was left out or could not be read, a sentence each. */
  readonly notes: readonly string[];
}

export interface ReplayEndpoint {
  readonly address: IpAddress;
  readonly port: number;
}

export type Role = 'initiator' | 'responder';

/** Everything under one initiator cookie: phase 1 and the exchanges it protects. */
export interface ReplayNegotiation {
  readonly initiatorCookie: string;
  readonly responderCookie?: string;
  readonly mode: 'main' | 'aggressive' | 'unknown';
  readonly initiator: ReplayEndpoint;
  readonly responder: ReplayEndpoint;
  readonly beginsAtSeconds: number;
  readonly endsAtSeconds: number;
  /** `established`: phase 1 is complete. `unfinished`: the capture ends, or begins, in the middle of it. */
  readonly outcome: 'established' | 'failed' | 'unfinished';
  readonly failure?: NegotiationFailure;
  /** Phase 1: what was offered, and what became of it. */
  readonly proposals?: ProposalDecision;
  readonly vendors: Readonly<Record<Role, readonly string[]>>;
  readonly nat?: { readonly initiator: boolean; readonly responder: boolean; readonly text: string };
  readonly identities: Readonly<Partial<Record<Role, string>>>;
  /** Whether the keys at hand could read the encrypted messages. */
  readonly decrypted: 'all' | 'some' | 'none' | 'nothing encrypted';
  /** Whether the proof of each side was made with the preshared key at hand. */
  readonly proofs: readonly { readonly by: Role; readonly matches: boolean; readonly text: string }[];
  /** The certificates that could be read, of each side that sent any. */
  readonly certificates: readonly ReplayCertificates[];
  /** What anyone who has the capture can do with it, a sentence each. */
  readonly warnings: readonly string[];
  readonly xauth?: ReplayXauth;
  readonly configuration?: ReplayConfiguration;
  readonly quickModes: readonly ReplayQuickMode[];
  readonly messages: readonly ReplayMessage[];
  /** Messages and quick modes beyond those that are told of. */
  readonly leftOut: number;
  /** What the policy at hand would have done in the place of each side. */
  readonly policyViews: readonly PolicyView[];
}

export interface OfferedTransform {
  readonly proposal: number;
  readonly transform: number;
  /** `ESP 3DES: authentication HMAC-SHA (2), …`. */
  readonly text: string;
}

export interface ProposalDecision {
  readonly offered: readonly OfferedTransform[];
  /** As answered; absent without an answer. */
  readonly chosen?: OfferedTransform;
  /** For each of the others how it differs from the one chosen: `wanted` is what was chosen. */
  readonly notChosen: readonly (OfferedTransform & { readonly differences: readonly AttributeMismatch[] })[];
}

export interface ReplayQuickMode {
  readonly messageId: string;
  readonly initiator: Role;
  /** `unreadable`: its messages are encrypted, and no key fits. */
  readonly outcome: 'established' | 'failed' | 'unfinished' | 'unreadable';
  readonly failure?: NegotiationFailure;
  /** Traffic, as the initiator of the quick mode sees it. */
  readonly traffic?: string;
  readonly proposals?: ProposalDecision;
  readonly spis: readonly {
    readonly receiver: Role;
    readonly protocol: string;
    readonly spi: string;
    /** Packets with it in the capture. */
    readonly packets: number;
  }[];
  readonly text: string;
}

export interface ReplayMessage {
  /** Number of the packet in the file, from 1, as Wireshark counts. */
  readonly packet: number;
  readonly atSeconds: number;
  readonly from: Role;
  readonly source: ReplayEndpoint;
  readonly destination: ReplayEndpoint;
  /** `main mode 1`, `quick mode 2`, `informational`, … */
  readonly name: string;
  readonly messageId: string;
  readonly bytes: number;
  readonly encrypted: boolean;
  /** `SA VID*5`; absent when it could not be decrypted. */
  readonly payloads?: string;
  /** Every field, one line each, nested by indentation. */
  readonly fields: readonly string[];
  /** What it led to, a sentence each. */
  readonly decisions: readonly string[];
  /** The same bytes again. */
  readonly retransmissions: readonly { readonly packet: number; readonly atSeconds: number }[];
  /** Why it cannot be read. */
  readonly problem?: string;
}

export interface PolicyView {
  readonly as: Role;
  readonly phase: 'main mode' | 'authentication' | 'quick mode';
  readonly accepts: boolean;
  /** `would have chosen proposal 1 transform 2: …`, `would have refused: …`. */
  readonly text: string;
  readonly mismatches: readonly AttributeMismatch[];
  /** Of the other side's certificate, under the CAs of the policy. */
  readonly certificateTests?: readonly CertificateTest[];
}

export interface ReplayCertificates {
  readonly by: Role;
  /** As they were sent, the leaf first. */
  readonly chain: readonly {
    readonly subject: string;
    readonly issuer: string;
    readonly key: string;
    readonly serialNumber: string;
    readonly notBeforeMs: number;
    readonly notAfterMs: number;
    /** SHA-256, hexadecimal. */
    readonly fingerprint: string;
  }[];
  /** As the CAs at hand judge it, at the time of the capture unless told otherwise; absent without any. */
  readonly verdict?: { readonly passed: boolean; readonly tests: readonly CertificateTest[] };
  /** What there is to say about them, a sentence each. */
  readonly notes: readonly string[];
}

export interface ReplayXauth {
  /** Who asks; absent when that cannot be read. */
  readonly gateway?: Role;
  readonly user?: string;
  readonly outcome: 'accepted' | 'refused' | 'unfinished';
  readonly text: string;
}

/** Mode-config: what one side has given the other. */
export interface ReplayConfiguration {
  readonly from: Role;
  readonly given: Configuration;
  readonly text: string;
}

export interface ProtectedFlow {
  readonly protocol: 'ESP' | 'AH';
  readonly spi: string;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly inUdp: boolean;
  readonly packets: number;
  readonly beginsAtSeconds: number;
  readonly endsAtSeconds: number;
}
