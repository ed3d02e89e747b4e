/**
 * The payloads of ISAKMP as values. How each lies on the wire is declared once, in `declarations.ts`; lengths,
 * counts and "next payload" bytes are not fields here, the writer computes them.
 * Decoded byte strings are views on the received buffer.
 */
import type { DataAttribute } from './attributes.js';
import type { NatRevision } from './numbers.js';

/** One alternative algorithm within a proposal (RFC 2408 3.6). */
export interface Transform {
  readonly number: number;
  /** `transformIds` of the proposal's protocol. */
  readonly transformId: number;
  readonly attributes: readonly DataAttribute[];
}

/** One protocol of an offer (RFC 2408 3.5). Proposals with the same number belong together (AH and ESP). */
export interface Proposal {
  readonly number: number;
  /** `protocols`. */
  readonly protocol: number;
  /** Phase 2: 4 bytes. Phase 1: usually empty, 8 or 16 cookie bytes tolerated. */
  readonly spi: Uint8Array;
  readonly transforms: readonly Transform[];
}

/** Security association, situation SIT_IDENTITY_ONLY of the IPsec DOI (RFC 2408 3.4, RFC 2407 4.6.1). */
export interface SaPayload {
  readonly kind: 'sa';
  /** Always `dois.IPSEC` when decoded. */
  readonly doi: number;
  /** Always `situations['IDENTITY-ONLY']` when decoded. */
  readonly situation: number;
  readonly proposals: readonly Proposal[];
}

/** Diffie-Hellman public value (RFC 2408 3.7). */
export interface KePayload {
  readonly kind: 'ke';
  readonly data: Uint8Array;
}

/** Identification (RFC 2408 3.8, RFC 2407 4.6.2). `identification.ts` makes and reads its data. */
export interface IdPayload {
  readonly kind: 'id';
  /** `idTypes`. */
  readonly idType: number;
  /** IP protocol, 0 any. */
  readonly protocol: number;
  /** 0 any. */
  readonly port: number;
  readonly data: Uint8Array;
}

/** Certificate (RFC 2408 3.9). */
export interface CertPayload {
  readonly kind: 'cert';
  /** `certificateEncodings`. */
  readonly encoding: number;
  readonly data: Uint8Array;
}

/** Certificate request (RFC 2408 3.10). */
export interface CertReqPayload {
  readonly kind: 'certreq';
  /** `certificateEncodings`. */
  readonly encoding: number;
  /** DER Name of an acceptable authority; empty is any. */
  readonly authority: Uint8Array;
}

/** Hash (RFC 2408 3.11). */
export interface HashPayload {
  readonly kind: 'hash';
  readonly data: Uint8Array;
}

/** Signature (RFC 2408 3.12). */
export interface SigPayload {
  readonly kind: 'sig';
  readonly data: Uint8Array;
}

/** Nonce, 8 to 256 bytes (RFC 2408 3.13, RFC 2409 5). */
export interface NoncePayload {
  readonly kind: 'nonce';
  readonly data: Uint8Array;
}

/** Notification (RFC 2408 3.14). */
export interface NotifyPayload {
  readonly kind: 'notify';
  readonly doi: number;
  /** `protocols`; 0 where the sender had none to name. */
  readonly protocol: number;
  /** `notifyTypes`. */
  readonly notifyType: number;
  readonly spi: Uint8Array;
  readonly data: Uint8Array;
}

/** Delete (RFC 2408 3.15): at least one SPI, all of one length. */
export interface DeletePayload {
  readonly kind: 'delete';
  readonly doi: number;
  /** `protocols`. */
  readonly protocol: number;
  readonly spis: readonly Uint8Array[];
}

/** Vendor ID (RFC 2408 3.16). `vendor-ids.ts` knows the meanings. */
export interface VidPayload {
  readonly kind: 'vid';
  readonly data: Uint8Array;
}

/** Attributes of the transaction exchange (draft-dukes-ike-mode-cfg-02 3.2); `transaction.ts` knows them. */
export interface AttributesPayload {
  readonly kind: 'attributes';
  /** `transactionTypes`. */
  readonly messageType: number;
  readonly identifier: number;
  readonly attributes: readonly DataAttribute[];
}

/** NAT detection hash (RFC 3947 3.2). */
export interface NatDPayload {
  readonly kind: 'nat-d';
  /** Says which revision. */
  readonly type: NatRevision['natD'];
  readonly data: Uint8Array;
}

/** NAT original address (RFC 3947 5.2). */
export interface NatOaPayload {
  readonly kind: 'nat-oa';
  /** Says which revision. */
  readonly type: NatRevision['natOa'];
  /** `idTypes.IPV4_ADDR` or `IPV6_ADDR`. */
  readonly idType: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
}

/** GSS-API token (draft-ietf-ipsec-isakmp-gss-auth); some senders put a vendor byte before the token. */
export interface GssTokenPayload {
  readonly kind: 'gss-token';
  readonly data: Uint8Array;
}

/** A piece of a whole ISAKMP message ([MS-IKEE] 2.2.3); always the only payload of its message. */
export interface FragmentPayload {
  readonly kind: 'fragment';
  readonly fragmentId: number;
  /** From 1. */
  readonly number: number;
  /** 1 in the last fragment. */
  readonly flags: number;
  readonly data: Uint8Array;
}

/** A payload of a type this codec has no declaration for. */
export interface UnknownPayload {
  readonly kind: 'unknown';
  readonly type: number;
  readonly data: Uint8Array;
}

/** Any payload of a message. */
export type Payload =
  | SaPayload
  | KePayload
  | IdPayload
  | CertPayload
  | CertReqPayload
  | HashPayload
  | SigPayload
  | NoncePayload
  | NotifyPayload
  | DeletePayload
  | VidPayload
  | AttributesPayload
  | NatDPayload
  | NatOaPayload
  | GssTokenPayload
  | FragmentPayload
  | UnknownPayload;

export type PayloadKind = Payload['kind'];

/** The payload of one kind. */
export type PayloadOf<K extends PayloadKind> = Extract<Payload, { readonly kind: K }>;
